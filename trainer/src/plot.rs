//! Lines over time, as a picture.

use std::io::Cursor;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::Context;
use image::{ImageFormat, Rgb, RgbImage};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 120;
const MARGIN: u32 = 8;
/// Height of a strip of marks.
const STRIP: u32 = 5;
/// Of the first line of a panel, the second, the third.
const COLOURS: [Rgb<u8>; 3] = [Rgb([30, 30, 30]), Rgb([40, 110, 220]), Rgb([220, 60, 40])];

/// Lines that share a scale, with strips of marks below them.
#[derive(Debug, Default)]
pub struct Panel {
    /// The first is black, the second blue, the third red. The first is drawn last, over the others.
    pub lines: Vec<Vec<f32>>,
    /// Parts of the first line, ends included, a strip for each list: the first blue, the second red.
    pub marks: Vec<Vec<RangeInclusive<usize>>>,
}

/// Draws panels one below the other, each with its own scale, into a file.
///
/// # Errors
/// Names the file that cannot be written.
pub fn lines(panels: &[Panel], path: &Path) -> anyhow::Result<()> {
    draw(panels).save(path).with_context(|| format!("cannot write {}", path.display()))
}

/// The same as a PNG.
///
/// # Errors
/// What the encoder says.
pub fn png(panels: &[Panel]) -> anyhow::Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    draw(panels).write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

/// Where the value `i` of `length` lies.
fn place(i: usize, length: usize) -> u32 {
    MARGIN + (i * (WIDTH as usize - 1) / length.max(2).saturating_sub(1)) as u32
}

fn draw(panels: &[Panel]) -> RgbImage {
    let height = (HEIGHT + MARGIN) * panels.len().max(1) as u32 + MARGIN;
    let mut picture = RgbImage::from_pixel(WIDTH + 2 * MARGIN, height, Rgb([230, 230, 230]));
    for (panel, top) in panels.iter().zip((MARGIN..).step_by((HEIGHT + MARGIN) as usize)) {
        for x in MARGIN..MARGIN + WIDTH {
            (top..top + HEIGHT).for_each(|y| picture.put_pixel(x, y, Rgb([255, 255, 255])));
        }
        // Strips take their room from the lines.
        let lower = STRIP * panel.marks.len() as u32;
        let room = HEIGHT.saturating_sub(lower + u32::from(lower > 0));
        let all = || panel.lines.iter().flatten().copied().filter(|value| value.is_finite());
        let (low, high) = (all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
        let span = (high - low).max(1e-6);
        for (line, colour) in panel.lines.iter().zip(COLOURS).rev() {
            let level = |value: f32| top + ((high - value) / span * (room - 1) as f32) as u32;
            for (i, pair) in line.windows(2).enumerate() {
                let (from, to) = (place(i, line.len()), place(i + 1, line.len()));
                let at = |x: u32| {
                    let along = (x - from) as f32 / (to - from).max(1) as f32;
                    level(pair[0] + (pair[1] - pair[0]) * along).min(top + room - 1)
                };
                for x in from..=to {
                    // Steep lines, too, have no gaps, and neither have those with many values in a column.
                    let next =
                        if from == to { level(pair[1]).min(top + room - 1) } else { at((x + 1).min(to)) };
                    let y = at(x);
                    (y.min(next)..=y.max(next)).for_each(|y| picture.put_pixel(x, y, colour));
                }
            }
        }
        let length = panel.lines.first().map_or(0, Vec::len);
        for (number, (marks, colour)) in panel.marks.iter().zip(COLOURS.into_iter().skip(1)).enumerate() {
            let y = top + HEIGHT - lower + STRIP * number as u32;
            for mark in marks {
                for x in place(*mark.start(), length)..=place(*mark.end(), length).min(MARGIN + WIDTH - 1) {
                    (y..y + STRIP - 1).for_each(|y| picture.put_pixel(x, y, colour));
                }
            }
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_lies_below_the_part_of_the_line_that_it_is_of() {
        let lines = vec![(0..WIDTH).map(|x| x as f32).collect()];
        let picture = draw(&[Panel { lines, marks: vec![vec![0..=9], vec![600..=609, 620..=639]] }]);
        let coloured = |colour: Rgb<u8>| -> Vec<u32> {
            (0..picture.width())
                .filter(|x| (0..picture.height()).any(|y| picture[(*x, y)] == colour))
                .collect()
        };
        let [line, first, second] = COLOURS.map(coloured);
        assert_eq!((line.first(), line.len()), (Some(&MARGIN), WIDTH as usize));
        assert_eq!((first.first(), first.last()), (Some(&MARGIN), Some(&(MARGIN + 9))));
        assert_eq!((second.first(), second.last()), (Some(&(MARGIN + 600)), Some(&(MARGIN + 639))));
        assert_eq!(second.len(), 10 + 20);
    }

    #[test]
    fn a_line_has_no_gaps_where_many_values_share_a_column() {
        let waves = (0..10 * WIDTH).map(|i| (i % 2) as f32).collect();
        let picture = draw(&[Panel { lines: vec![waves], ..Panel::default() }]);
        let middle = (MARGIN..MARGIN + WIDTH).filter(|x| picture[(*x, MARGIN + HEIGHT / 2)] == COLOURS[0]);
        // The last value has the last column to itself.
        assert_eq!(middle.count(), WIDTH as usize - 1);
    }

    #[test]
    fn a_panel_without_lines_or_of_one_value_is_drawn_too() {
        let flat = Panel { lines: vec![vec![2.0; 3]], ..Panel::default() };
        let picture = draw(&[Panel::default(), flat]);
        assert_eq!(picture.height(), 2 * (HEIGHT + MARGIN) + MARGIN);
    }
}
