//! A recipe: what is trained, on what, and how. One TOML file; one implementation of [`Recipe`] a family.

mod augment;
pub mod autoencoder;
pub mod char_rnn;
pub mod classifier;
pub mod denoiser;
pub mod faces;
pub mod gan;
mod images;
pub mod inpainter;
pub mod nuclei;
pub mod telemetry;
pub mod vae;
pub mod wavenet;

use std::collections::HashMap;
use std::path::Path;

use atelier_package::{Kind, Manifest, Vocabulary};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use crate::data::DataError;
use crate::graphs::Exportable;
use crate::ops::eager::Precision;
use crate::optim::OptimiserConfig;
use crate::store::{Store, StoreError};
use autoencoder::AutoencoderFamily;
use denoiser::DenoiserFamily;
use faces::ager::AgerFamily;
use faces::encoder::FaceEncoderFamily;
use faces::judge::AgeJudgeFamily;
use faces::novelty::FaceNoveltyFamily;
use faces::sampler::SamplerFamily;
use faces::vae_gan::VaeGanFamily;
use faces::{FaceRecipe, Pupils};
use images::ImageRecipe;
use inpainter::InpainterFamily;
use vae::VaeFamily;

/// A recipe file. Unknown keys are refused.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeConfig {
    /// Name of the package that comes of it.
    pub package: String,
    /// One line for the package: what it does.
    pub summary: String,
    /// Licence of the weights.
    pub licence: String,
    /// What they were trained on.
    pub data: String,
    /// What the model must not be taken for or used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// The recipe whose run this one starts from, if it does not start afresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Every random number of the run follows from it.
    pub seed: u64,
    /// Passes over the training data.
    pub epochs: u64,
    /// What convolutions and fully connected layers calculate in while training.
    pub precision: Precision,
    /// Samples (or parallel streams of text) in a step.
    pub batch: usize,
    /// Validation, a picture and a checkpoint after this many epochs.
    pub every: u64,
    /// The network and its own settings.
    pub family: Family,
    /// AdamW and its schedule.
    pub optimiser: OptimiserConfig,
}

/// The families of networks, each with its settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Family {
    /// See [`autoencoder`].
    Autoencoder(autoencoder::AutoencoderRecipeConfig),
    /// See [`classifier`].
    Classifier(classifier::ClassifierRecipeConfig),
    /// See [`denoiser`].
    DenoisingAutoencoder(denoiser::DenoiserRecipeConfig),
    /// See [`inpainter`].
    Inpainter(inpainter::InpainterRecipeConfig),
    /// See [`vae`].
    VariationalAutoencoder(vae::VaeRecipeConfig),
    /// See [`char_rnn`].
    CharRnn(char_rnn::CharRnnRecipeConfig),
    /// See [`telemetry`].
    SequenceAutoencoder(telemetry::TelemetryRecipeConfig),
    /// See [`nuclei`].
    Segmentation(nuclei::NucleiRecipeConfig),
    /// See [`gan`].
    Gan(gan::GanRecipeConfig),
    /// See [`faces::judge`].
    AgeJudge(faces::judge::AgeJudgeRecipeConfig),
    /// See [`faces::encoder`].
    FaceEncoder(faces::encoder::FaceEncoderRecipeConfig),
    /// See [`faces::novelty`].
    FaceNovelty(faces::novelty::FaceNoveltyRecipeConfig),
    /// See [`faces::ager`].
    FaceAger(faces::ager::AgerRecipeConfig),
    /// See [`faces::vae_gan`].
    FaceVaeGan(faces::vae_gan::VaeGanRecipeConfig),
    /// See [`faces::sampler`].
    FaceSampler(faces::sampler::SamplerRecipeConfig),
    /// See [`wavenet`].
    Wavenet(wavenet::WavenetRecipeConfig),
}

impl Family {
    /// The kind of package that comes of it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Autoencoder(_) | Self::Classifier(_) => Kind::Autoencoder,
            Self::DenoisingAutoencoder(_) => Kind::DenoisingAutoencoder,
            Self::Inpainter(_) => Kind::Inpainter,
            Self::VariationalAutoencoder(_) => Kind::VariationalAutoencoder,
            Self::CharRnn(_) => Kind::CharRnn,
            Self::SequenceAutoencoder(_) => Kind::Anomaly,
            Self::Segmentation(_) => Kind::Segmentation,
            Self::Gan(_) => Kind::Gan,
            Self::AgeJudge(_) | Self::FaceEncoder(_) | Self::FaceNovelty(_) | Self::FaceVaeGan(_) => {
                Kind::Onnx
            }
            Self::FaceAger(_) => Kind::Ager,
            Self::FaceSampler(_) => Kind::Gan,
            Self::Wavenet(_) => Kind::Wavenet,
        }
    }
}

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not a recipe; the message names line and key.
    #[error("{path}: {message}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
}

