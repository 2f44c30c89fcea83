//! Many pictures as one.
//!
//! A group is what belongs together (an image before and after) and stands one above the other; groups
//! fill rows from left to right.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, Rgb, RgbImage};

use super::flat::flatten;
use crate::cli::failure::Failure;

/// The most pixels of a grid.
const MAX_PIXELS: u64 = 64_000_000;
/// Pixels between cells, before scaling.
const GAP: u32 = 1;
/// Pixels between rows of groups of more than one picture, before scaling.
const ROW_GAP: u32 = 4;

/// How a grid is laid out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GridArgs {
    /// Make one picture of all: inputs stand above what became of them
    #[arg(long)]
    pub(crate) grid: bool,
    /// How many columns the grid has [default: as makes it about square]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) columns: Option<u32>,
    /// How many times larger each pixel of a grid or an animation is drawn [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) scale: Option<u32>,
}

impl GridArgs {
    /// How many times larger each pixel is drawn.
    pub(crate) fn scale(&self) -> u32 {
        self.scale.unwrap_or(4)
    }
}

/// Where each cell of a grid lies, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    groups: u32,
    stages: u32,
    columns: u32,
    cell: (u32, u32),
    scale: u32,
}

impl Layout {
    /// The layout of `groups` groups of `stages` pictures, each fitted into a cell of this size.
    ///
    /// # Errors
    /// `Usage` where the picture would have more than 64 million pixels.
    pub(crate) fn new(
        args: &GridArgs,
        groups: usize,
        stages: usize,
        cell: (u32, u32),
    ) -> Result<Self, Failure> {
        let large = || Failure::usage("the grid would have more than 64 million pixels: lower --scale");
        let groups = u32::try_from(groups).map_err(|_| large())?.max(1);
        let stages = u32::try_from(stages).map_err(|_| large())?.max(1);
        let square = (f64::from(groups) * f64::from(stages)).sqrt().ceil() as u32;
        let columns = args.columns.unwrap_or(square).min(groups);
        let layout = Self { groups, stages, columns, cell, scale: args.scale() };
        let (width, height) = layout.size64();
        match width.checked_mul(height) {
            Some(pixels) if pixels <= MAX_PIXELS => Ok(layout),
            _ => Err(large()),
        }
    }

    /// The width and height of the whole.
    pub(crate) fn size(&self) -> (u32, u32) {
        let (width, height) = self.size64();
        // Their product was found to be small.
        (width as u32, height as u32)
    }

    /// The left and upper edge of the cell of a stage of a group.
    pub(crate) fn origin(&self, group: u32, stage: u32) -> (u32, u32) {
        let (column, row) = (group % self.columns, group / self.columns);
        let x = GAP + column * (self.cell.0 + GAP);
        let y = GAP + row * self.row_height() + stage * (self.cell.1 + GAP);
        (x * self.scale, y * self.scale)
    }

    fn row_height(&self) -> u32 {
        let apart = if self.stages > 1 { ROW_GAP } else { 0 };
        self.stages * (self.cell.1 + GAP) + apart
    }

    fn size64(&self) -> (u64, u64) {
        let wide = |n: u32| u64::from(n);
        let rows = wide(self.groups.div_ceil(self.columns));
        let stages = wide(self.stages) * (wide(self.cell.1) + wide(GAP));
        let apart = if self.stages > 1 { wide(ROW_GAP) } else { 0 };
        let width = wide(GAP) + wide(self.columns) * (wide(self.cell.0) + wide(GAP));
        let height = wide(GAP) + rows * stages + (rows - 1) * apart;
        (width.saturating_mul(wide(self.scale)), height.saturating_mul(wide(self.scale)))
    }
}

/// Draws groups of pictures on white. A cell has the size of the last picture of the last group, which
/// is what a model made; larger ones are made smaller to fit, smaller ones stand in the middle.
///
/// # Errors
/// `Usage` where the picture would be too large.
pub(crate) fn draw(groups: &[Vec<DynamicImage>], args: &GridArgs) -> Result<DynamicImage, Failure> {
    let stages = groups.iter().map(Vec::len).max().unwrap_or(0);
    let cell = groups.last().and_then(|group| group.last()).map_or((1, 1), |p| (p.width(), p.height()));
    let layout = Layout::new(args, groups.len(), stages, cell)?;
    let (width, height) = layout.size();
    let mut canvas = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    for (group, pictures) in (0..).zip(groups) {
        for (stage, picture) in (0..).zip(pictures) {
            let (x, y) = layout.origin(group, stage);
            let picture = fit(picture, cell, args.scale());
            let (left, top) = (
                (cell.0 * args.scale()).saturating_sub(picture.width()) / 2,
                (cell.1 * args.scale()).saturating_sub(picture.height()) / 2,
            );
            imageops::replace(&mut canvas, &picture, i64::from(x + left), i64::from(y + top));
        }
    }
    Ok(smallest(canvas))
}

