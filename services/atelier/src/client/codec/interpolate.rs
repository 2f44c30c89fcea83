//! `atelier codec interpolate`.

use std::path::{Path, PathBuf};

use atelier_proto::codec::v1::{InterpolateRequest, Waypoint, waypoint::Point};
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{FitArgs, image, picture};
use super::written_code;
use super::{Connection, ServerArgs, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::{ModelArg, ModelArgs};
use crate::files::destination::numbered;
use crate::files::{input, json as parts, progress};

/// Walk from one image or code to another.
///
/// Each end is an image, or a file with a code as `atelier codec encode` prints it. A code that says which model it
/// is of is walked from or to by that one, and neither the other end nor --model must say another.
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
        let (start, start_model) = waypoint(&self.start)?;
        let (end, end_model) = waypoint(&self.end)?;
        let ModelArg { name, version } = self.model(&start_model, &end_model)?;
        let request = InterpolateRequest {
            model: name,
            version,
            start: Some(start),
            end: Some(end),
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

    /// The model of the walk: the one that was asked for, which is also the one that each end is of.
    fn model(&self, start: &ModelArg, end: &ModelArg) -> Result<ModelArg, Failure> {
        let asked = self.model.arg();
        let wrong = |path: &Path, of: &ModelArg, other: String| {
            Failure::bad_input(format!("{}: is a code of {of}, but {other}", path.display()))
        };
        let says = format!("--model says {asked}");
        let both = asked.and(start).ok_or_else(|| wrong(&self.start, start, says.clone()))?;
        asked.and(end).ok_or_else(|| wrong(&self.end, end, says))?;
        both.and(end)
            .ok_or_else(|| wrong(&self.end, end, format!("{} is one of {start}", self.start.display())))
    }
}

/// One end of the walk, and the model that it is of. Of a file with several codes the first is taken.
fn waypoint(path: &Path) -> Result<(Waypoint, ModelArg), Failure> {
    let bytes = input::bytes(path)?;
    if !written_code::looks_like_code(&bytes) {
        return Ok((Waypoint { point: Some(Point::Image(image(bytes))) }, ModelArg::default()));
    }
    let first = written_code::parse(path, &bytes)?.into_iter().next();
    let (code, model) = first.map(|written| (Point::Code(written.code), written.model)).unzip();
    Ok((Waypoint { point: code }, model.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        walk: Interpolate,
    }

    #[test]
    fn both_ends_are_of_one_model_which_is_the_one_that_was_asked_for() {
        let arg = |text: &str| text.parse::<ModelArg>().unwrap_or_default();
        let model = |line: &[&str], start: &str, end: &str| {
            let line = [&["x", "a.json", "b.json"][..], line].concat();
            let walk = Line::try_parse_from(line).unwrap().walk;
            walk.model(&arg(start), &arg(end))
                .map(|model| model.to_string())
                .map_err(|e| (e.exit(), e.to_string()))
        };
        assert_eq!(model(&[], "", ""), Ok(String::new()));
        assert_eq!(model(&[], "", "a@2"), Ok("a@2".into()));
        assert_eq!(model(&["-m", "a"], "a@2", ""), Ok("a@2".into()));
        for (line, start, end, wrong) in [
            (&[][..], "a@1", "a@2", "b.json: is a code of a@2, but a.json is one of a@1"),
            (&["-m", "b"], "a@1", "", "a.json: is a code of a@1, but --model says b"),
            (&["-m", "a"], "a@1", "b@1", "b.json: is a code of b@1, but --model says a"),
        ] {
            assert_eq!(model(line, start, end), Err((Exit::BadInput, wrong.to_owned())));
        }
    }
}
