//! Brings an image to the size and colour mode of a model.

use atelier_package::ImageShape;
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Luma};

use crate::picture::describe;
use crate::{Decoded, Picture, PictureError, pool};

/// How. The words of the API's `Fit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Not at all: what does not fit is refused.
    Exact,
    /// The whole image over the whole of the model's size.
    Stretch,
    /// The whole image within the model's size, padded with black.
    Contain,
    /// A part of the image over the whole of the model's size.
    Cover,
}

/// A rectangle of whole pixels, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rectangle {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Rectangle {
    fn whole(width: usize, height: usize) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// Of these sides, in the middle of a larger one; where the margins cannot be even, the one more is
    /// to the right and below.
    fn centred(width: usize, height: usize, within: (usize, usize)) -> Self {
        Self { x: (within.0 - width) / 2, y: (within.1 - height) / 2, width, height }
    }

    /// The largest of the proportions of `of` within `within`, to the nearest pixel.
    fn inscribed(of: (usize, usize), within: (usize, usize)) -> Self {
        // Sides are at most 2^30 by the package format and 2^13 by our own limit: no overflow in 128 bits.
        let (w, h) = (of.0 as u128, of.1 as u128);
        let (max_w, max_h) = (within.0 as u128, within.1 as u128);
        let (width, height) = match w * max_h >= h * max_w {
            true => (max_w, (2 * h * max_w + w) / (2 * w)),
            false => ((2 * w * max_h + h) / (2 * h), max_h),
        };
        // Neither is over its bound, which is a usize.
        let side = |n: u128, max: usize| usize::try_from(n).unwrap_or(max).clamp(1, max);
        Self::centred(side(width, within.0), side(height, within.1), within)
    }
}

impl Fit {
    /// Which part of the image goes to which part of the model's picture.
    fn place(self, image: (usize, usize), model: (usize, usize)) -> (Rectangle, Rectangle) {
        let all_of_image = Rectangle::whole(image.0, image.1);
        let all_of_model = Rectangle::whole(model.0, model.1);
        match self {
            Self::Exact | Self::Stretch => (all_of_image, all_of_model),
            Self::Contain => (all_of_image, Rectangle::inscribed(image, model)),
            // Cropped before it is resized: the other order makes a giant of a long thin image.
            Self::Cover => (Rectangle::inscribed(model, image), all_of_model),
        }
    }

    /// The image as the model takes it.
    pub fn apply(self, image: &Decoded, shape: ImageShape) -> Result<Picture, PictureError> {
        self.resized(image, shape, resample)
    }

    /// The same of a mask of an image, so that every pixel into which something of a white one is mixed in the
    /// image is white in the mask.
    pub(crate) fn apply_to_mask(self, mask: &Decoded, shape: ImageShape) -> Result<Picture, PictureError> {
        self.resized(mask, shape, |plane, from, to| pool::greatest(&plane, from, to))
    }

    fn resized(
        self,
        image: &Decoded,
        shape: ImageShape,
        resize: impl Fn(Vec<f32>, (usize, usize), (usize, usize)) -> Vec<f32>,
    ) -> Result<Picture, PictureError> {
        let colour = shape.channels == 3;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let same_size = (width, height) == (shape.width, shape.height);
        if self == Self::Exact && !(same_size && image.is_colour() == colour && !image.has_alpha()) {
            let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            return Err(PictureError::NotExact {
                actual: describe(image.width(), image.height(), image.is_colour(), image.has_alpha()),
                wanted: describe(side(shape.width), side(shape.height), colour, false),
            });
        }
        let (from, to) = self.place((width, height), (shape.width, shape.height));
        let mut values = Vec::with_capacity(shape.channels * shape.height * shape.width);
        for plane in image.planes(colour) {
            let part = crop(&plane, width, from);
            let part = resize(part, (from.width, from.height), (to.width, to.height));
            values.extend(pad(&part, to, (shape.width, shape.height)));
        }
        Ok(Picture { shape, values })
    }
}

fn crop(plane: &[f32], width: usize, part: Rectangle) -> Vec<f32> {
    let rows = plane.chunks(width.max(1)).skip(part.y).take(part.height);
    rows.flat_map(|row| row.iter().skip(part.x).take(part.width)).copied().collect()
}

/// With a triangle filter whose support grows when the plane is made smaller.
fn resample(plane: Vec<f32>, from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    if from == to {
        return plane;
    }
    // Sides are at most 2^30.
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    match ImageBuffer::<Luma<f32>, _>::from_raw(side(from.0), side(from.1), plane) {
        Some(buffer) => {
            let resized = resize(&buffer, side(to.0), side(to.1), FilterType::Triangle).into_raw();
            resized.into_iter().map(|v| v.clamp(0.0, 1.0)).collect()
        }
        // Not reached: a plane has the pixels of its sides.
        None => vec![0.0; to.0 * to.1],
    }
}

fn pad(part: &[f32], at: Rectangle, size: (usize, usize)) -> Vec<f32> {
    let mut out = vec![0.0; size.0 * size.1];
    let rows = out.chunks_mut(size.0.max(1)).skip(at.y).take(at.height);
    for (to, from) in rows.zip(part.chunks(at.width.max(1))) {
        for (to, from) in to.iter_mut().skip(at.x).zip(from) {
            *to = *from;
        }
    }
    out
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
