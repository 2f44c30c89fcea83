//! Training a [`Voice`] on spoken digits. Its WaveNet learns whole recordings from their start: each sample from those
//! before it, the digit, the speaker, how far the word is, and the recording's plan. Its planner learns beside it
//! from the recordings' spectra; what the plan is good for to the WaveNet does not change it.
//!
//! A plan is made from numbers that are drawn, in training from what the planner's encoder says of the recording.
//! So the bits of the samples and those of the numbers together bound what a recording costs without a plan.

mod planned;

use std::path::Path;

use atelier_package::{Audio, Manifest, Speaker};
use atelier_transforms::speech::{
    Condition, Draw, FRAME, MuLaw, Plan, Said, TEMPERATURE, VARIATION, duration,
};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor};

use super::{Loss, Recipe, RecipeConfig};
use crate::data::DataError;
use crate::data::digits::{Clip, DIGITS, Recordings, SAMPLE_RATE};
use crate::graphs::Exportable;
use crate::nets::speech_planner::SpeechPlannerConfig;
use crate::nets::voice::Voice;
use crate::nets::wavenet::WavenetConfig;
use crate::ops::eager::Precision;
use crate::random;
use crate::sound::{spectrum, wav};
use crate::store::Store;
use crate::streams::{self, Conventions, OnTorch, Utterance};
use planned::Planned;
pub(crate) use planned::spectrum_of;

/// Recordings of similar length are found among this many batches.
const POOL: usize = 16;
/// A target that no loss is counted for.
const NOTHING: i64 = -100;
/// Samples from one column of a spectrogram to the next.
const HOP: i64 = 40;
/// Quantiles of durations that go into a package.
const QUANTILES: usize = 19;

/// `[family]` with `kind = "wavenet"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WavenetRecipeConfig {
    /// Size of the network that says words.
    pub network: WavenetConfig,
    /// Size of the one that plans them.
    pub planner: SpeechPlannerConfig,
    /// Recordings of more seconds are left out of training.
    pub longest: f64,
    /// Chance that a sample that is looked at is moved by up to 3 levels, so that the network learns to go on
    /// from what it did not quite foresee.
    pub jitter: f64,
    /// Chance that a recording is learned without being told word and voice.
    pub untold: f64,
}

impl WavenetRecipeConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        self.network.validate()?;
        self.planner.validate()?;
        for (name, value) in [("jitter", self.jitter), ("untold", self.untold)] {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("family.{name} is {value}, it must lie in [0, 1)"));
            }
        }
        if (0.1..=10.0).contains(&self.longest) {
            Ok(())
        } else {
            Err(format!("family.longest is {}, it must lie in [0.1, 10] (seconds)", self.longest))
        }
    }
}

/// A recording as the network sees it.
struct Spoken {
    said: Said,
    tokens: Vec<i64>,
    spectrum: Tensor,
}

/// A batch of recordings, time first.
struct Batch {
    /// Samples that are looked at, i64 `[time, batch]`.
    tokens: Tensor,
    /// Samples that come after them, i64 `[time, batch]`; [`NOTHING`] after a recording's end.
    targets: Tensor,
    /// f32 `[frames, batch, condition]`.
    condition: Tensor,
}

/// The family's part of a run.
pub struct WavenetRecipe {
    config: WavenetRecipeConfig,
    seed: u64,
    batch: usize,
    precision: Precision,
    store: Store,
    voice: Voice,
    law: MuLaw,
    condition: Condition,
    data: Recordings,
    train: Vec<Spoken>,
    validation: Vec<Spoken>,
    /// The batches of one epoch.
    epoch: Option<(u64, Vec<Vec<usize>>)>,
}

impl WavenetRecipe {
    pub(super) fn new(
        common: &RecipeConfig,
        config: &WavenetRecipeConfig,
        directory: &Path,
        device: Device,
    ) -> Result<Self, DataError> {
        let data = Recordings::read(directory)?;
        let law = MuLaw::new(config.network.levels);
        let condition = Condition::new(DIGITS, data.speakers.len(), SAMPLE_RATE);
        let mut store = Store::new(common.seed, device);
        let voice = Voice::new(&mut store, &config.network, &config.planner, &condition);
        let longest = (config.longest * f64::from(SAMPLE_RATE)) as usize;
        let spoken = |clips: &[Clip]| -> Vec<Spoken> {
            let clips = clips.iter().filter(|clip| clip.samples.len() <= longest);
            let spoken = |clip: &Clip| {
                let tokens = data.tokens(clip, &law);
                let spectrum = spectrum_of(&tokens, &law);
                Spoken { said: clip.said, tokens, spectrum }
            };
            clips.map(spoken).collect()
        };
        let (train, mut validation) = (spoken(&data.train), spoken(&data.validation));
        for (part, name) in [(&train, "training"), (&validation, "validation")] {
            if part.is_empty() {
                let longest = config.longest;
                let message =
                    format!("no recording for {name} is at most family.longest, {longest} seconds, long");
                return Err(DataError::malformed(directory, message));
            }
        }
        validation.sort_by_key(|clip| clip.tokens.len());
        Ok(Self {
            config: config.clone(),
            seed: common.seed,
            batch: common.batch.min(train.len()).max(1),
            precision: common.precision,
            store,
            voice,
            law,
            condition,
            data,
            train,
            validation,
            epoch: None,
        })
    }

