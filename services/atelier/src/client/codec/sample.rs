//! `atelier codec sample`.

use atelier_proto::codec::v1::SampleRequest;
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::picture;
use super::{Connection, ServerArgs, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::ModelArgs;
use crate::files::destination::numbered;
use crate::files::json as parts;

/// Draw new images.
///
/// With --json each line has the seed and the code, so that the same image can be had again.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Sample {
    #[command(flatten)]
    model: ModelArgs,
    /// How many, 1 to 64
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// The standard deviation of the codes, 0 to 2; lower is nearer to the average image [default: 1]
    #[arg(long, short, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// The seed, from 1 [default: drawn by the server]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Sample {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let files = numbered("sample", usize::try_from(self.count).unwrap_or_default());
        let mut gallery = Gallery::open(&self.output, files, &[])?;
        let (model, version) = self.model.split();
        let request = SampleRequest {
            model,
            version,
            count: Some(self.count),
            temperature: self.temperature,
            seed: self.seed.unwrap_or_default(),
        };
        let connection = Connection::open(server).await?;
        let answer = connection.unary(request, async |c, r| service(c).sample(r).await).await?;
        if answer.images.len() as u64 != u64::from(self.count) {
            let message =
                format!("the server answered with {} pictures of {}", answer.images.len(), self.count);
            return Err(Failure::new(Exit::Other, message));
        }
        let model = parts::model(answer.model.as_ref());
        for (index, image) in answer.images.into_iter().enumerate() {
            let code = parts::code(answer.codes.get(index));
            let about = json!({ "index": index, "model": model, "seed": answer.seed, "code": code });
            gallery.put(index, &[], &picture(Some(image))?, about)?;
        }
        gallery.close()
    }
}
