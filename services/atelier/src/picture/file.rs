//! Pictures as files.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::cli::failure::{Exit, Failure};

/// The largest side of a picture, as for the servers.
const MAX_SIDE: u32 = 8192;

/// Decodes a PNG or JPEG, called `name` in errors, and turns it upright as its EXIF data say: servers do so too.
///
/// # Errors
/// `BadInput`: neither of the two, damaged, or larger than 8192 pixels a side.
pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<DynamicImage, Failure> {
    let wrong = |what: String| Failure::bad_input(format!("{name}: {what}"));
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| wrong(e.to_string()))?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(wrong("is neither PNG nor JPEG".into()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let decode = || {
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    };
    decode().map_err(|e: ImageError| wrong(format!("cannot be decoded: {e}")))
}

/// Encodes a picture as PNG.
///
/// # Errors
/// `Other`; none is known to happen.
pub(crate) fn encode(picture: &DynamicImage) -> Result<Vec<u8>, Failure> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| Failure::new(Exit::Other, format!("cannot encode a picture: {e}")))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use image::GrayImage;

    use super::*;

    #[test]
    fn what_is_no_picture_is_named() {
        let wrong = decode("cat.gif", b"GIF89a").unwrap_err();
        assert_eq!(
            (wrong.exit(), wrong.to_string().as_str()),
            (Exit::BadInput, "cat.gif: is neither PNG nor JPEG")
        );
        let mut cut = encode(&DynamicImage::new_luma8(28, 28)).unwrap();
        cut.truncate(40);
        assert!(decode("cut.png", &cut).unwrap_err().to_string().starts_with("cut.png: cannot be decoded"));
    }

    #[test]
    fn a_jpeg_that_lies_on_its_side_is_turned_upright() {
        let sides = GrayImage::from_fn(32, 16, |x, _| [if x < 16 { 0 } else { 255 }].into());
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(sides).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        let mut bytes = bytes.into_inner();
        // One entry of EXIF behind the start marker: the orientation, 6, which is a quarter turn to the right.
        let exif =
            b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        bytes.splice(2..2, exif.iter().copied());
        let picture = decode("photo.jpg", &bytes).unwrap().into_luma8();
        assert_eq!(picture.dimensions(), (16, 32));
        assert!(picture.get_pixel(8, 2).0[0] < 20 && picture.get_pixel(8, 29).0[0] > 235);
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused() {
        let mut bomb = encode(&DynamicImage::new_luma8(1, 1)).unwrap();
        // Width and height of the header chunk, and its checksum.
        bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(decode("bomb.png", &bomb).is_err());
    }
}