    /// What a package says of levels, voices and durations.
    fn audio(&self) -> Audio {
        let lengths = |right: &dyn Fn(Said) -> bool| -> Vec<usize> {
            self.train.iter().filter(|c| right(c.said)).map(|c| c.tokens.len()).collect()
        };
        // Of a digit that a speaker never said, how long others took; of one that nobody said, any.
        let durations = |speaker: usize, digit: usize| -> Vec<u32> {
            let own = lengths(&|said| said == Said { digit, speaker });
            let others = || lengths(&|said| said.digit == digit);
            let found = [own, others(), lengths(&|_| true)].into_iter().find(|found| !found.is_empty());
            duration::quantiles(&found.unwrap_or_default(), QUANTILES)
        };
        let speakers = self.data.speakers.iter().enumerate().map(|(i, voice)| Speaker {
            name: voice.name.clone(),
            gain: voice.gain,
            durations: (0..DIGITS).map(|digit| durations(i, digit)).collect(),
        });
        Audio {
            sample_rate: SAMPLE_RATE,
            levels: self.law.levels(),
            digits: ('0'..='9').collect(),
            speakers: speakers.collect(),
        }
    }

    /// The recordings of a step: of similar length, so that little is filled up with silence.
    fn chosen(&mut self, step: u64) -> Vec<usize> {
        let per_epoch = self.steps_per_epoch();
        let epoch = step / per_epoch;
        if self.epoch.as_ref().is_none_or(|(kept, _)| *kept != epoch) {
            let mut rng = random::generator(&[self.seed, random::ORDER, epoch]);
            let mut order = random::permutation(&mut rng, self.train.len());
            let mut batches = Vec::new();
            for pool in order.chunks_mut(POOL * self.batch) {
                pool.sort_by_key(|&i| self.train[i].tokens.len());
                batches.extend(pool.chunks_exact(self.batch).map(<[usize]>::to_vec));
            }
            let shuffled = random::permutation(&mut rng, batches.len());
            let batches = shuffled.into_iter().map(|i| std::mem::take(&mut batches[i])).collect();
            self.epoch = Some((epoch, batches));
        }
        let at = (step % per_epoch) as usize;
        self.epoch.as_ref().and_then(|(_, batches)| batches.get(at)).cloned().unwrap_or_default()
    }

    fn assemble(&self, clips: &[&Spoken], plans: &[Plan]) -> Batch {
        let longest = clips.iter().map(|clip| clip.tokens.len()).max().unwrap_or(0);
        let frames = longest.div_ceil(FRAME).max(1);
        let (time, batch) = ((frames * FRAME) as i64, clips.len() as i64);
        let silence = self.law.silence() as i64;
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        for t in 0..frames * FRAME {
            for clip in clips {
                let before = t.checked_sub(1).and_then(|t| clip.tokens.get(t));
                tokens.push(before.copied().unwrap_or(silence));
                targets.push(clip.tokens.get(t).copied().unwrap_or(NOTHING));
            }
        }
        let utterance = |(clip, plan): (&&Spoken, &Plan)| Utterance {
            said: clip.said,
            total: clip.tokens.len(),
            plan: plan.clone(),
        };
        let utterances: Vec<Utterance> = clips.iter().zip(plans).map(utterance).collect();
        let rows = |f: usize| utterances.iter().flat_map(move |u| u.row(&self.condition, f * FRAME));
        let condition: Vec<f32> = (0..frames).flat_map(rows).collect();
        let device = self.store.device();
        let shape = [frames as i64, batch, Voice::told(&self.condition) as i64];
        Batch {
            tokens: Tensor::from_slice(&tokens).reshape([time, batch]).to_device(device),
            targets: Tensor::from_slice(&targets).reshape([time, batch]).to_device(device),
            condition: Tensor::from_slice(&condition).reshape(shape).to_device(device),
        }
    }

    /// Plans of recordings.
    fn plan(&self, clips: &[&Spoken]) -> Planned {
        let device = self.store.device();
        let spectra: Vec<&Tensor> = clips.iter().map(|clip| &clip.spectrum).collect();
        let spectra = Tensor::stack(&spectra, 0).to_device(device);
        let words: Vec<f32> =
            clips.iter().flat_map(|clip| self.condition.word(clip.said, clip.tokens.len())).collect();
        let words = Tensor::from_slice(&words).reshape([clips.len() as i64, -1]).to_device(device);
        Planned::of(&self.voice.planner, &spectra, &words)
    }

