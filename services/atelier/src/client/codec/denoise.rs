//! `atelier codec denoise`.

use std::path::PathBuf;

use atelier_proto::codec::v1::DenoiseRequest;
use serde_json::json;

use super::gallery::{Gallery, OutputArgs};
use super::images::{ImagesArgs, image, picture};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::destination::{Destination, names};
use crate::files::{input, json as parts};
use crate::picture::{add_noise, decode, encode};

/// Remove Gaussian noise from images.
///
/// With --add-noise the images are made noisy first, here, for demonstrations.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Denoise {
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// The standard deviation of the noise, 0 to 0.55 on the 0 to 1 scale [default: the model finds out]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    sigma: Option<f32>,
    #[command(flatten)]
    noise: NoiseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What says where the noisy images go.
const NOISY_OUTPUT: &str = "--noisy-output";

#[derive(Debug, Clone, clap::Args)]
struct NoiseArgs {
    /// First add Gaussian noise of this standard deviation, 0 to 2 on the 0 to 1 scale
    #[arg(long, value_name = "SIGMA", value_parser = deviation)]
    add_noise: Option<f32>,
    /// The seed of --add-noise; each image has noise of its own
    #[arg(long, value_name = "N", default_value_t = 1, requires = "add_noise")]
    seed: u64,
    /// Where to write the noisy images of --add-noise: a PNG file, a directory, or `-` for stdout
    #[arg(long, value_name = "PATH", requires = "add_noise")]
    noisy_output: Option<PathBuf>,
}

fn deviation(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(sigma) if (0.0..=2.0).contains(&sigma) => Ok(sigma),
        _ => Err("must be a number from 0 to 2".into()),
    }
}

/// An image as it was read, as it was sent, and what came back.
struct Denoised {
    clean: Vec<u8>,
    noisy: Option<Vec<u8>>,
    made: Vec<u8>,
    about: serde_json::Value,
}

impl Denoise {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let images = &self.images;
        input::stdin_once(&images.images)?;
        let files = names(&images.images);
        let noisy = self.noise.destination(&files, &images.images)?;
        let mut gallery = Gallery::open(&self.output, files.clone(), &images.images)?;
        if let Some(noisy) = &noisy {
            gallery.keep_apart(NOISY_OUTPUT, noisy, &files)?;
        }
        let connection = Connection::open(server).await?;
        let calls = images.names();
        let work =
            async |index| self.one(&connection, index, calls.get(index).map_or("", String::as_str)).await;
        let done = |index: usize, result: Denoised| {
            if let (Some(noisy), Some(bytes), Some(name)) = (&noisy, &result.noisy, files.get(index)) {
                noisy.write(name, bytes)?;
            }
            let name = calls.get(index).map_or("", String::as_str);
            let mut stages = vec![(name, result.clean.as_slice())];
            stages.extend(result.noisy.as_deref().map(|noisy| ("the noisy picture", noisy)));
            gallery.put(index, &stages, &result.made, result.about)
        };
        let ended = images.jobs.each(&calls, "denoised", work, done).await;
        gallery.close_after(ended)
    }

    async fn one(&self, connection: &Connection, index: usize, name: &str) -> Result<Denoised, Failure> {
        let clean = self.images.read(index)?;
        let noisy = match self.noise.add_noise {
            None => None,
            Some(sigma) => {
                Some(encode(&add_noise(&decode(name, &clean)?, sigma, self.noise.seed, index as u64))?)
            }
        };
        let (model, version) = self.model.split();
        let request = DenoiseRequest {
            model,
            version,
            image: Some(image(noisy.as_ref().unwrap_or(&clean).clone())),
            fit: self.images.fit.number(),
            sigma: self.sigma,
        };
        let answer = connection.unary(request, async |c, r| service(c).denoise(r).await).await?;
        let about = json!({
            "image": name,
            "model": parts::model(answer.model.as_ref()),
            "sigma": self.sigma.map(parts::number),
            "added_noise": self.noise.add_noise.map(parts::number),
        });
        Ok(Denoised { clean, noisy, made: picture(answer.image)?, about })
    }
}

impl NoiseArgs {
    fn destination(&self, names: &[String], inputs: &[PathBuf]) -> Result<Option<Destination>, Failure> {
        let open = |path: &PathBuf| Destination::open(NOISY_OUTPUT, path, names, inputs);
        self.noisy_output.as_ref().map(open).transpose()
    }
}
