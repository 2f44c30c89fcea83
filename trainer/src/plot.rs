//! Lines over time, as a picture.

use std::path::Path;

use anyhow::Context;
use image::{Rgb, RgbImage};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 120;
const MARGIN: u32 = 8;
/// Of the first line of a panel, the second, the third.
const COLOURS: [Rgb<u8>; 3] = [Rgb([30, 30, 30]), Rgb([40, 110, 220]), Rgb([220, 60, 40])];

/// Draws panels one below the other, each with its own scale: the first line of a panel is black, the second
/// blue, the third red. The first is drawn last, over the others.
///
/// # Errors
/// Names the file that cannot be written.
pub fn lines(panels: &[Vec<Vec<f32>>], path: &Path) -> anyhow::Result<()> {
    let height = (HEIGHT + MARGIN) * panels.len().max(1) as u32 + MARGIN;
    let mut picture = RgbImage::from_pixel(WIDTH + 2 * MARGIN, height, Rgb([230, 230, 230]));
    for (panel, top) in panels.iter().zip((MARGIN..).step_by((HEIGHT + MARGIN) as usize)) {
        for x in MARGIN..MARGIN + WIDTH {
            (top..top + HEIGHT).for_each(|y| picture.put_pixel(x, y, Rgb([255, 255, 255])));
        }
        let all = || panel.iter().flatten().copied().filter(|value| value.is_finite());
        let (low, high) = (all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
        let span = (high - low).max(1e-6);
        for (line, colour) in panel.iter().zip(COLOURS).rev() {
            let level = |value: f32| top + ((high - value) / span * (HEIGHT - 1) as f32) as u32;
            let place =
                |i: usize| MARGIN + (i * (WIDTH as usize - 1) / line.len().max(2).saturating_sub(1)) as u32;
            for (i, pair) in line.windows(2).enumerate() {
                let (from, to) = (place(i), place(i + 1));
                let at = |x: u32| {
                    let along = (x - from) as f32 / (to - from).max(1) as f32;
                    level(pair[0] + (pair[1] - pair[0]) * along).min(top + HEIGHT - 1)
                };
                for x in from..=to {
                    // Steep lines, too, have no gaps.
                    let (y, next) = (at(x), at((x + 1).min(to)));
                    (y.min(next)..=y.max(next)).for_each(|y| picture.put_pixel(x, y, colour));
                }
            }
        }
    }
    picture.save(path).with_context(|| format!("cannot write {}", path.display()))
}
