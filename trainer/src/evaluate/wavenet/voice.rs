//! A package's voice: its planner and its step graph, with what comes before and after.

use std::time::Instant;

use anyhow::{Context, ensure};
use atelier_package::{Audio, Package};
use atelier_transforms::speech::{
    Condition, Draw, Guard, MuLaw, Plan, Said, TEMPERATURE, VARIATION, duration,
};
use rand_chacha::ChaCha8Rng;

use super::planner::Planner;

use crate::data::digits::{Clip, SAMPLE_RATE};
use crate::evaluate::session;
use crate::nets::speech_planner::SIDE;
use crate::onnx_runtime::OnnxRuntime;
use crate::ops::eager::to_vec;
use crate::random;
use crate::recipe::wavenet::spectrum_of;
use crate::streams::{self, Conventions, OnRuntime, Utterance};

/// Streams that run side by side: enough to fill a core, few enough for their pasts to stay in its cache.
const ABREAST: usize = 100;
/// Of the random numbers that plans of recordings are made from.
const READING: u64 = 1;
/// Samples whose computation is timed.
const TIMED: usize = 500;

/// How it is spoken.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// What logits are divided by.
    pub temperature: f64,
    /// What the random numbers of plans are multiplied by.
    pub variation: f64,
}

impl Manner {
    /// The service's, where it is told nothing.
    pub const USUAL: Self = Self { temperature: TEMPERATURE as f64, variation: VARIATION as f64 };
}

/// What was spoken.
pub struct Spoken {
    /// Samples of each utterance.
    pub takes: Vec<(Said, Vec<f32>)>,
    /// Part of them that was cut short, for it had run away into noise.
    pub cut: f64,
}

/// A package's graphs on ONNX Runtime.
pub struct Voice {
    graph: OnRuntime,
    planner: Planner,
    condition: Condition,
    audio: Audio,
    law: MuLaw,
}

