//! Foreground and background of an image of any size.

mod room;

use atelier_chassis::models::{graph::unfit, model_version};
use atelier_chassis::{ServiceError, Stage};
use atelier_package::{ImageShape, Segmentation};
use atelier_picture::{Encoded, Picture, message};
use atelier_proto::codec::v1 as api;
use atelier_transforms::segmentation::{Blend, Mask, Plane, Tiles, normalise, overlay};
use tokio::sync::OwnedSemaphorePermit;

use crate::codec::Job;
use crate::fields;
use crate::graph::image_shape;

pub(crate) use room::Room;

/// The shortest side of an image: in less there is nothing to be seen.
const LEAST_SIDE: usize = 16;
/// The most pixels of an image: some hundred tiles.
const MOST_PIXELS: usize = 1 << 22;
/// Tiles that are cut and given to the engine together.
const TOGETHER: usize = 8;

/// Answers a request, once there is room for its image.
pub(crate) async fn segment(
    job: &Job,
    room: &Room,
    request: api::SegmentRequest,
) -> Result<api::SegmentResponse, ServiceError> {
    let table = job.model.manifest().segmentation;
    let mut table = table.ok_or_else(|| unfit(&job.model, "it has no [segmentation]"))?;
    // The package's threshold is between 0 and 1, but may be nearer to them than a caller's.
    if request.threshold.is_some() {
        table.threshold = fields::number("threshold", request.threshold, 0.5, 0.01..=0.99)?.into();
    }
    let spec = job.model.manifest().graph("segmenter").and_then(|graph| graph.input("image"));
    let tile = image_shape(&job.model, spec)?;
    let image = Encoded::new("image", request.image)?;
    let (pixels, image) =
        job.blocking.run(Stage::Decode, move || Ok((image.pixels(LEAST_SIDE, MOST_PIXELS)?, image))).await?;
    let room = room.take(pixels).await?;
    let mut work = job.blocking.run(Stage::Decode, move || Work::new(image, table, tile, room)).await?;
    while work.next < work.tiles.len() {
        let (after, rows, values) = job.blocking.run(Stage::Convert, move || Ok(work.cut())).await?;
        let logits = job.run("segmenter", rows, vec![("image", values)]).await?.take("logits")?;
        job.finite("logits", &logits)?;
        work = job.blocking.run(Stage::Convert, move || Ok(after.add(&logits))).await?;
    }
    let model = model_version(&job.model);
    job.blocking.run(Stage::Encode, move || work.finish(Some(model), request.overlay)).await
}

/// An image on its way through the model.
struct Work {
    table: Segmentation,
    tile: ImageShape,
    picture: Plane,
    tiles: Tiles,
    blend: Blend,
    /// The first tile that was not cut yet.
    next: usize,
    /// The first tile whose logits are not there yet.
    added: usize,
    /// Held by the work and not by the request: one that is gone may leave its work on a blocking thread.
    _room: OwnedSemaphorePermit,
}

impl Work {
    fn new(
        image: Encoded,
        table: Segmentation,
        tile: ImageShape,
        room: OwnedSemaphorePermit,
    ) -> Result<Self, ServiceError> {
        let picture = image.grey()?;
        let (height, width) = (picture.shape.height, picture.shape.width);
        let plane = Plane::new(height, width, picture.values);
        let plane = plane.ok_or_else(|| ServiceError::internal("a decoded image lost its pixels"))?;
        let tiles = Tiles::new((height, width), (tile.height, tile.width), table.overlap);
        Ok(Self {
            picture: normalise(&plane, &table),
            blend: Blend::new(tiles.clone()),
            tiles,
            table,
            tile,
            next: 0,
            added: 0,
            _room: room,
        })
    }

    /// Cuts the next tiles: how many, and their values.
    fn cut(mut self) -> (Self, usize, Vec<f32>) {
        let end = (self.next + TOGETHER).min(self.tiles.len());
        let rows = end - self.next;
        let values = (self.next..end).flat_map(|index| self.tiles.cut(&self.picture, index)).collect();
        self.next = end;
        (self, rows, values)
    }

    /// Takes the logits of the tiles that were cut last.
    fn add(mut self, logits: &[f32]) -> Self {
        for tile in logits.chunks((self.tile.height * self.tile.width).max(1)) {
            self.blend.add(self.added, tile);
            self.added += 1;
        }
        self
    }

    fn finish(
        self,
        model: Option<atelier_proto::models::v1::ModelVersion>,
        with_overlay: bool,
    ) -> Result<api::SegmentResponse, ServiceError> {
        let threshold = self.table.threshold as f32;
        let mask = Mask::of(&self.blend.finish(), threshold).without_specks(self.table.smallest);
        let shape = ImageShape { channels: 1, height: mask.height(), width: mask.width() };
        let values = mask.pixels().iter().map(|pixel| f32::from(u8::from(*pixel))).collect();
        let drawn = with_overlay.then(|| Picture {
            shape: ImageShape { channels: 3, ..shape },
            values: overlay(&self.picture, &mask).concat(),
        });
        let area = mask.area();
        Ok(api::SegmentResponse {
            model,
            mask: Some(message::png(&Picture { shape, values })?),
            overlay: drawn.as_ref().map(message::png).transpose()?,
            area_fraction: area as f64 / mask.pixels().len() as f64,
            area_pixels: area as u64,
            pieces: u32::try_from(mask.pieces().len()).unwrap_or(u32::MAX),
            threshold,
        })
    }
}

#[cfg(test)]
mod tests {
    use atelier_package::Curve;
    use futures_util::FutureExt;

    use super::*;

    fn work(room: OwnedSemaphorePermit) -> Work {
        let shape = ImageShape { channels: 1, height: 20, width: 20 };
        let image = message::png(&Picture { shape, values: vec![0.5; 400] }).unwrap();
        let table = Segmentation {
            percentiles: [0.0, 100.0],
            curve: Curve::Linear,
            threshold: 0.5,
            overlap: 4,
            smallest: 0,
        };
        let tile = ImageShape { channels: 1, height: 16, width: 16 };
        Work::new(Encoded::new("image", Some(image)).unwrap(), table, tile, room).unwrap()
    }

    #[test]
    fn an_image_takes_its_room_until_it_is_answered_or_given_up() {
        let room = Room::new(1000);
        let take = || room.take(400).now_or_never().map(Result::unwrap);
        let (answered, given_up) = (work(take().unwrap()), work(take().unwrap()));
        assert!(take().is_none(), "800 of 1000 pixels are in progress");
        answered.finish(None, true).unwrap();
        let more = take().expect("the first is answered");
        let (given_up, rows, _) = given_up.cut();
        assert_eq!(rows, 4);
        assert!(take().is_none(), "it holds what it took from one step to the next");
        drop(given_up);
        assert!(take().is_some());
        drop(more);
    }
}
