//! Pictures without transparency.

use image::{DynamicImage, GrayImage, Rgb, RgbImage};

/// The picture in 8 bits, grey or colour, transparency laid over black as the servers do.
pub(crate) fn flatten(picture: &DynamicImage) -> DynamicImage {
    let over_black =
        |value: u8, alpha: u8| (u32::from(value) * u32::from(alpha)).div_ceil(255).min(255) as u8;
    match (picture.color().has_color(), picture.color().has_alpha()) {
        (false, false) => picture.to_luma8().into(),
        (true, false) => picture.to_rgb8().into(),
        (false, true) => {
            let both = picture.to_luma_alpha8();
            let flat = GrayImage::from_fn(both.width(), both.height(), |x, y| {
                let [value, alpha] = both.get_pixel(x, y).0;
                [over_black(value, alpha)].into()
            });
            flat.into()
        }
        (true, true) => {
            let both = picture.to_rgba8();
            let flat = RgbImage::from_fn(both.width(), both.height(), |x, y| {
                let [r, g, b, alpha] = both.get_pixel(x, y).0;
                Rgb([r, g, b].map(|value| over_black(value, alpha)))
            });
            flat.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayAlphaImage, LumaA, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn what_is_clear_is_black_and_grey_stays_grey() {
        let flat = |picture: DynamicImage| flatten(&picture);
        let clear = RgbaImage::from_pixel(1, 1, Rgba([200, 100, 50, 0]));
        assert_eq!(flat(clear.into()), RgbImage::from_pixel(1, 1, Rgb([0; 3])).into());
        let half = GrayAlphaImage::from_pixel(1, 1, LumaA([255, 51]));
        assert_eq!(flat(half.into()), GrayImage::from_pixel(1, 1, [51].into()).into());
        let colour: DynamicImage = RgbImage::from_pixel(1, 1, Rgb([1, 2, 3])).into();
        assert_eq!(flat(colour.clone()), colour);
    }
}
