//! Pictures of what a network makes.

use std::path::Path;

use anyhow::Context;
use tch::Tensor;

use crate::ops::eager::to_vec;

/// Images of one size in rows, grey or in colour, a little space between them.
pub struct Grid {
    columns: usize,
    rows: Vec<Row>,
}

struct Row {
    channels: usize,
    size: usize,
    pixels: Vec<f32>,
}

impl Row {
    /// Red, green and blue of a pixel; `None` where the row has no such image.
    fn colour(&self, image: usize, x: usize, y: usize) -> Option<[f32; 3]> {
        let plane = self.size * self.size;
        let at = image * self.channels * plane + y * self.size + x;
        // A grey image has one plane for all colours.
        let step = if self.channels == 3 { plane } else { 0 };
        let of = |colour: usize| self.pixels.get(at + colour * step).copied();
        Some([of(0)?, of(1)?, of(2)?])
    }
}

const GAP: usize = 2;
/// Every pixel is shown this many times in both directions.
const ZOOM: usize = 2;

impl Grid {
    /// An empty grid with `columns` images in a row.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds images `[columns, 1 or 3, size, size]` with pixels in [0, 1]; what lies outside is clipped.
    pub fn row(&mut self, images: &Tensor) {
        let axis = |axis: usize| images.size().get(axis).map_or(0, |&n| n as usize);
        self.rows.push(Row { channels: axis(1), size: axis(3), pixels: to_vec(images) });
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.png()?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// As the bytes of a PNG file.
    ///
    /// # Errors
    /// The picture cannot be encoded.
    pub fn png(&self) -> anyhow::Result<Vec<u8>> {
        let size = self.rows.first().map_or(1, |row| row.size);
        let pitch = size + GAP;
        let (width, height) = (self.columns * pitch + GAP, self.rows.len() * pitch + GAP);
        let mut picture = image::RgbImage::new((width * ZOOM) as u32, (height * ZOOM) as u32);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let (x, y) = (x as usize / ZOOM, y as usize / ZOOM);
            // The gap in front of an image wraps to a large number and falls outside of it.
            let (column, dx) = (x / pitch, (x % pitch).wrapping_sub(GAP));
            let (row, dy) = (y / pitch, (y % pitch).wrapping_sub(GAP));
            let colour =
                (dx < size && dy < size).then(|| self.rows.get(row)?.colour(column, dx, dy)).flatten();
            pixel.0 = colour.map_or([40; 3], |c| c.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8));
        }
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).context("a picture cannot be encoded")?;
        Ok(bytes.into_inner())
    }
}
