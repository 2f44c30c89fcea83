//! `atelier codec encode`.

use std::path::PathBuf;

use atelier_proto::codec::v1::{EncodeRequest, EncodeResponse};
use serde_json::{Value, json};

use super::images::{ImagesArgs, image, stopped};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::input::{is_standard, stdin_once};
use crate::files::{json as parts, stdout, whole};

/// Encode images into codes, written as JSON lines.
///
/// Each line has the image, the model, the mean and log-variance of the code and, with --sample, a code
/// drawn from them and the seed. `atelier codec decode` reads such lines.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Encode {
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Also draw a code from the mean and variance
    #[arg(long)]
    sample: bool,
    /// The seed of --sample, from 1 [default: drawn by the server]
    #[arg(long, value_name = "N", requires = "sample", value_parser = clap::value_parser!(u64).range(1..))]
    seed: Option<u64>,
    /// A file for the JSON lines, or `-` for stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

impl Encode {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let images = &self.images;
        stdin_once(&images.images)?;
        if !is_standard(&self.output) {
            whole::prepare(&self.output, &images.images)?;
        }
        let connection = Connection::open(server).await?;
        let calls = images.names();
        let work = async |index| {
            let (model, version) = self.model.split();
            let request = EncodeRequest {
                model,
                version,
                image: Some(image(images.read(index)?)),
                fit: images.fit.number(),
                sample: self.sample,
                seed: self.seed.unwrap_or_default(),
            };
            connection.unary(request, async |c, r| service(c).encode(r).await).await
        };
        let mut lines = String::new();
        let done = |index: usize, answer| {
            let name = calls.get(index).map_or("", String::as_str);
            let line = line(name, &answer).to_string();
            if is_standard(&self.output) {
                return stdout::line(&line);
            }
            lines.push_str(&line);
            lines.push('\n');
            Ok(())
        };
        let ended = images.jobs.each(&calls, "encoded", work, done).await;
        // What was there before is kept where there is nothing to put in its place.
        if !lines.is_empty() && !stopped(&ended) {
            whole::write(&self.output, lines.as_bytes())?;
        }
        ended
    }
}

fn line(name: &str, answer: &EncodeResponse) -> Value {
    let mut line = json!({
        "image": name,
        "model": parts::model(answer.model.as_ref()),
        "mean": parts::code(answer.mean.as_ref()),
    });
    if let Value::Object(fields) = &mut line {
        if !answer.log_variance.is_empty() {
            fields.insert("log_variance".into(), parts::numbers(&answer.log_variance));
        }
        if answer.sample.is_some() {
            fields.insert("sample".into(), parts::code(answer.sample.as_ref()));
            fields.insert("seed".into(), json!(answer.seed));
        }
    }
    line
}
