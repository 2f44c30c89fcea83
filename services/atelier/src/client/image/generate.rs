//! `atelier image generate`.

use atelier_proto::image::v1::{GenerateRequest, Layout};
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::picture;
use super::{Connection, ServerArgs, condition, say_licence, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::ModelArgs;
use crate::files::destination::numbered;
use crate::files::{json as parts, progress};

/// Make new images.
///
/// The same seed and index make the same image, however many are asked for. With --json each line has the
/// seed, the index, the class and the age, so that the same image can be had again.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    model: ModelArgs,
    /// How many, 1 to 64
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// The index of the first image of the seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u32,
    /// A class by name or id, where the model knows any [default: of each image drawn]
    #[arg(long, short, value_name = "CLASS")]
    class: Option<String>,
    /// An age in years, where the model knows ages [default: of each image drawn]
    #[arg(long, value_name = "YEARS", allow_negative_numbers = true)]
    age: Option<f32>,
    /// The seed, from 1 [default: drawn by the server]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seed: Option<u64>,
    /// Draw the numbers of the latent code beyond this again, 0.1 to 4: lower is more typical and less varied
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    truncation: Option<f32>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Generate {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let count = usize::try_from(self.count).unwrap_or_default();
        let mut gallery = Gallery::open(&self.output, numbered("image", count), &[])?;
        let (model, version) = self.model.split();
        let request = GenerateRequest {
            model,
            version,
            count: Some(self.count),
            first: self.first,
            class: self.class.unwrap_or_default(),
            age: self.age,
            seed: self.seed.unwrap_or_default(),
            truncation: self.truncation,
            // Grids are drawn here, larger and in any number of columns.
            layout: Layout::Separate.into(),
        };
        let connection = Connection::open(server).await?;
        let mut images = connection.stream(request, async |c, r| service(c).generate(r).await).await?;
        let bar = progress::bar(count, "images");
        let (mut received, mut licence) = (0, None);
        while let Some(image) = images.next().await? {
            let shown = image.conditions.first();
            let about = json!({
                "index": image.index,
                "model": parts::model(image.model.as_ref()),
                "seed": image.seed,
                "shows": condition(shown),
                "licence": image.licence,
            });
            if shown.is_some_and(|shown| shown.age.is_some()) {
                licence = Some((image.model, image.licence));
            }
            gallery.put(received, &[], &picture(image.image)?, about)?;
            received += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        if received != count {
            return Err(Failure::new(Exit::Other, format!("the server sent {received} images of {count}")));
        }
        gallery.close()?;
        if let Some((model, licence)) = licence {
            say_licence(model.as_ref(), &licence);
        }
        Ok(())
    }
}
