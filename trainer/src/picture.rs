//! Pictures of what a network makes.

use std::path::Path;

use anyhow::Context;
use tch::Tensor;

use crate::ops::eager::to_vec;

/// Grey images of one size in rows, a little space between them.
pub struct Grid {
    columns: usize,
    rows: Vec<(usize, Vec<f32>)>,
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

    /// Adds images `[columns, 1, size, size]` with pixels in [0, 1]; what lies outside is clipped.
    pub fn row(&mut self, images: &Tensor) {
        let size = images.size().last().map_or(0, |&n| n as usize);
        self.rows.push((size, to_vec(images)));
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
        let size = self.rows.first().map_or(1, |row| row.0);
        let pitch = size + GAP;
        let (width, height) = (self.columns * pitch + GAP, self.rows.len() * pitch + GAP);
        let mut picture = image::GrayImage::new((width * ZOOM) as u32, (height * ZOOM) as u32);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let (x, y) = (x as usize / ZOOM, y as usize / ZOOM);
            // The gap in front of an image wraps to a large number and falls outside of it.
            let (column, dx) = (x / pitch, (x % pitch).wrapping_sub(GAP));
            let (row, dy) = (y / pitch, (y % pitch).wrapping_sub(GAP));
            let value = (dx < size && dy < size)
                .then(|| self.rows.get(row)?.1.get((column * size + dy) * size + dx))
                .flatten();
            pixel.0 = [value.map_or(40, |v| (v.clamp(0.0, 1.0) * 255.0).round() as u8)];
        }
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).context("a picture cannot be encoded")?;
        Ok(bytes.into_inner())
    }
}
