//! `atelier codec decode`.

use std::path::{Path, PathBuf};

use atelier_proto::codec::v1::DecodeRequest;
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{JobsArgs, picture};
use super::written_code::{self, WrittenCode};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::{ModelArg, ModelArgs};
use crate::files::destination::{names, numbered};
use crate::files::{input, json as parts};

/// Decode codes into images.
///
/// A code is a JSON list of numbers, or an object as `atelier codec encode` prints it, of which `code`,
/// `sample` or `mean` is taken, the first that is there. A file may hold many, one after the other. A code that says
/// which model it is of is decoded by that one, and --model must not say another.
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
        let models = models(&self.model.arg(), &self.codes, &codes)?;
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
            let ModelArg { name, version } = models.get(index).cloned().unwrap_or_default();
            let code = codes.get(index).map(|written| written.code.clone());
            let request = DecodeRequest { model: name, version, code };
            connection.unary(request, async |c, r| service(c).decode(r).await).await
        };
        let done = |index: usize, answer: atelier_proto::codec::v1::DecodeResponse| {
            let image = codes.get(index).and_then(|written| written.image.clone());
            let about = json!({ "image": image, "model": parts::model(answer.model.as_ref()) });
            gallery.put(index, &[], &picture(answer.image)?, about)
        };
        let ended = self.jobs.each(&calls, "decoded", work, done).await;
        gallery.close_after(ended)
    }
}

/// The model of each code: the one that was asked for, which is also the one that it is of.
fn models(asked: &ModelArg, path: &Path, codes: &[WrittenCode]) -> Result<Vec<ModelArg>, Failure> {
    let model = |(number, code): (usize, &WrittenCode)| {
        asked.and(&code.model).ok_or_else(|| {
            let (path, of) = (path.display(), &code.model);
            Failure::bad_input(format!("{path}: code {number} is of {of}, but --model says {asked}"))
        })
    };
    (1..).zip(codes).map(model).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    #[test]
    fn each_code_is_decoded_by_the_model_that_it_is_of_unless_another_was_asked_for() {
        let path = Path::new("c.json");
        let text = r#"{"mean": [1], "model": {"name": "a", "version": 2}} [1] {"code": [1], "model": {"name": "b"}}"#;
        let codes = written_code::parse(path, text.as_bytes()).unwrap();
        let arg = |text: &str| text.parse::<ModelArg>().unwrap();
        let none = ModelArg::default();
        assert_eq!(models(&none, path, &codes), Ok(vec![arg("a@2"), none.clone(), arg("b")]));
        assert_eq!(models(&arg("a"), path, &codes[..2]), Ok(vec![arg("a@2"), arg("a")]));
        for (asked, wrong) in [
            ("a", "c.json: code 3 is of b, but --model says a"),
            ("a@1", "c.json: code 1 is of a@2, but --model says a@1"),
        ] {
            let refused = models(&arg(asked), path, &codes).unwrap_err();
            assert_eq!((refused.exit(), refused.to_string().as_str()), (Exit::BadInput, wrong));
        }
    }
}