/// The picture as it is drawn in a cell of this size, before scaling: over black, and made smaller where it is
/// larger.
pub(crate) fn fitted(picture: &DynamicImage, cell: (u32, u32)) -> DynamicImage {
    let flat = flatten(picture);
    let larger = flat.width() > cell.0 || flat.height() > cell.1;
    if larger { flat.resize(cell.0, cell.1, FilterType::Triangle) } else { flat }
}

fn fit(picture: &DynamicImage, cell: (u32, u32), scale: u32) -> RgbImage {
    let fitted = fitted(picture, cell).into_rgb8();
    // Every pixel stays a square that can be counted.
    imageops::resize(&fitted, fitted.width() * scale, fitted.height() * scale, FilterType::Nearest)
}

/// Grey where it can be: a third of the bytes.
fn smallest(canvas: RgbImage) -> DynamicImage {
    if canvas.pixels().all(|Rgb([r, g, b])| r == g && g == b) {
        let grey =
            GrayImage::from_fn(canvas.width(), canvas.height(), |x, y| [canvas.get_pixel(x, y).0[0]].into());
        return DynamicImage::ImageLuma8(grey);
    }
    DynamicImage::ImageRgb8(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(columns: Option<u32>, scale: u32) -> GridArgs {
        GridArgs { grid: true, columns, scale: Some(scale) }
    }

    #[test]
    fn groups_fill_rows_from_left_to_right_and_stages_stand_below_each_other() {
        let layout = Layout::new(&args(Some(2), 3), 3, 2, (10, 8)).unwrap();
        assert_eq!(layout.origin(0, 0), (3, 3));
        assert_eq!(layout.origin(0, 1), (3, 3 + 9 * 3));
        assert_eq!(layout.origin(1, 0), (3 + 11 * 3, 3));
        assert_eq!(layout.origin(2, 0), (3, (1 + 2 * 9 + 4) * 3));
        assert_eq!(layout.size(), ((1 + 2 * 11) * 3, (1 + 2 * 18 + 4) * 3));
    }

    #[test]
    fn without_a_word_on_columns_a_grid_is_about_square() {
        let columns = |groups, stages| Layout::new(&args(None, 1), groups, stages, (28, 28)).unwrap().columns;
        assert_eq!(columns(16, 1), 4);
        assert_eq!(columns(10, 1), 4);
        assert_eq!(columns(8, 3), 5);
        assert_eq!(columns(2, 3), 2);
        assert_eq!(columns(1, 1), 1);
    }

    #[test]
    fn a_grid_too_large_to_draw_is_refused() {
        let refused = Layout::new(&args(None, 64), 4000, 1, (28, 28)).unwrap_err();
        assert!(refused.to_string().contains("--scale"), "{refused}");
        assert!(Layout::new(&args(None, 64), usize::MAX, 1, (u32::MAX, u32::MAX)).is_err());
    }

    #[test]
    fn every_pixel_becomes_a_square_of_the_scale() {
        let grey = |value| DynamicImage::ImageLuma8(GrayImage::from_pixel(2, 2, [value].into()));
        let drawn = draw(&[vec![grey(10), grey(20)], vec![grey(30), grey(40)]], &args(Some(2), 3)).unwrap();
        let drawn = drawn.as_luma8().expect("grey pictures make a grey grid");
        assert_eq!(drawn.dimensions(), (7 * 3, 7 * 3));
        assert_eq!(drawn.get_pixel(0, 0).0, [255], "the gap");
        assert_eq!(drawn.get_pixel(3, 3).0, [10]);
        assert_eq!(drawn.get_pixel(8, 8).0, [10]);
        assert_eq!(drawn.get_pixel(9, 3).0, [255], "the gap");
        assert_eq!(drawn.get_pixel(3, 12).0, [20]);
        assert_eq!(drawn.get_pixel(12, 3).0, [30]);
        assert_eq!(drawn.get_pixel(12, 12).0, [40]);
    }

    #[test]
    fn what_is_clear_is_drawn_black_as_the_servers_see_it() {
        let clear = image::RgbaImage::from_pixel(2, 2, [200, 100, 50, 0].into());
        let made = DynamicImage::ImageLuma8(GrayImage::from_pixel(2, 2, [9].into()));
        let drawn = draw(&[vec![clear.into(), made]], &args(None, 1)).unwrap().to_rgb8();
        assert_eq!(drawn.get_pixel(1, 1).0, [0; 3]);
    }

    #[test]
    fn inputs_larger_than_the_cell_are_made_to_fit() {
        let wide = DynamicImage::ImageRgb8(RgbImage::from_pixel(100, 50, Rgb([200, 0, 0])));
        let made = DynamicImage::ImageLuma8(GrayImage::from_pixel(10, 10, [0].into()));
        let drawn = draw(&[vec![wide, made]], &args(None, 1)).unwrap().to_rgb8();
        assert_eq!(drawn.dimensions(), (12, 23));
        assert_eq!(drawn.get_pixel(1, 1).0, [255; 3], "above the wide picture");
        assert_eq!(drawn.get_pixel(5, 6).0, [200, 0, 0]);
        assert_eq!(drawn.get_pixel(1, 12).0, [0; 3]);
    }
}
