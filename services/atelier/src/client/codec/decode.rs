//! `atelier codec decode`.

use std::path::PathBuf;

use atelier_proto::codec::v1::DecodeRequest;
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{JobsArgs, picture};
use super::written_code;
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::destination::{names, numbered};
use crate::files::{input, json as parts};

/// Decode codes into images.
///
/// A code is a JSON list of numbers, or an object as `atelier codec encode` prints it, of which `code`,
/// `sample` or `mean` is taken, the first that is there. A file may hold many, one after the other.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Decode {
    /// A file of codes; `-` is stdin
    #[arg(value_name = "CODES", default_value = "-")]
    codes: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Decode {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let codes = written_code::parse(&self.codes, &input::bytes(&self.codes)?)?;
        let images: Option<Vec<PathBuf>> =
            codes.iter().map(|c| c.image.as_ref().map(PathBuf::from)).collect();
        // Called like the images where these are known; so an image may be decoded beside itself, but not
        // over itself.
        let (files, inputs) = match images {
            Some(images) => (names(&images), images),
            None => (numbered("code", codes.len()), Vec::new()),
        };
        let mut gallery = Gallery::open(&self.output, files, &inputs)?;
        let connection = Connection::open(server).await?;
        let calls: Vec<String> = (1..=codes.len()).map(|number| format!("code {number}")).collect();
        let work = async |index: usize| {
            let (model, version) = self.model.split();
            let code = codes.get(index).map(|written| written.code.clone());
            let request = DecodeRequest { model, version, code };
            connection.unary(request, async |c, r| service(c).decode(r).await).await
        };
        let done = |index: usize, answer: atelier_proto::codec::v1::DecodeResponse| {
            let image = codes.get(index).and_then(|written| written.image.clone());
            let about = json!({ "image": image, "model": parts::model(answer.model.as_ref()) });
            gallery.put(index, &[], &picture(answer.image)?, about)
        };
        self.jobs.each(&calls, "decoded", work, done).await?;
        gallery.close()
    }
}