impl Voice {
    /// Of a package of kind wavenet.
    ///
    /// # Errors
    /// A graph or table is missing, or is of another shape than these recordings need.
    pub fn open(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Self> {
        let audio = package.manifest().audio.clone().context("the package has no [audio]")?;
        ensure!(audio.sample_rate == SAMPLE_RATE, "speaks at {} Hz, not {SAMPLE_RATE}", audio.sample_rate);
        let spec = package.manifest().graph("step").context("there is no graph step")?;
        let lines = spec.delays.first().context("the graph step has no delay lines")?;
        let (_, width) = lines.taps_and_width(spec).context("the delay lines do not fit their graph")?;
        let session = session(package, runtime, "step")?;
        let law = MuLaw::new(audio.levels);
        let condition = Condition::new(audio.digits.len(), audio.speakers.len(), audio.sample_rate);
        let planner = Planner::open(package, runtime, condition)?;
        Ok(Self {
            graph: OnRuntime { session, delays: lines.delays.clone(), width },
            planner,
            condition,
            audio,
            law,
        })
    }

    /// Levels and samples.
    #[must_use]
    pub fn law(&self) -> &MuLaw {
        &self.law
    }

    /// The tokens of a real recording, at the gain that the package keeps for its speaker.
    #[must_use]
    pub fn tokens(&self, clip: &Clip) -> Vec<i64> {
        let gain = self.audio.speakers.get(clip.said.speaker).map_or(1.0, |speaker| speaker.gain);
        clip.samples.iter().map(|&x| self.law.encode(f64::from(x) * gain) as i64).collect()
    }

    /// The samples of tokens.
    #[must_use]
    pub fn samples(&self, tokens: &[i64]) -> Vec<f32> {
        tokens.iter().map(|&token| self.law.decode(token as usize)).collect()
    }

    fn run(
        &mut self,
        utterances: &[Utterance],
        next: &mut dyn FnMut(usize, usize, &[f32]) -> i64,
    ) -> anyhow::Result<()> {
        let delays = self.graph.delays.clone();
        let conventions = Conventions {
            condition: self.condition,
            delays: &delays,
            width: self.graph.width,
            silence: self.law.silence() as i64,
        };
        // Those of similar length side by side.
        let mut order: Vec<usize> = (0..utterances.len()).collect();
        order.sort_by_key(|&i| utterances[i].total);
        for places in order.chunks(ABREAST) {
            let chosen: Vec<Utterance> = places.iter().map(|&i| utterances[i].clone()).collect();
            let mut renamed = |which: usize, at: usize, row: &[f32]| next(places[which], at, row);
            streams::run(&mut self.graph, &conventions, &chosen, &mut renamed)?;
        }
        Ok(())
    }

    /// What each recording costs in bits, told what is said, by whom, and how long it takes: its samples, told its
    /// plan, and the numbers that this is made from. A bound, and no less than what it costs without a plan.
    ///
    /// # Errors
    /// What the graph says.
    pub fn bits(&mut self, said: &[Said], tokens: &[Vec<i64>]) -> anyhow::Result<Vec<f64>> {
        let (mut utterances, mut bits) = (Vec::new(), Vec::new());
        for (i, (&said, tokens)) in said.iter().zip(tokens).enumerate() {
            let mut noise = random::generator(&[random::VALIDATION, READING, i as u64]);
            let mut utterance = Utterance { said, total: tokens.len(), plan: Plan::default() };
            let spectrum = to_vec(&spectrum_of(tokens, &self.law));
            let read = self.planner.read(&utterance, spectrum, &mut noise)?;
            utterance.plan = read.plan;
            utterances.push(utterance);
            bits.push(read.bits);
        }
        self.run(&utterances, &mut |which, at, logits| {
            let token = tokens[which][at];
            bits[which] += streams::bits(logits, token);
            token
        })?;
        Ok(bits)
    }

    /// Speaks as the service does: one utterance each, its duration drawn from the package's table, planned, silent from
    /// where it runs away into noise. The n-th is the same whatever else is asked for.
    ///
    /// # Errors
    /// What the graph says, or there is no such digit or speaker.
    pub fn speak(&mut self, said: &[Said], manner: Manner) -> anyhow::Result<Spoken> {
        struct Speaker {
            noise: ChaCha8Rng,
            guard: Guard,
            cut: bool,
            samples: Vec<f32>,
        }
        let (mut speakers, mut utterances) = (Vec::new(), Vec::new());
        for (i, &said) in said.iter().enumerate() {
            let voice = self.audio.speakers.get(said.speaker).context("no such speaker")?;
            let table = voice.durations.get(said.digit).context("no such digit")?;
            let mut noise = random::generator(&[random::VALIDATION, i as u64]);
            let total = duration::draw(table, random::unit(&mut noise));
            let mut utterance = Utterance { said, total, plan: Plan::default() };
            utterance.plan = self.planner.draw(&utterance, manner.variation, &mut noise)?;
            utterances.push(utterance);
            let guard = Guard::new(self.audio.sample_rate);
            speakers.push(Speaker { noise, guard, cut: false, samples: Vec::new() });
        }
        let law = self.law.clone();
        let mut draw = Draw::new(manner.temperature, law.levels());
        self.run(&utterances, &mut |which, _, logits| {
            let speaker = &mut speakers[which];
            let uniform = random::unit(&mut speaker.noise);
            let chosen = draw.choose(logits, uniform).filter(|_| !speaker.cut);
            let token = chosen.unwrap_or(law.silence());
            let sample = if speaker.cut { 0.0 } else { law.decode(token) };
            speaker.samples.push(sample);
            speaker.cut |= speaker.guard.runs_away(sample);
            token as i64
        })?;
        let cut = speakers.iter().filter(|speaker| speaker.cut).count() as f64 / said.len().max(1) as f64;
        let takes = said.iter().copied().zip(speakers.into_iter().map(|speaker| speaker.samples)).collect();
        Ok(Spoken { takes, cut })
    }

    /// Seconds that a second of speech of so many voices takes to compute in this loop, which is not the one that
    /// serves: the best of some tries, for others may use this machine too.
    ///
    /// # Errors
    /// What the graph says.
    pub fn real_time_factor(&mut self, voices: usize) -> anyhow::Result<f64> {
        let said = Said { digit: 0, speaker: 0 };
        let plan = Plan::new(SIDE, vec![0.0; SIDE]);
        let utterances = vec![Utterance { said, total: TIMED, plan }; voices];
        let mut draw = Draw::new(1.0, self.law.levels());
        let mut best = f64::INFINITY;
        for _ in 0..8 {
            let began = Instant::now();
            self.run(&utterances, &mut |_, at, logits| {
                draw.choose(logits, (at as f64 * 0.618).fract()).unwrap_or_default() as i64
            })?;
            best = best.min(began.elapsed().as_secs_f64());
        }
        Ok(best * f64::from(self.audio.sample_rate) / TIMED as f64)
    }
}

/// Mean seconds from the first to the last moment that is not 30 dB under the loudest.
#[must_use]
pub fn sounding(recordings: &[(Said, Vec<f32>)]) -> f64 {
    const MOMENT: usize = 80;
    let one = |samples: &[f32]| {
        let power: Vec<f32> =
            samples.chunks(MOMENT).map(|c| c.iter().map(|x| x * x).sum::<f32>() / c.len() as f32).collect();
        let least = power.iter().fold(0f32, |m, &x| m.max(x)) * 1e-3;
        let first = power.iter().position(|&p| p > least).unwrap_or(0);
        let last = power.iter().rposition(|&p| p > least).map_or(first, |i| i + 1);
        (last - first) as f64 * MOMENT as f64 / f64::from(SAMPLE_RATE)
    };
    recordings.iter().map(|(_, samples)| one(samples)).sum::<f64>() / recordings.len().max(1) as f64
}

/// Part of the recordings that are silent (no sample over a fiftieth of full scale) or clipped (more than 1 %
/// of the samples at full scale).
#[must_use]
pub fn broken(recordings: &[(Said, Vec<f32>)]) -> f64 {
    let one = |samples: &[f32]| {
        let silent = samples.iter().all(|x| x.abs() < 0.02);
        let full = samples.iter().filter(|x| x.abs() > 0.97).count();
        silent || full * 100 > samples.len()
    };
    let count = recordings.iter().filter(|(_, samples)| one(samples)).count();
    count as f64 / recordings.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(samples: Vec<f32>) -> Vec<(Said, Vec<f32>)> {
        vec![(Said { digit: 0, speaker: 0 }, samples)]
    }

    #[test]
    fn silence_around_a_word_does_not_sound() {
        let word: Vec<f32> = (0..4000).map(|i| 0.4 * (i as f32 * 0.3).sin()).collect();
        let padded = [vec![0.001; 800], word, vec![0.0; 1600]].concat();
        assert!((sounding(&with(padded)) - 0.5).abs() < 0.011);
    }

    #[test]
    fn what_is_silent_or_clipped_is_broken() {
        let tone = |loudness: f32| -> Vec<f32> {
            (0..4000).map(|i| (loudness * (i as f32 * 0.3).sin()).clamp(-1.0, 1.0)).collect()
        };
        assert_eq!(broken(&with(tone(0.5))), 0.0);
        assert_eq!(broken(&with(tone(0.01))), 1.0);
        assert_eq!(broken(&with(tone(3.0))), 1.0);
    }
}