impl RecipeConfig {
    /// Reads and checks a recipe file.
    ///
    /// # Errors
    /// Names the file, the key, and what would be right.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecipeError::Read { path: shown.clone(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|e| RecipeError::Malformed { path: shown.clone(), message: e.to_string() })?;
        config.validate().map_err(|message| RecipeError::Malformed { path: shown, message })?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), String> {
        positive("epochs", self.epochs)?;
        positive("batch", self.batch)?;
        positive("every", self.every)?;
        self.optimiser.validate()?;
        match &self.family {
            Family::Autoencoder(c) => c.validate(),
            Family::Classifier(_) if self.from.is_none() => {
                Err("from must name the recipe of an autoencoder for a family of kind classifier".into())
            }
            Family::Classifier(c) => c.validate(),
            Family::DenoisingAutoencoder(c) => c.validate(),
            Family::Inpainter(c) => c.validate(),
            Family::VariationalAutoencoder(c) => c.validate(),
            Family::CharRnn(_) | Family::SequenceAutoencoder(_) if self.precision != Precision::F32 => {
                Err(format!("precision must be \"f32\" for a family of kind {}", self.family.kind()))
            }
            Family::CharRnn(c) => c.validate(),
            Family::SequenceAutoencoder(c) => c.validate(),
            Family::Segmentation(c) => c.validate(),
            Family::Gan(c) => c.validate(self.batch),
            Family::AgeJudge(c) => c.validate(),
            Family::FaceEncoder(c) => c.validate(),
            Family::FaceNovelty(c) => c.validate(),
            Family::FaceAger(c) => c.validate(self.batch),
            Family::FaceVaeGan(c) => c.validate(self.batch),
            Family::FaceSampler(c) => c.validate(),
            Family::Wavenet(c) => c.validate(),
        }
    }

    /// What the recipe is called, and its file: after its package, and after its family too where it goes on
    /// with another recipe's run.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.from, &self.family) {
            (Some(_), Family::Classifier(_)) => format!("{}-classifier", self.package),
            _ => self.package.clone(),
        }
    }

    /// Hash of what decides the course of a run: everything but the texts and how often it is looked at.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let course = (self.seed, self.epochs, self.batch, self.precision, &self.family, &self.optimiser);
        // A tuple of plain structs always serialises.
        let json = serde_json::to_vec(&course).unwrap_or_default();
        hex::encode(Sha256::digest(json))
    }

    /// Builds the network with fresh parameters and reads the data under `data`.
    ///
    /// # Errors
    /// Data that is missing or malformed.
    pub fn build(&self, data: &Path, device: Device) -> Result<Box<dyn Recipe>, DataError> {
        Ok(match &self.family {
            Family::Autoencoder(c) => {
                Box::new(ImageRecipe::new(self, data, device, |store| AutoencoderFamily::new(c, store))?)
            }
            Family::Classifier(c) => Box::new(classifier::ClassifierRecipe::new(self, c, data, device)?),
            Family::DenoisingAutoencoder(c) => {
                Box::new(ImageRecipe::new(self, data, device, |store| DenoiserFamily::new(c, store))?)
            }
            Family::Inpainter(c) => Box::new(ImageRecipe::new(self, data, device, |store| {
                InpainterFamily::new(c, self.seed, store)
            })?),
            Family::VariationalAutoencoder(c) => {
                Box::new(ImageRecipe::new(self, data, device, |store| VaeFamily::new(c, store))?)
            }
            Family::CharRnn(c) => Box::new(char_rnn::CharRnnRecipe::new(self, c, data, device)?),
            Family::SequenceAutoencoder(c) => {
                Box::new(telemetry::TelemetryRecipe::new(self, c, data, device)?)
            }
            Family::Segmentation(c) => Box::new(nuclei::NucleiRecipe::new(self, c, data, device)?),
            Family::Gan(c) => Box::new(gan::GanRecipe::new(self, c, data, device)?),
            Family::AgeJudge(c) => Box::new(FaceRecipe::new(self, data, device, c.pupils, |store| {
                Ok(AgeJudgeFamily::new(c, store))
            })?),
            Family::FaceEncoder(c) => Box::new(FaceRecipe::new(self, data, device, c.pupils, |store| {
                Ok(FaceEncoderFamily::new(c, store))
            })?),
            Family::FaceNovelty(c) => Box::new(FaceRecipe::new(self, data, device, c.pupils, |store| {
                Ok(FaceNoveltyFamily::new(c, store))
            })?),
            Family::FaceAger(c) => Box::new(FaceRecipe::new(self, data, device, Pupils::Both, |store| {
                AgerFamily::new(c, store)
            })?),
            Family::FaceVaeGan(c) => Box::new(FaceRecipe::new(self, data, device, Pupils::Both, |store| {
                Ok(VaeGanFamily::new(c, store))
            })?),
            Family::FaceSampler(c) => Box::new(FaceRecipe::new(self, data, device, Pupils::Both, |store| {
                SamplerFamily::new(c, store)
            })?),
            Family::Wavenet(c) => Box::new(wavenet::WavenetRecipe::new(self, c, data, device)?),
        })
    }
}

