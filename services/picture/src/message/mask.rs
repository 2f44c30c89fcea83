//! An image with a mask that says which of its pixels are meant.

use atelier_chassis::ServiceError;
use atelier_package::ImageShape;

use super::Encoded;
use crate::{Fit, Picture};

/// From here on a grey pixel of a mask is white.
const WHITE: f32 = 0.5;

impl Encoded {
    /// Decodes it and its mask, which must be of the same size, and fits both alike: the mask becomes one
    /// plane of 1 where it is white and 0 elsewhere, and has a 1 somewhere. Where they are resized, it is 1
    /// wherever anything that is white in the mask has become part of the picture. Takes long: not for an async
    /// thread.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, for what is no image, a mask of another size or with nothing white,
    /// or what cannot be fitted so.
    pub fn fit_with_mask(
        self,
        mask: Self,
        fit: Fit,
        shape: ImageShape,
    ) -> Result<(Picture, Picture), ServiceError> {
        let (image, hole) = (self.decode()?, mask.decode()?);
        let (own, other) = ((image.width(), image.height()), (hole.width(), hole.height()));
        if own != other {
            let message = format!(
                "is {}x{} pixels, but {}x{} is right, the size of the image",
                other.0, other.1, own.0, own.1
            );
            return Err(ServiceError::invalid(format!("{}.data", mask.field), message));
        }
        let picture = fit.apply(&image, shape).map_err(|error| self.wrong(&error))?;
        let shape = ImageShape { channels: 1, ..shape };
        let mut hole = fit.apply_to_mask(&hole, shape).map_err(|error| mask.wrong(&error))?;
        for value in &mut hole.values {
            *value = if *value >= WHITE { 1.0 } else { 0.0 };
        }
        if hole.values.iter().all(|value| *value == 0.0) {
            let message = "has nothing white in it, but white where the image is to be filled is right";
            return Err(ServiceError::invalid(format!("{}.data", mask.field), message));
        }
        Ok((picture, hole))
    }
}

#[cfg(test)]
mod tests {
    use atelier_proto::codec::v1 as api;

    use super::*;
    use crate::to_png;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 4, width: 4 };

    fn encoded(field: &str, width: usize, height: usize, values: Vec<f32>) -> Encoded {
        let picture = Picture { shape: ImageShape { channels: 1, height, width }, values };
        let image = api::Image { data: to_png(&picture).unwrap().into(), format: 0 };
        Encoded::new(field, Some(image)).unwrap()
    }

    fn masked(
        image: (usize, usize),
        mask: (usize, usize),
        values: Vec<f32>,
    ) -> Result<(Picture, Picture), ServiceError> {
        let image = encoded("image", image.0, image.1, vec![0.5; image.0 * image.1]);
        image.fit_with_mask(encoded("mask", mask.0, mask.1, values), Fit::Stretch, SHAPE)
    }

    #[test]
    fn a_mask_of_the_models_size_is_taken_as_it_is() {
        let mut values = vec![0.0; 16];
        (values[3], values[5], values[6]) = (1.0, 0.51, 0.49);
        let (_, hole) = masked((4, 4), (4, 4), values).unwrap();
        assert_eq!(hole.shape, SHAPE);
        assert_eq!((0..16).filter(|&i| hole.values[i] == 1.0).collect::<Vec<_>>(), [3, 5]);
    }

    #[test]
    fn what_a_line_in_a_large_mask_is_mixed_into_is_marked_and_nothing_else() {
        let values = (0..256).map(|i| if i % 16 == 5 { 0.51 } else { 0.49 }).collect();
        let (picture, hole) = masked((16, 16), (16, 16), values).unwrap();
        assert_eq!((picture.values.len(), hole.values.len()), (16, 16));
        for row in hole.values.chunks(4) {
            assert_eq!(row, [1.0, 1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn a_hole_is_marked_however_small_it_is_beside_a_large_image() {
        const MODEL: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
        let marked = |side: usize, white: &dyn Fn(usize, usize) -> bool, fit| {
            let values =
                (0..side * side).map(|i| if white(i % side, i / side) { 1.0 } else { 0.0 }).collect();
            let mask = encoded("mask", side, side, values);
            let image = encoded("image", side, side, vec![0.5; side * side]);
            image.fit_with_mask(mask, fit, MODEL).unwrap().1.values
        };
        let within = |x: usize, y: usize| (1000..1012).contains(&x) && (500..512).contains(&y);
        let hole = marked(2048, &within, Fit::Contain);
        // 1000 and 500 times 28 / 2048.
        assert_eq!(hole[6 * 28 + 13], 1.0);
        assert!(hole.iter().sum::<f32>() <= 9.0, "and not much around it");
        for fit in [Fit::Stretch, Fit::Contain, Fit::Cover] {
            let hole = marked(1024, &|x, _| (300..303).contains(&x), fit);
            assert!(hole.chunks(28).all(|row| row[8] == 1.0 && row.iter().sum::<f32>() <= 3.0), "{fit:?}");
        }
    }

    #[test]
    fn a_mask_of_another_size_or_without_white_is_refused() {
        let error = masked((4, 5), (4, 4), vec![1.0; 16]).unwrap_err().to_string();
        assert!(
            error.contains("mask.data") && error.contains("4x4") && error.contains("4x5 is right"),
            "{error}"
        );
        let error = masked((4, 4), (4, 4), vec![0.4; 16]).unwrap_err().to_string();
        assert!(error.contains("mask.data") && error.contains("nothing white"), "{error}");
    }
}
