//! `atelier image age`.

use std::path::PathBuf;

use atelier_proto::image::v1::AgeRequest;
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{FitArgs, image, picture};
use super::{Connection, ServerArgs, say_licence, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::ModelArgs;
use crate::files::destination::names;
use crate::files::{input, json as parts};

/// Show a face at other ages.
///
/// Nothing is detected: an aligned crop of one face is expected, seen from the front, eyes level, chin and
/// hairline just within, such as the 64x64 crops of UTKFace. What is too far from one is refused. What is made is
/// no forecast. Weights that were trained on UTKFace, and what is made with them, are for non-commercial research
/// only; the licence is said on stderr.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Age {
    /// A PNG or JPEG file of a face; `-` is stdin
    #[arg(value_name = "FACE", default_value = "-")]
    face: PathBuf,
    /// The ages wanted in years, with commas between, 1 to 16 of them
    #[arg(long, value_name = "YEARS", required = true, value_delimiter = ',', allow_negative_numbers = true)]
    ages: Vec<f32>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Age {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let files: Vec<PathBuf> = self.ages.iter().map(|age| format!("age-{age:02}.png").into()).collect();
        let mut gallery = Gallery::open(&self.output, names(&files), std::slice::from_ref(&self.face))?;
        let face = input::bytes(&self.face)?;
        gallery.lead(&self.face.display().to_string(), &face)?;
        let (model, version) = self.model.split();
        let request = AgeRequest {
            model,
            version,
            image: Some(image(face)),
            fit: self.fit.number(),
            ages: self.ages.clone(),
        };
        let connection = Connection::open(server).await?;
        let answer = connection.unary(request, async |c, r| service(c).age(r).await).await?;
        if answer.images.len() != self.ages.len() {
            let message =
                format!("the server answered with {} faces of {}", answer.images.len(), self.ages.len());
            return Err(Failure::new(Exit::Other, message));
        }
        let model = parts::model(answer.model.as_ref());
        for (index, aged) in answer.images.into_iter().enumerate() {
            let about = json!({
                "face": self.face.display().to_string(),
                "age": parts::number(aged.age),
                "model": model,
                "novelty": parts::number(answer.novelty),
                "novelty_limit": parts::number(answer.novelty_limit),
                "licence": answer.licence,
            });
            gallery.put(index, &[], &picture(aged.image)?, about)?;
        }
        gallery.close()?;
        say_licence(answer.model.as_ref(), &answer.licence);
        Ok(())
    }
}