/// What a step came to.
pub struct Loss {
    /// What is minimised: a scalar with a gradient.
    pub total: Tensor,
    /// Named parts worth a curve of their own.
    pub parts: Vec<(&'static str, Tensor)>,
}

/// One player's move within a step. Most families have one player, who moves all parameters; adversarial ones
/// have two who take turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// The parameters that move: those whose names start with this.
    pub prefix: &'static str,
    /// Factor on the recipe's learning rate.
    pub rate: f64,
}

impl Turn {
    /// All parameters move.
    pub const ALL: Self = Self { prefix: "", rate: 1.0 };
}

/// One family's part of a run. The loop ([`fit`](crate::fit)) owns everything that families share.
pub trait Recipe {
    /// The network's graphs.
    fn network(&self) -> &dyn Exportable;
    /// The characters that the network reads and writes, if it does.
    fn vocabulary(&self) -> Option<Vocabulary> {
        None
    }
    /// Adds to the manifest of the package that is exported what a model of this kind has to say of itself.
    /// The exported weights are in the store.
    fn complete(&mut self, _manifest: &mut Manifest) {}
    /// The parameters.
    fn store(&self) -> &Store;
    /// The parameters, to change them.
    fn store_mut(&mut self) -> &mut Store;
    /// Takes over the averaged weights of an earlier run, before the first step: by default those of the same
    /// names, of which none may be missing.
    ///
    /// # Errors
    /// Names what is missing or of another shape.
    fn start_from(&mut self, earlier: &HashMap<String, Tensor>) -> Result<(), StoreError> {
        self.store_mut().load(earlier)
    }
    /// Which states of which other runs it builds upon, if any: where one of them has gone on meanwhile, this
    /// run cannot.
    fn builds_upon(&self) -> &str {
        ""
    }
    /// Minutes in which another run trained what is exported with it: they count as well.
    fn minutes_before(&self) -> f64 {
        0.0
    }
    /// Called once before the first step of a run or of a part of it: makes what is learned from, where that takes
    /// long. What is only exported or drawn needs none of it.
    ///
    /// # Errors
    /// What it is made from cannot be used.
    fn prepare(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
    /// Steps in a pass over the training data.
    fn steps_per_epoch(&self) -> u64;
    /// Who moves in a step, in order; the same in every step.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ALL]
    }
    /// The loss of turn `turn` of step `step` (both from 0), f32. libtorch's generator is already seeded for
    /// it. Gradients that reach parameters of other players are dropped.
    fn loss(&mut self, step: u64, turn: usize) -> Loss;
    /// Called after the turn's parameters have moved, without gradients: for what has to hold after every
    /// update, such as a bound on weights.
    fn after(&mut self, _turn: usize) {}
    /// Called when averaged weights were put in place, before they are validated, drawn or exported: makes the
    /// buffers that follow from the weights, such as the statistics of normalisations, fit them.
    fn settle(&mut self) {}
    /// Figures on the validation part, the one that matters first.
    fn validate(&mut self) -> Vec<(&'static str, f64)>;
    /// Writes something to look at into `directory`, named after `step`.
    ///
    /// # Errors
    /// What the system says when it cannot be written.
    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()>;
    /// What is carried from one step to the next beside the parameters.
    fn memory(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }
    /// Takes [`Recipe::memory`] back.
    fn recall(&mut self, _memory: &HashMap<String, Tensor>) {}
}

/// Refuses a count of nothing.
fn positive<N: Default + PartialEq>(name: &str, count: N) -> Result<(), String> {
    if count == N::default() { Err(format!("{name} must be at least 1")) } else { Ok(()) }
}

/// The order of `count` samples in epochs, one epoch kept at a time.
pub(crate) struct Order {
    seed: u64,
    count: usize,
    batch: usize,
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl Order {
    pub(crate) fn new(seed: u64, count: usize, batch: usize) -> Self {
        Self { seed, count, batch: batch.min(count), epoch: None, order: Vec::new() }
    }

    pub(crate) fn steps_per_epoch(&self) -> u64 {
        (self.count / self.batch).max(1) as u64
    }

    /// The samples of a step; an incomplete last batch is left out.
    pub(crate) fn batch(&mut self, step: u64) -> &[usize] {
        let epoch = step / self.steps_per_epoch();
        if self.epoch != Some(epoch) {
            let mut rng = crate::random::generator(&[self.seed, crate::random::ORDER, epoch]);
            self.order = crate::random::permutation(&mut rng, self.count);
            self.epoch = Some(epoch);
        }
        let start = (step % self.steps_per_epoch()) as usize * self.batch;
        &self.order[start..start + self.batch]
    }
}
