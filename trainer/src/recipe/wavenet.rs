//! Training the [`Wavenet`] on spoken digits: whole recordings from their start, each sample from those before
//! it, the digit, the speaker and how far the word is.

use std::path::Path;

use atelier_package::{Audio, Manifest, Speaker};
use atelier_transforms::speech::{Condition, Draw, FRAME, MuLaw, Said, duration};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor};

use super::{Loss, Recipe, RecipeConfig};
use crate::data::DataError;
use crate::data::digits::{Clip, DIGITS, Recordings, SAMPLE_RATE};
use crate::graphs::Exportable;
use crate::nets::wavenet::{Wavenet, WavenetConfig};
use crate::ops::eager::Precision;
use crate::random;
use crate::sound::{spectrum, wav};
use crate::store::Store;
use crate::streams::{self, Conventions, OnTorch, Utterance};

/// Recordings of similar length are found among this many batches.
const POOL: usize = 16;
/// A target that no loss is counted for.
const NOTHING: i64 = -100;
/// Temperature of what is drawn to listen to.
const TEMPERATURE: f64 = 0.95;
/// Samples from one column of a spectrogram to the next.
const HOP: i64 = 40;
/// Quantiles of durations that go into a package.
const QUANTILES: usize = 19;

/// `[family]` with `kind = "wavenet"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WavenetRecipeConfig {
    /// Size of the network.
    pub network: WavenetConfig,
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
    network: Wavenet,
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
        let network = Wavenet::new(&mut store, &config.network, condition.width());
        let longest = (config.longest * f64::from(SAMPLE_RATE)) as usize;
        let spoken = |clips: &[Clip]| -> Vec<Spoken> {
            let clips = clips.iter().filter(|clip| clip.samples.len() <= longest);
            clips.map(|clip| Spoken { said: clip.said, tokens: data.tokens(clip, &law) }).collect()
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
            network,
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

    fn assemble(&self, clips: &[&Spoken]) -> Batch {
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
        let row = |frame: usize, clip: &Spoken| {
            self.condition.row(Some(clip.said), frame * FRAME, clip.tokens.len())
        };
        let condition: Vec<f32> =
            (0..frames).flat_map(|f| clips.iter().flat_map(move |clip| row(f, clip))).collect();
        let device = self.store.device();
        let shape = [frames as i64, batch, self.condition.width() as i64];
        Batch {
            tokens: Tensor::from_slice(&tokens).reshape([time, batch]).to_device(device),
            targets: Tensor::from_slice(&targets).reshape([time, batch]).to_device(device),
            condition: Tensor::from_slice(&condition).reshape(shape).to_device(device),
        }
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
        &self.network
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
        let mut batch = self.assemble(&clips);
        self.disturb(&mut batch);
        let logits = self.network.sequence(&batch.tokens, &batch.condition, self.precision);
        let total = nats(&logits, &batch.targets, Reduction::Mean);
        let bits = total.detach() / std::f64::consts::LN_2;
        Loss { total, parts: vec![("bits", bits)] }
    }

    fn validate(&mut self) -> Vec<(&'static str, f64)> {
        let clips: Vec<&Spoken> = self.validation.iter().collect();
        let (mut sum, mut count) = (0.0, 0);
        tch::no_grad(|| {
            for clips in clips.chunks(self.batch) {
                let batch = self.assemble(clips);
                let logits = self.network.sequence(&batch.tokens, &batch.condition, Precision::F32);
                sum += nats(&logits, &batch.targets, Reduction::Sum).double_value(&[]);
                count += clips.iter().map(|clip| clip.tokens.len()).sum::<usize>();
            }
        });
        vec![("bits", sum / std::f64::consts::LN_2 / count.max(1) as f64)]
    }

    /// All digits, each by another speaker, one after the other.
    fn sample(&mut self, directory: &Path, step: u64) -> anyhow::Result<()> {
        let audio = self.audio();
        let mut rng = random::generator(&[self.seed, random::VALIDATION]);
        let utterances: Vec<Utterance> = (0..DIGITS)
            .map(|digit| {
                let speaker = digit % audio.speakers.len();
                let total = duration::draw(&audio.speakers[speaker].durations[digit], 0.5);
                Utterance { said: Said { digit, speaker }, total }
            })
            .collect();
        let delays = self.network.config().delays();
        let conventions = Conventions {
            condition: self.condition,
            delays: &delays,
            width: self.network.config().width,
            silence: self.law.silence() as i64,
        };
        let mut spoken: Vec<Vec<f32>> = vec![Vec::new(); utterances.len()];
        let mut draw = Draw::new(TEMPERATURE, self.law.levels());
        let mut next = |which: usize, _: usize, logits: &[f32]| {
            let token = draw.choose(logits, random::unit(&mut rng)).unwrap_or(self.law.silence());
            spoken[which].push(self.law.decode(token));
            token as i64
        };
        streams::run(&mut OnTorch(&self.network), &conventions, &utterances, &mut next)?;
        let pause = vec![0.0; SAMPLE_RATE as usize / 10];
        let samples: Vec<f32> = spoken.into_iter().flat_map(|s| [s, pause.clone()].concat()).collect();
        wav::write(&directory.join(format!("{step:07}.wav")), &samples, SAMPLE_RATE)?;
        std::fs::write(directory.join(format!("{step:07}.png")), spectrum::png(&samples, HOP)?)?;
        Ok(())
    }
}
