//! Plans of recordings, from which the planner learns and which the WaveNet is told, and plans that are made up.

use atelier_transforms::speech::{MuLaw, Plan};
use tch::{Device, Kind, Tensor};

use crate::nets::speech_planner::{SIDE, SpeechPlanner};
use crate::ops::eager::{Eager, to_vec};
use crate::sound::mel;

/// Plans of some recordings.
pub(super) struct Planned {
    pub(super) plans: Vec<Plan>,
    /// The mean square of what they miss of the spectra.
    pub(super) error: Tensor,
    /// Nats of the numbers that stand for a recording, a mean.
    pub(super) divergence: Tensor,
}

impl Planned {
    /// Of recordings with these spectra `[n, SIDE, SIDE]` and words, by numbers drawn from what the encoder says of
    /// each.
    pub(super) fn of(planner: &SpeechPlanner, spectra: &Tensor, words: &Tensor) -> Self {
        let ops = &mut Eager::exact();
        let draw = Tensor::randn([spectra.size()[0], planner.code() as i64], (Kind::Float, spectra.device()));
        let reading = planner.read(ops, spectra, words, &draw);
        let plan = planner.decode(ops, &reading.code, words);
        let error = (&plan - spectra).square().mean(Kind::Float);
        Self { plans: plans(&plan), error, divergence: reading.nats.mean(Kind::Float) }
    }

    /// Nats that a number of a spectrum costs, where the deviation of what is missed is the best there is
    /// (Rybkin, Daniilidis and Levine 2021).
    pub(super) fn nats(&self) -> Tensor {
        self.error.log() * 0.5 + &self.divergence / (SIDE * SIDE) as f64
    }
}

/// The plan of a word by random numbers.
pub(super) fn draw(planner: &SpeechPlanner, noise: Vec<f32>, word: Vec<f32>, device: Device) -> Plan {
    let [noise, word] = [noise, word].map(|row| Tensor::from_slice(&row).unsqueeze(0).to_device(device));
    let ops = &mut Eager::exact();
    let plan = tch::no_grad(|| {
        let code = planner.draw(ops, &noise, &word);
        planner.decode(ops, &code, &word)
    });
    plans(&plan).pop().unwrap_or_default()
}

/// Of what a planner gives. They do not know how they came about: no gradient goes through them.
fn plans(plan: &Tensor) -> Vec<Plan> {
    to_vec(&plan.detach()).chunks_exact(SIDE * SIDE).map(|values| Plan::new(SIDE, values.to_vec())).collect()
}

/// The spectrum of a recording, `[SIDE, SIDE]`, as a planner knows it: most numbers lie in [-2, 2].
pub(crate) fn spectrum_of(tokens: &[i64], law: &MuLaw) -> Tensor {
    let samples: Vec<f32> = tokens.iter().map(|&token| law.decode(token as usize)).collect();
    (mel::at_moments(&samples, SIDE as i64, SIDE as i64) + 4.0) / 4.0
}
