//! `atelier codec segment`.

use std::path::{Path, PathBuf};

use atelier_proto::codec::v1::{SegmentRequest, SegmentResponse};
use serde_json::{Value, json};

use super::images::{JobsArgs, image, picture};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::destination::{Destination, names};
use crate::files::input::{self, is_standard};
use crate::files::json as parts;
use crate::files::stdout::Remarks;

/// Find what is foreground in images, such as nuclei under a microscope.
///
/// Images may have any size from 16 pixels a side to 4194304 in all. Says of each how many connected pieces
/// the foreground has and how much of the image it is; pieces that touch are one.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Segment {
    /// PNG or JPEG files; `-` is stdin
    #[arg(value_name = "IMAGE", default_value = "-")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Write masks, white on black: a PNG file, a directory (ending in `/`, or for several images), or `-`
    /// for stdout
    #[arg(long, value_name = "PATH")]
    mask: Option<PathBuf>,
    /// Write the images with outlines drawn around the foreground: as --mask
    #[arg(long, value_name = "PATH")]
    overlay: Option<PathBuf>,
    /// The probability from which a pixel is foreground, 0.01 to 0.99 [default: the model's own]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    threshold: Option<f32>,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Print what was found as JSON lines
    #[arg(long)]
    json: bool,
}

impl Segment {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        input::stdin_once(&self.images)?;
        let files = names(&self.images);
        let calls: Vec<String> = self.images.iter().map(|path| path.display().to_string()).collect();
        let (mask, overlay) = self.destinations(&files)?;
        let piped = [&mask, &overlay].into_iter().flatten().any(|d| *d == Destination::Stdout);
        let mut remarks = Remarks::new(mask.is_some() || overlay.is_some());
        let connection = Connection::open(server).await?;
        let work = async |index: usize| self.one(&connection, index).await;
        let done = |index: usize, answer: SegmentResponse| {
            let name = calls.get(index).map_or("", String::as_str);
            let file = files.get(index).map_or("", String::as_str);
            let said = match self.json {
                true => as_json(name, &answer).to_string(),
                false => as_text(name, &answer),
            };
            for (destination, made) in [(&mask, answer.mask), (&overlay, answer.overlay)] {
                if let Some(destination) = destination {
                    destination.write(file, &picture(made)?)?;
                }
            }
            if piped { Ok(()) } else { remarks.line(&said) }
        };
        self.jobs.each(&calls, "segmented", work, done).await
    }

    async fn one(&self, connection: &Connection, index: usize) -> Result<SegmentResponse, Failure> {
        let path = self.images.get(index).ok_or_else(|| Failure::usage("no such image"))?;
        let (model, version) = self.model.split();
        let request = SegmentRequest {
            model,
            version,
            image: Some(image(input::bytes(path)?)),
            overlay: self.overlay.is_some(),
            threshold: self.threshold,
        };
        connection.unary(request, async |c, r| service(c).segment(r).await).await
    }

    /// Where masks and overlays go.
    fn destinations(&self, files: &[String]) -> Result<(Option<Destination>, Option<Destination>), Failure> {
        let (mask, overlay) = (self.mask.as_deref(), self.overlay.as_deref());
        let piped = [mask, overlay].into_iter().flatten().filter(|path| is_standard(path)).count();
        if piped + usize::from(self.json) > 1 {
            return Err(Failure::usage("one of --mask -, --overlay - and --json can have stdout"));
        }
        let open = |option: &str, path: Option<&Path>| {
            path.map(|path| Destination::open(option, path, files, &self.images)).transpose()
        };
        let (mask, overlay) = (open("--mask", mask)?, open("--overlay", overlay)?);
        if let (Some(mask), Some(overlay)) = (&mask, &overlay)
            && mask.meets(files, overlay, files)
        {
            return Err(Failure::usage("--mask and --overlay name one place: one would overwrite the other"));
        }
        Ok((mask, overlay))
    }
}

fn as_text(name: &str, answer: &SegmentResponse) -> String {
    let pieces = if answer.pieces == 1 { "piece" } else { "pieces" };
    format!(
        "{name}: {} {pieces}, {:.2} % of the image ({} pixels)",
        answer.pieces,
        100.0 * answer.area_fraction,
        answer.area_pixels
    )
}

fn as_json(name: &str, answer: &SegmentResponse) -> Value {
    json!({
        "image": name,
        "model": parts::model(answer.model.as_ref()),
        "pieces": answer.pieces,
        "area_fraction": answer.area_fraction,
        "area_pixels": answer.area_pixels,
        "threshold": parts::number(answer.threshold),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::failure::Exit;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        segment: Segment,
    }

    fn destinations(line: &[&str]) -> Result<(Option<Destination>, Option<Destination>), Failure> {
        let line = std::iter::once("x").chain(line.iter().copied());
        let segment = Line::try_parse_from(line).unwrap().segment;
        segment.destinations(&names(&segment.images))
    }

    #[test]
    fn masks_and_overlays_have_places_of_their_own() {
        assert_eq!(destinations(&["a.png"]), Ok((None, None)));
        let file = |name: &str| Some(Destination::File(name.into()));
        assert_eq!(
            destinations(&["a.png", "--mask", "m.png", "--overlay", "o.png"]),
            Ok((file("m.png"), file("o.png")))
        );
        for (line, wrong) in [
            (&["--mask", "m.jpg"][..], "--mask: pictures are written as PNG"),
            (&["--mask", "m.png", "--overlay", "m.png"], "name one place"),
            (&["--mask", "m.png", "--overlay", "./m.png"], "name one place"),
            (&["--mask", "src/", "--overlay", "./src"], "name one place"),
            (&["a.png", "--mask", "src/a.png", "--overlay", "src"], "name one place"),
            (&["--mask", "-", "--json"], "can have stdout"),
            (&["--mask", "-", "--overlay", "-"], "can have stdout"),
            (&["a.png", "b.png", "--overlay", "-"], "--overlay: 2 pictures do not go to stdout"),
        ] {
            let refused = destinations(line).unwrap_err();
            assert_eq!(refused.exit(), Exit::Usage);
            assert!(refused.to_string().contains(wrong), "{refused}");
        }
    }

    #[test]
    fn what_was_found_is_said_for_people_and_for_programs() {
        let answer = SegmentResponse {
            area_fraction: 0.087_189,
            area_pixels: 5714,
            pieces: 27,
            threshold: 0.46,
            ..SegmentResponse::default()
        };
        assert_eq!(as_text("a.png", &answer), "a.png: 27 pieces, 8.72 % of the image (5714 pixels)");
        let one = SegmentResponse { pieces: 1, ..answer.clone() };
        assert!(as_text("a.png", &one).starts_with("a.png: 1 piece, "));
        assert_eq!(
            as_json("a.png", &answer),
            json!({
                "image": "a.png", "model": null, "pieces": 27, "area_fraction": 0.087_189,
                "area_pixels": 5714, "threshold": 0.46,
            })
        );
    }
}