    /// Moves some samples by up to 3 levels, and hides word and voice of some recordings.
    fn disturb(&self, batch: &mut Batch) {
        let like = (Kind::Float, self.store.device());
        let moved = Tensor::rand(batch.tokens.size(), like).lt(self.config.jitter);
        let by = Tensor::randint_low(-3, 4, batch.tokens.size(), (Kind::Int64, self.store.device()));
        let highest = (self.law.levels() - 1) as i64;
        batch.tokens = (&batch.tokens + moved.to_kind(Kind::Int64) * by).clamp(0, highest);
        let told = Tensor::rand([1, batch.tokens.size()[1], 1], like).ge(self.config.untold);
        let mut said = batch.condition.narrow(2, 0, (DIGITS + self.data.speakers.len()) as i64);
        let _ = said.g_mul_(&told.to_kind(Kind::Float));
    }
}

/// Nats of the targets: their mean, or their sum.
fn nats(logits: &Tensor, targets: &Tensor, reduction: Reduction) -> Tensor {
    let levels = logits.size()[2];
    logits.reshape([-1, levels]).cross_entropy_loss::<Tensor>(
        &targets.reshape([-1]),
        None,
        reduction,
        NOTHING,
        0.0,
    )
}

impl Recipe for WavenetRecipe {
    fn network(&self) -> &dyn Exportable {
        &self.voice
    }

    fn complete(&mut self, manifest: &mut Manifest) {
        manifest.audio = Some(self.audio());
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn steps_per_epoch(&self) -> u64 {
        (self.train.len() / self.batch).max(1) as u64
    }

    fn loss(&mut self, step: u64, _turn: usize) -> Loss {
        let chosen = self.chosen(step);
        let clips: Vec<&Spoken> = chosen.iter().map(|&i| &self.train[i]).collect();
        let planned = self.plan(&clips);
        let mut batch = self.assemble(&clips, &planned.plans);
        self.disturb(&mut batch);
        let logits = self.voice.wavenet.sequence(&batch.tokens, &batch.condition, self.precision);
        let nats = nats(&logits, &batch.targets, Reduction::Mean);
        let bits = nats.detach() / std::f64::consts::LN_2;
        let error = planned.error.detach();
        Loss { total: nats + planned.nats(), parts: vec![("bits", bits), ("plan_error", error)] }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let clips: Vec<&Spoken> = self.validation.iter().collect();
        let (mut sum, mut count, mut error, mut divergence) = (0.0, 0, 0.0, 0.0);
        tch::no_grad(|| {
            for part in clips.chunks(self.batch) {
                let planned = self.plan(part);
                let batch = self.assemble(part, &planned.plans);
                let logits = self.voice.wavenet.sequence(&batch.tokens, &batch.condition, Precision::F32);
                sum += nats(&logits, &batch.targets, Reduction::Sum).double_value(&[]);
                count += part.iter().map(|clip| clip.tokens.len()).sum::<usize>();
                error += planned.error.double_value(&[]) * part.len() as f64;
                divergence += planned.divergence.double_value(&[]) * part.len() as f64;
            }
        });
        let bits = (sum + divergence) / std::f64::consts::LN_2 / count.max(1) as f64;
        let clips = clips.len().max(1) as f64;
        vec![("bits", bits), ("plan_error", error / clips), ("plan_nats", divergence / clips)]
    }

    /// All digits, each by another speaker, one after the other.
    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let audio = self.audio();
        let mut rng = random::generator(&[self.seed, random::VALIDATION]);
        let utterances: Vec<Utterance> = (0..DIGITS)
            .map(|digit| {
                let speaker = digit % audio.speakers.len();
                let (said, total) =
                    (Said { digit, speaker }, duration::draw(&audio.speakers[speaker].durations[digit], 0.5));
                let planner = &self.voice.planner;
                let noise = random::normals(&mut rng, planner.code());
                let noise = noise.map(|x| VARIATION * x as f32).collect();
                let plan =
                    planned::draw(planner, noise, self.condition.word(said, total), self.store.device());
                Utterance { said, total, plan }
            })
            .collect();
        let delays = self.voice.wavenet.config().delays();
        let conventions = Conventions {
            condition: self.condition,
            delays: &delays,
            width: self.voice.wavenet.config().width,
            silence: self.law.silence() as i64,
        };
        let mut spoken: Vec<Vec<f32>> = vec![Vec::new(); utterances.len()];
        let mut draw = Draw::new(TEMPERATURE.into(), self.law.levels());
        let mut next = |which: usize, _: usize, logits: &[f32]| {
            let token = draw.choose(logits, random::unit(&mut rng)).unwrap_or(self.law.silence());
            spoken[which].push(self.law.decode(token));
            token as i64
        };
        streams::run(&mut OnTorch(&self.voice.wavenet), &conventions, &utterances, &mut next)?;
        let pause = vec![0.0; SAMPLE_RATE as usize / 10];
        let samples: Vec<f32> = spoken.into_iter().flat_map(|s| [s, pause.clone()].concat()).collect();
        wav::write(&directory.join(format!("{step:07}.wav")), &samples, SAMPLE_RATE)?;
        std::fs::write(directory.join(format!("{step:07}.png")), spectrum::png(&samples, HOP)?)?;
        Ok(())
    }
}
