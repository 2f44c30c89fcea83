//! AdamW, the learning-rate schedule and gradient clipping.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::store::{Store, StoreError};

/// How the optimiser is set, in a recipe's `[optimiser]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The schedule ends at `learning_rate * final_fraction`.
    pub final_fraction: f64,
    /// Part of all steps spent rising linearly from 0 to the peak.
    pub warmup: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Decoupled weight decay on matrices and kernels (not on biases).
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 leaves them.
    pub clip: f64,
    /// Decay of the moving average of the weights that is evaluated and exported.
    pub average: f64,
}

impl OptimiserConfig {
    /// Says which field is out of range.
    ///
    /// # Errors
    /// The field, its value and its range.
    pub fn validate(&self) -> Result<(), String> {
        let within = |name: &str, x: f64, low: f64, high: f64| {
            if (low..=high).contains(&x) {
                Ok(())
            } else {
                Err(format!("optimiser.{name} is {x}, it must lie in [{low}, {high}]"))
            }
        };
        within("learning_rate", self.learning_rate, 1e-9, 10.0)?;
        within("final_fraction", self.final_fraction, 0.0, 1.0)?;
        within("warmup", self.warmup, 0.0, 1.0)?;
        within("beta1", self.beta1, 0.0, 0.999_999)?;
        within("beta2", self.beta2, 0.0, 0.999_999_9)?;
        within("weight_decay", self.weight_decay, 0.0, 10.0)?;
        within("clip", self.clip, 0.0, 1e9)?;
        within("average", self.average, 0.0, 0.999_999)
    }

    /// The learning rate of `step` (from 0) among `total`: linear warm-up, then half a cosine.
    #[must_use]
    pub fn rate(&self, step: u64, total: u64) -> f64 {
        let position = step as f64 / total.max(1) as f64;
        if position < self.warmup {
            let risen = (step as f64 + 1.0) / (self.warmup * total as f64).max(1.0);
            return self.learning_rate * risen.min(1.0);
        }
        let along = (position - self.warmup) / (1.0 - self.warmup).max(f64::EPSILON);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * along.min(1.0)).cos());
        self.learning_rate * (self.final_fraction + (1.0 - self.final_fraction) * cosine)
    }
}

/// AdamW (Loshchilov and Hutter 2019). Our own, since libtorch's Rust bindings cannot save an optimiser's
/// state, and a run has to go on exactly where it stopped.
#[derive(Debug)]
pub struct AdamW {
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    config: OptimiserConfig,
}

impl AdamW {
    const EPSILON: f64 = 1e-8;

    /// Moments at zero.
    #[must_use]
    pub fn new(store: &Store, config: OptimiserConfig) -> Self {
        let zeros = || store.parameters().iter().map(|p| p.value.detach().zeros_like()).collect();
        Self { first: zeros(), second: zeros(), config }
    }

    /// One update of the parameters whose names start with `prefix`, with the gradients in the store. All
    /// gradients are cleared, those of other parameters too. Returns the global norm before clipping of those
    /// used. `count` is how often these parameters have moved before.
    pub fn update(&mut self, store: &Store, prefix: &str, count: u64, rate: f64) -> f64 {
        tch::no_grad(|| {
            let mut squares: Vec<Tensor> = vec![Tensor::zeros([], (Kind::Double, store.device()))];
            for p in store.parameters().iter().filter(|p| p.name.starts_with(prefix)) {
                let gradient = p.value.grad();
                if gradient.defined() {
                    squares.push(gradient.square().sum(Kind::Double));
                }
            }
            let norm = Tensor::stack(&squares, 0).sum(Kind::Double).double_value(&[]).sqrt();
            let c = &self.config;
            let scale = if c.clip > 0.0 && norm > c.clip { c.clip / norm } else { 1.0 };
            let count = (count + 1) as i32;
            let (fix1, fix2) = (1.0 - c.beta1.powi(count), 1.0 - c.beta2.powi(count));
            for ((p, m), v) in store.parameters().iter().zip(&mut self.first).zip(&mut self.second) {
                let mut gradient = p.value.grad();
                if !p.name.starts_with(prefix) {
                    if gradient.defined() {
                        let _ = gradient.zero_();
                    }
                    continue;
                }
                if !gradient.defined() {
                    if !p.trains() {
                        continue;
                    }
                    // A loss that does not reach it (any more): as after the first step of a run, whose gradients
                    // are cleared and not gone. So a run that was resumed goes on as if it had not stopped.
                    gradient = p.value.zeros_like();
                }
                if scale < 1.0 {
                    let _ = gradient.g_mul_scalar_(scale);
                }
                let mut value = p.value.detach();
                if p.decays && c.weight_decay > 0.0 {
                    let _ = value.g_mul_scalar_(1.0 - rate * c.weight_decay);
                }
                let _ = m.lerp_(&gradient, 1.0 - c.beta1);
                let _ = v.g_mul_scalar_(c.beta2);
                let _ = v.addcmul_(&gradient, &gradient.g_mul_scalar(1.0 - c.beta2));
                let denominator = (&*v / fix2).sqrt() + Self::EPSILON;
                let _ = value.addcdiv_(&(&*m * (-rate / fix1)), &denominator);
                let _ = gradient.zero_();
            }
            norm
        })
    }

    /// The moments, as `first.NAME` and `second.NAME`.
    #[must_use]
    pub fn named(&self, store: &Store) -> Vec<(String, Tensor)> {
        let label = |kind: &str, moments: &[Tensor]| -> Vec<(String, Tensor)> {
            let pairs = store.parameters().iter().zip(moments);
            pairs.map(|(p, t)| (format!("{kind}.{}", p.name), t.shallow_clone())).collect()
        };
        let mut all = label("first", &self.first);
        all.extend(label("second", &self.second));
        all
    }

    /// Takes over moments by name.
    ///
    /// # Errors
    /// Names a moment that is missing.
    pub fn load(&mut self, store: &Store, values: &HashMap<String, Tensor>) -> Result<(), StoreError> {
        for (kind, moments) in [("first", &mut self.first), ("second", &mut self.second)] {
            for (p, moment) in store.parameters().iter().zip(moments) {
                let name = format!("{kind}.{}", p.name);
                let value = values.get(&name).ok_or(StoreError::Missing { name })?;
                moment.copy_(value);
            }
        }
        Ok(())
    }
}
