//! Pictures as files.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::cli::failure::{Exit, Failure};

/// The largest side of a picture, as for the servers.
const MAX_SIDE: u32 = 8192;

/// Decodes a PNG or JPEG, called `name` in errors.
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
    reader.decode().map_err(|e| wrong(format!("cannot be decoded: {e}")))
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
    fn a_picture_that_claims_to_be_huge_is_refused() {
        let mut bomb = encode(&DynamicImage::new_luma8(1, 1)).unwrap();
        // Width and height of the header chunk, and its checksum.
        bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(decode("bomb.png", &bomb).is_err());
    }
}
