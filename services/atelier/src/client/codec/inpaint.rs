//! `atelier codec inpaint`.

use std::path::PathBuf;
use std::str::FromStr;

use atelier_proto::codec::v1::InpaintRequest;
use image::{DynamicImage, GrayImage, Luma, Rgb};
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{ImagesArgs, image, picture};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::destination::names;
use crate::files::{input, json as parts};
use crate::picture::{decode, encode, flatten};

/// Fill a hole in images from what is around it.
///
/// The hole is where a mask is white, or a box; what the images have there is not looked at. With --grid, the
/// image with its hole in grey stands between what it was and what became of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Inpaint {
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    hole: HoleArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct HoleArgs {
    /// An image as large as each of the others: white where they are to be filled, black where they stay
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// The pixels to be filled, counted from the upper left corner
    #[arg(long = "box", value_name = "X,Y,W,H")]
    rectangle: Option<Rectangle>,
}

/// A rectangle of whole pixels, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rectangle {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl FromStr for Rectangle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x, y, width, height]) if width > 0 && height > 0 => Ok(Self { x, y, width, height }),
            _ => Err("must be four whole numbers, as in 7,7,14,14, with a width and height from 1".into()),
        }
    }
}

impl Rectangle {
    /// The mask of an image of this size.
    fn mask(self, name: &str, (width, height): (u32, u32)) -> Result<GrayImage, Failure> {
        let end = |start: u32, length: u32| u64::from(start) + u64::from(length);
        if end(self.x, self.width) > u64::from(width) || end(self.y, self.height) > u64::from(height) {
            return Err(Failure::bad_input(format!(
                "--box: reaches over the edge of {name}, which is {width}x{height} pixels"
            )));
        }
        Ok(GrayImage::from_fn(width, height, |x, y| {
            let inside = |at: u32, start: u32, length: u32| at >= start && at - start < length;
            let hole = inside(x, self.x, self.width) && inside(y, self.y, self.height);
            Luma([if hole { 255 } else { 0 }])
        }))
    }
}

/// An image as it was, with its hole in grey, and as it came back.
struct Inpainted {
    original: Vec<u8>,
    holed: Option<Vec<u8>>,
    made: Vec<u8>,
    about: serde_json::Value,
}

impl Inpaint {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let images = &self.images;
        input::stdin_once(images.images.iter().chain(&self.hole.mask))?;
        let mask = self.hole.mask.as_deref().map(input::bytes).transpose()?;
        let inputs: Vec<PathBuf> = images.images.iter().chain(&self.hole.mask).cloned().collect();
        let mut gallery = Gallery::open(&self.output, names(&images.images), &inputs)?;
        let draws = gallery.is_grid();
        let connection = Connection::open(server).await?;
        let calls = images.names();
        let work = async |index: usize| {
            let name = calls.get(index).map_or("", String::as_str);
            self.one(&connection, index, name, mask.as_deref(), draws).await
        };
        let done = |index: usize, result: Inpainted| {
            let name = calls.get(index).map_or("", String::as_str);
            let mut stages = vec![(name, result.original.as_slice())];
            stages.extend(result.holed.as_deref().map(|holed| ("the image with its hole", holed)));
            gallery.put(index, &stages, &result.made, result.about)
        };
        let ended = images.jobs.each(&calls, "inpainted", work, done).await;
        gallery.close_after(ended)
    }

    async fn one(
        &self,
        connection: &Connection,
        index: usize,
        name: &str,
        mask: Option<&[u8]>,
        draws: bool,
    ) -> Result<Inpainted, Failure> {
        let original = self.images.read(index)?;
        let mask = match (mask, self.hole.rectangle) {
            (Some(mask), _) => mask.to_vec(),
            (None, Some(rectangle)) => {
                let picture = decode(name, &original)?;
                let mask = rectangle.mask(name, (picture.width(), picture.height()))?;
                encode(&DynamicImage::ImageLuma8(mask))?
            }
            (None, None) => return Err(Failure::usage("--mask or --box says where the hole is")),
        };
        let (model, version) = self.model.split();
        let request = InpaintRequest {
            model,
            version,
            image: Some(image(original.clone())),
            fit: self.images.fit.number(),
            mask: Some(image(mask.clone())),
        };
        let answer = connection.unary(request, async |c, r| service(c).inpaint(r).await).await?;
        let about = json!({
            "image": name,
            "model": parts::model(answer.model.as_ref()),
            "filled_fraction": parts::number(answer.filled_fraction),
        });
        let holed = if draws { Some(holed(name, &original, &mask)?) } else { None };
        Ok(Inpainted { original, holed, made: picture(answer.image)?, about })
    }
}

/// The image with the hole in grey; the server has found them to be of one size.
fn holed(name: &str, original: &[u8], mask: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut picture = flatten(&decode(name, original)?).into_rgb8();
    let mask = flatten(&decode("the mask", mask)?).into_luma8();
    for (pixel, mask) in picture.pixels_mut().zip(mask.pixels()) {
        if mask.0[0] >= 128 {
            *pixel = Rgb([128; 3]);
        }
    }
    encode(&DynamicImage::ImageRgb8(picture))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    #[test]
    fn a_box_is_four_numbers() {
        let right = Rectangle { x: 7, y: 8, width: 14, height: 1 };
        assert_eq!("7,8,14,1".parse(), Ok(right));
        assert_eq!("7, 8, 14, 1".parse(), Ok(right));
        for wrong in ["", "7,8,14", "7,8,0,1", "7,8,14,0", "-1,8,14,1", "a,8,14,1", "7,8,14,1,2", "1.5,2,3,4"]
        {
            assert!(wrong.parse::<Rectangle>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_mask_of_a_box_is_white_in_it_and_black_around_it() {
        let mask = Rectangle { x: 1, y: 0, width: 2, height: 1 }.mask("a.png", (4, 2)).unwrap();
        assert_eq!(mask.as_raw(), &[0, 255, 255, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_clear_is_black_and_no_hole() {
        let clear = |count| image::RgbaImage::from_pixel(count, 1, [255, 255, 255, 0].into());
        let mut mask = clear(2);
        mask.put_pixel(1, 0, [255; 4].into());
        let png = |picture: image::RgbaImage| encode(&picture.into()).unwrap();
        let holed = decode("holed", &holed("a.png", &png(clear(2)), &png(mask)).unwrap()).unwrap();
        assert_eq!(holed.into_rgb8().into_raw(), [0, 0, 0, 128, 128, 128]);
    }

    #[test]
    fn a_box_over_the_edge_is_refused_naming_the_image_and_its_size() {
        for rectangle in [
            Rectangle { x: 3, y: 0, width: 2, height: 1 },
            Rectangle { x: 0, y: u32::MAX, width: 1, height: u32::MAX },
        ] {
            let refused = rectangle.mask("a.png", (4, 2)).unwrap_err();
            assert_eq!(refused.exit(), Exit::BadInput);
            assert!(refused.to_string().contains("a.png, which is 4x2"), "{refused}");
        }
    }
}
