//! `atelier codec interpolate`.

use std::path::{Path, PathBuf};

use atelier_proto::codec::v1::{InterpolateRequest, Waypoint, waypoint::Point};
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{FitArgs, image, picture};
use super::written_code;
use super::{Connection, ServerArgs, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::ModelArgs;
use crate::files::destination::numbered;
use crate::files::{input, json as parts, progress};

/// Walk from one image or code to another.
///
/// Each end is an image, or a file with a code as `atelier codec encode` prints it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Interpolate {
    /// Where the walk starts: a PNG, JPEG or JSON file; `-` is stdin
    #[arg(value_name = "START")]
    start: PathBuf,
    /// Where it ends
    #[arg(value_name = "END")]
    end: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// How many frames, both ends included, 2 to 256
    #[arg(long, short = 'n', value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=256))]
    steps: u32,
    /// Walk along the great circle and not along the straight line
    #[arg(long)]
    spherical: bool,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Interpolate {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let inputs = [self.start.clone(), self.end.clone()];
        input::stdin_once(&inputs)?;
        let count = usize::try_from(self.steps).unwrap_or_default();
        let mut gallery = Gallery::open(&self.output, numbered("frame", count), &inputs)?;
        let (model, version) = self.model.split();
        let request = InterpolateRequest {
            model,
            version,
            start: Some(waypoint(&self.start)?),
            end: Some(waypoint(&self.end)?),
            steps: Some(self.steps),
            spherical: self.spherical,
            fit: self.fit.number(),
        };
        let connection = Connection::open(server).await?;
        let mut frames = connection.stream(request, async |c, r| service(c).interpolate(r).await).await?;
        let bar = progress::bar(count, "frames");
        let mut received = 0;
        while let Some(frame) = frames.next().await? {
            let index = usize::try_from(frame.index).unwrap_or(usize::MAX);
            let about = json!({
                "index": frame.index,
                "model": parts::model(frame.model.as_ref()),
                "code": parts::code(frame.code.as_ref()),
            });
            gallery.put(index, &[], &picture(frame.image)?, about)?;
            received += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        if received != count {
            return Err(Failure::new(Exit::Other, format!("the server sent {received} frames of {count}")));
        }
        gallery.close()
    }
}

/// One end of the walk. Of a file with several codes the first is taken.
fn waypoint(path: &Path) -> Result<Waypoint, Failure> {
    let bytes = input::bytes(path)?;
    let point = if written_code::looks_like_code(&bytes) {
        written_code::parse(path, &bytes)?.into_iter().next().map(|written| Point::Code(written.code))
    } else {
        Some(Point::Image(image(bytes)))
    };
    Ok(Waypoint { point })
}
