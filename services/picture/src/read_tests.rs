use image::codecs::jpeg::JpegEncoder;
use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.into().write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

fn jpeg(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut out = Vec::new();
    image.into().write_with_encoder(JpegEncoder::new_with_quality(&mut out, 95)).unwrap();
    out
}

/// Some picture with detail in it, so that its files have entropy-coded data to cut into.
fn textured(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 37 + y * 11) as u8, (x * y) as u8, (y * 53) as u8]))
}

/// A whole and valid file that says it has these sides, and hardly any data.
fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut png = png(GrayImage::new(1, 1));
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32fast::hash(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

fn planes(data: &[u8], colour: bool) -> Vec<Vec<f32>> {
    Decoded::read(data, None).unwrap().planes(colour)
}

fn close(planes: &[Vec<f32>], wanted: &[f32]) {
    assert_eq!(planes.len(), wanted.len());
    for (plane, wanted) in planes.iter().zip(wanted) {
        assert!((plane[0] - wanted).abs() < 1e-6, "{planes:?}, wanted {wanted}");
    }
}

#[test]
fn colour_becomes_grey_by_the_documented_weights_and_grey_becomes_colour_by_repeating() {
    let red = png(RgbImage::from_pixel(1, 1, Rgb([255, 0, 0])));
    close(&planes(&red, false), &[0.2126]);
    close(&planes(&red, true), &[1.0, 0.0, 0.0]);
    let mixed = png(RgbImage::from_pixel(1, 1, Rgb([51, 102, 204])));
    close(&planes(&mixed, false), &[0.2126 * 0.2 + 0.7152 * 0.4 + 0.0722 * 0.8]);
    close(&planes(&png(GrayImage::from_pixel(1, 1, Luma([51]))), true), &[0.2, 0.2, 0.2]);
}

#[test]
fn an_alpha_channel_is_laid_over_black() {
    let half = png(RgbaImage::from_pixel(1, 1, Rgba([255, 255, 0, 51])));
    close(&planes(&half, true), &[0.2, 0.2, 0.0]);
    let clear = png(GrayAlphaImage::from_pixel(1, 1, image::LumaA([255, 0])));
    close(&planes(&clear, false), &[0.0]);
}

#[test]
fn sixteen_bits_are_kept() {
    let fine = png(ImageBuffer::<Luma<u16>, _>::from_pixel(1, 1, Luma([257 * 100 + 1])));
    close(&planes(&fine, false), &[(257.0 * 100.0 + 1.0) / 65535.0]);
    let fine = png(ImageBuffer::<Rgba<u16>, _>::from_pixel(1, 1, Rgba([65535, 6553, 0, 65535])));
    close(&planes(&fine, true), &[1.0, 6553.0 / 65535.0, 0.0]);
}

#[test]
fn jpeg_is_read_grey_and_colour() {
    let grey = Decoded::read(&jpeg(GrayImage::from_pixel(9, 5, Luma([128]))), Some(Format::Jpeg)).unwrap();
    assert_eq!((grey.width(), grey.height(), grey.is_colour()), (9, 5, false));
    assert!((grey.planes(false)[0][44] - 128.0 / 255.0).abs() < 0.01);
    let colour = Decoded::read(&jpeg(textured(20, 30)), None).unwrap();
    assert_eq!((colour.width(), colour.height(), colour.is_colour()), (20, 30, true));
}

/// A JPEG that says, in an EXIF segment behind its start marker, how it lies.
fn lying(orientation: u8, image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut data = jpeg(image);
    // Big-endian, and one entry: the tag 0x112, of one 16-bit number.
    let entry = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";
    let tiff = [&entry[..], &[orientation], &[0; 6]].concat();
    let segment = [&b"\xff\xe1\0"[..], &[tiff.len() as u8 + 8], b"Exif\0\0", &tiff].concat();
    data.splice(2..2, segment);
    data
}

#[test]
fn a_jpeg_that_lies_on_its_side_is_turned_upright() {
    // Black on the left; after a quarter turn to the right it is above.
    let sides = || GrayImage::from_fn(32, 16, |x, _| Luma([if x < 16 { 0 } else { 255 }]));
    let upright = Decoded::read(&lying(6, sides()), None).unwrap();
    assert_eq!((upright.width(), upright.height()), (16, 32));
    let values = upright.grey().values;
    assert!(values[..8 * 16].iter().all(|v| *v < 0.1) && values[24 * 16..].iter().all(|v| *v > 0.9));
    // One that stands as it is, and one that says what is no orientation.
    for orientation in [1, 99] {
        assert_eq!(Decoded::read(&lying(orientation, sides()), None).unwrap().width(), 32);
    }
}

#[test]
fn a_bomb_that_lies_on_its_side_is_refused_by_its_header_too() {
    let mut data = lying(6, GrayImage::new(8, 8));
    let frame = data.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    data[frame + 5..frame + 9].copy_from_slice(&[0x20, 0x01, 0, 8]);
    let error = Decoded::read(&data, None).unwrap_err();
    assert_eq!(error, PictureError::TooLarge { width: 8, height: 8193 });
}

#[test]
fn a_jpeg_with_bytes_behind_its_end_is_whole() {
    let mut data = jpeg(textured(20, 30));
    data.extend(b"a phone's own notes");
    assert!(Decoded::read(&data, None).is_ok());
}

#[test]
fn nothing_and_foreign_bytes_are_refused_with_what_would_be_right() {
    let error = Decoded::read(&[], None).unwrap_err();
    assert_eq!(
        (error.field(), error.to_string().as_str()),
        ("data", "is empty, but the bytes of a PNG or JPEG file are right")
    );
    for foreign in [&b"GIF89a.."[..], b"\0", b"RIFF\0\0\0\0WEBP", b"<svg>", &[0x89, b'P', b'N', b'G']] {
        let error = Decoded::read(foreign, None).unwrap_err();
        assert!(matches!(error, PictureError::UnknownFormat(_)), "{error}");
        assert_eq!(error.field(), "data");
    }
}

#[test]
fn a_format_that_differs_from_the_bytes_is_refused_under_its_own_field() {
    let error = Decoded::read(&png(textured(3, 3)), Some(Format::Jpeg)).unwrap_err();
    assert_eq!(error.field(), "format");
    assert_eq!(error.to_string(), "says JPEG, but `data` is PNG by its first bytes");
    assert!(Decoded::read(&png(textured(3, 3)), Some(Format::Png)).is_ok());
}

#[test]
fn an_image_bomb_is_refused_by_its_header() {
    for (width, height) in
        [(100_000, 100_000), (MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (8192, 8192), (4097, 4096)]
    {
        let error = Decoded::read(&png_that_claims(width, height), None).unwrap_err();
        assert_eq!(error, PictureError::TooLarge { width, height });
    }
    // Small enough by its header: then it is the missing data that is wrong.
    let error = Decoded::read(&png_that_claims(4096, 4096), None).unwrap_err();
    assert!(matches!(error, PictureError::Damaged { .. }), "{error}");
    let mut jpeg = jpeg(GrayImage::new(8, 8));
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let error = Decoded::read(&jpeg, None).unwrap_err();
    assert_eq!(error, PictureError::TooLarge { width: 65535, height: 65535 });
}

#[test]
fn a_bomb_of_metadata_is_refused_or_passed_over() {
    // 64 MiB of zeroes in a compressed text chunk, ahead of a good image.
    let png = png(GrayImage::from_pixel(1, 1, Luma([9])));
    let mut zeroes = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut zeroes, &vec![0; 64 << 20]).unwrap();
    let mut chunk = b"zTXtbomb\0\0".to_vec();
    chunk.extend(zeroes.finish().unwrap());
    let mut bomb = png[..33].to_vec();
    bomb.extend((chunk.len() as u32 - 4).to_be_bytes());
    bomb.extend(&chunk);
    bomb.extend(crc32fast::hash(&chunk).to_be_bytes());
    bomb.extend(&png[33..]);
    if let Ok(image) = Decoded::read(&bomb, None) {
        close(&image.planes(false), &[9.0 / 255.0]);
    }
}

#[test]
fn a_jpeg_of_endless_scans_is_refused() {
    let whole = jpeg(textured(16, 16));
    let scan = whole.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    let mut hostile = whole[..whole.len() - 2].to_vec();
    for _ in 0..200 {
        hostile.extend(&whole[scan..whole.len() - 2]);
    }
    hostile.extend([0xff, 0xd9]);
    let error = Decoded::read(&hostile, None).unwrap_err();
    assert!(error.to_string().contains("more than 100 scans"), "{error}");
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for whole in [png(textured(40, 30)), jpeg(textured(40, 30)), jpeg(GrayImage::new(17, 3))] {
        assert!(Decoded::read(&whole, None).is_ok());
        // The last chunk of a PNG, 12 bytes, says only that it is over.
        let last = if whole[0] == 0x89 { whole.len() - 12 } else { whole.len() };
        for end in 0..last {
            let error = Decoded::read(&whole[..end], None).err();
            assert!(error.is_some(), "the first {end} of {} bytes were taken for an image", whole.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), kind in 0..2) {
        let mut data = if kind == 0 { png(textured(12, 9)) } else { jpeg(textured(12, 9)) };
        let at = at.index(data.len());
        data[at] = byte;
        if let Ok(image) = Decoded::read(&data, None) {
            prop_assert!(image.planes(true).iter().flatten().all(|v| (0.0..=1.0).contains(v)));
        }
    }

    #[test]
    fn random_bytes_behind_a_signature_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..2) {
        let mut data: Vec<u8> = if kind == 0 { vec![0x89, b'P', b'N', b'G', 13, 10, 26, 10] } else { vec![255, 216, 255] };
        data.extend(tail);
        let _ = Decoded::read(&data, None);
    }
}
