//! `atelier image interpolate`.

use std::str::FromStr;

use atelier_proto::image::v1::{InterpolateRequest, LatentPoint};
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::picture;
use super::{Connection, ServerArgs, condition, say_licence, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::ModelArgs;
use crate::files::destination::numbered;
use crate::files::{json as parts, progress};

/// Walk from one new image to another through the latent space of a generator.
///
/// The ends are images of `atelier image generate`, by their seed and index. Name a directory for the frames, a
/// PNG file for a grid of them (--columns for a strip), or a file that ends in .apng for an animation.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Interpolate {
    #[command(flatten)]
    model: ModelArgs,
    /// The image at which the walk starts, its seed from 1 [default: drawn by the server]
    #[arg(long, value_name = "SEED[:INDEX]")]
    from: Option<Place>,
    /// The image at which it ends [default: drawn by the server]
    #[arg(long, value_name = "SEED[:INDEX]")]
    to: Option<Place>,
    /// How many frames, both ends included, 2 to 240
    #[arg(long, short = 'n', value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=240))]
    frames: u32,
    /// The class of all frames, by name or id [default: drawn for each end]
    #[arg(long, short, value_name = "CLASS", conflicts_with_all = ["from_class", "to_class"])]
    class: Option<String>,
    /// The class of the first half of the frames
    #[arg(long, value_name = "CLASS")]
    from_class: Option<String>,
    /// The class of the second half of the frames
    #[arg(long, value_name = "CLASS")]
    to_class: Option<String>,
    /// The age of all frames in years [default: drawn for each end]
    #[arg(long, value_name = "YEARS", allow_negative_numbers = true, conflicts_with_all = ["from_age", "to_age"])]
    age: Option<f32>,
    /// The age of the first frame
    #[arg(long, value_name = "YEARS", allow_negative_numbers = true)]
    from_age: Option<f32>,
    /// The age of the last frame
    #[arg(long, value_name = "YEARS", allow_negative_numbers = true)]
    to_age: Option<f32>,
    /// Draw the numbers of the ends' latent codes beyond this again, 0.1 to 4
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    truncation: Option<f32>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A seed and the index of an image of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    seed: u64,
    index: u32,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seed, index) = text.split_once(':').unwrap_or((text, "0"));
        match (seed.parse(), index.parse()) {
            // On the wire 0 stands for a seed that the server draws.
            (Ok(0), Ok(_)) => Err("seeds are from 1".into()),
            (Ok(seed), Ok(index)) => Ok(Self { seed, index }),
            _ => Err("must be SEED or SEED:INDEX, as in 7:3".into()),
        }
    }
}

impl Interpolate {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let count = usize::try_from(self.frames).unwrap_or_default();
        let mut gallery = Gallery::open(&self.output, numbered("frame", count), &[])?;
        let (model, version) = self.model.split();
        let point = |place: Option<Place>, class: &Option<String>, age: Option<f32>| {
            let Place { seed, index } = place.unwrap_or_default();
            let class = class.clone().or_else(|| self.class.clone()).unwrap_or_default();
            Some(LatentPoint { seed, index, class, age: age.or(self.age) })
        };
        let request = InterpolateRequest {
            model,
            version,
            start: point(self.from, &self.from_class, self.from_age),
            end: point(self.to, &self.to_class, self.to_age),
            frames: Some(self.frames),
            truncation: self.truncation,
        };
        let connection = Connection::open(server).await?;
        let mut frames = connection.stream(request, async |c, r| service(c).interpolate(r).await).await?;
        let bar = progress::bar(count, "frames");
        let (mut received, mut licence) = (0, None);
        while let Some(frame) = frames.next().await? {
            let index = usize::try_from(frame.index).unwrap_or(usize::MAX);
            let about = json!({
                "index": frame.index,
                "model": parts::model(frame.model.as_ref()),
                "seeds": [frame.start_seed, frame.end_seed],
                "shows": condition(frame.condition.as_ref()),
                "licence": frame.licence,
            });
            if frame.condition.as_ref().is_some_and(|shown| shown.age.is_some()) {
                licence = Some((frame.model, frame.licence));
            }
            gallery.put(index, &[], &picture(frame.image)?, about)?;
            received += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        if received != count {
            return Err(Failure::new(Exit::Other, format!("the server sent {received} frames of {count}")));
        }
        gallery.close()?;
        if let Some((model, licence)) = licence {
            say_licence(model.as_ref(), &licence);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_named_by_its_seed_and_maybe_an_index() {
        assert_eq!("7".parse(), Ok(Place { seed: 7, index: 0 }));
        assert_eq!("18446744073709551615:12".parse(), Ok(Place { seed: u64::MAX, index: 12 }));
        for wrong in ["", "7:", ":3", "-1", "7:3:1", "seven"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong:?}");
        }
        for drawn in ["0", "0:3"] {
            assert_eq!(drawn.parse::<Place>(), Err("seeds are from 1".into()));
        }
    }
}
