//! `atelier codec reconstruct`.

use atelier_proto::codec::v1::ReconstructRequest;
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{ImagesArgs, image, picture};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::destination::names;
use crate::files::{input, json as parts};

/// Encode images and decode them again: what a model keeps of them.
///
/// With --json, `mse` is the mean squared error on the 0 to 1 scale.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Reconstruct {
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Reconstruct {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let images = &self.images;
        input::stdin_once(&images.images)?;
        let mut gallery = Gallery::open(&self.output, names(&images.images), &images.images)?;
        let connection = Connection::open(server).await?;
        let calls = images.names();
        let work = async |index| {
            let original = images.read(index)?;
            let (model, version) = self.model.split();
            let sent = Some(image(original.clone()));
            let request = ReconstructRequest { model, version, image: sent, fit: images.fit.number() };
            Ok((original, connection.unary(request, async |c, r| service(c).reconstruct(r).await).await?))
        };
        let done =
            |index: usize, (original, answer): (Vec<u8>, atelier_proto::codec::v1::ReconstructResponse)| {
                let name = calls.get(index).map_or("", String::as_str);
                let model = parts::model(answer.model.as_ref());
                let about = json!({ "image": name, "model": model, "mse": parts::number(answer.mse) });
                gallery.put(index, &[(name, &original)], &picture(answer.image)?, about)
            };
        let ended = images.jobs.each(&calls, "reconstructed", work, done).await;
        gallery.close_after(ended)
    }
}
