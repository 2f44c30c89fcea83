//! From standard normal numbers to codes of faces of an age: flow matching (Lipman et al. 2023; Liu, Gong and
//! Liu 2023). Codes of an autoencoder are not spread as the numbers are that one would draw, and codes that lie
//! where no face's does are painted badly.

use serde::{Deserialize, Serialize};

use super::age_code::{AgeCode, Film};
use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// Size of a [`CodeFlow`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CodeFlowConfig {
    /// Features of a code on its way.
    pub width: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Features that age and time are turned into.
    pub style: usize,
    /// Steps of the midpoint method from random numbers to a code; each asks the network twice.
    pub steps: usize,
}

impl CodeFlowConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        let sizes = [self.width, self.blocks, self.style, self.steps];
        if sizes.contains(&0) || self.steps > 64 {
            return Err(
                "family.network's width, blocks and style must be at least 1, its steps from 1 to 64".into(),
            );
        }
        Ok(())
    }
}

/// The network: where a number has to go from here.
pub struct CodeFlow {
    width: usize,
    latent: usize,
    steps: usize,
    age: AgeCode,
    time: AgeCode,
    enter: Linear,
    blocks: Vec<Block>,
    leave: Linear,
}

struct Block {
    one: Linear,
    film: Film,
    two: Linear,
}

impl CodeFlow {
    /// With fresh parameters in `store`, named `PREFIX.…`, for codes of `latent` numbers.
    pub fn new(store: &mut Store, prefix: &str, config: &CodeFlowConfig, latent: usize) -> Self {
        let (width, style) = (config.width, config.style);
        let name = |part: &str| format!("{prefix}.{part}");
        let blocks = (0..config.blocks).map(|i| Block {
            one: Linear::new(store, &name(&format!("one{i}")), width, width),
            film: Film::new(store, &name(&format!("film{i}")), style, width),
            two: Linear::new(store, &name(&format!("two{i}")), width, width),
        });
        let blocks = blocks.collect();
        Self {
            blocks,
            age: AgeCode::new(store, &name("age"), style),
            time: AgeCode::new(store, &name("time"), style),
            enter: Linear::new(store, &name("enter"), latent, width),
            leave: Linear::new(store, &name("leave"), width, latent),
            steps: config.steps,
            width,
            latent,
        }
    }

    /// Velocities `[batch, latent]` of `x` `[batch, latent]` at `time` f32 `[batch]`, from 0 (random numbers)
    /// to 1 (codes), towards faces of `age` f32 `[batch]` in years.
    pub fn velocity<O: Ops>(
        &self,
        ops: &mut O,
        x: &O::Tensor,
        time: &O::Tensor,
        age: &O::Tensor,
    ) -> O::Tensor {
        let age = self.age.forward(ops, age);
        self.towards(ops, x, time, &age)
    }

    fn towards<O: Ops>(&self, ops: &mut O, x: &O::Tensor, time: &O::Tensor, age: &O::Tensor) -> O::Tensor {
        // Sinusoids of a century: time takes one from 0 to 1.
        let time = ops.affine(time, 100.0, 0.0);
        let time = self.time.forward(ops, &time);
        let style = ops.add(&time, age);
        let mut x = ops.linear(x, &self.enter);
        for block in &self.blocks {
            let y = self.normalised(ops, &x);
            let y = ops.linear(&y, &block.one);
            let y = ops.reshape_rows(&y, &[self.width, 1, 1]);
            let y = block.film.apply(ops, &y, &style);
            let y = ops.reshape_rows(&y, &[self.width]);
            let y = ops.relu(&y);
            let y = ops.linear(&y, &block.two);
            x = ops.add(&x, &y);
        }
        let x = self.normalised(ops, &x);
        ops.linear(&x, &self.leave)
    }

    /// Layer normalisation: an instance whose only plane is the features.
    fn normalised<O: Ops>(&self, ops: &mut O, x: &O::Tensor) -> O::Tensor {
        let x = ops.reshape_rows(x, &[1, 1, self.width]);
        let x = ops.instance_norm(&x);
        ops.reshape_rows(&x, &[self.width])
    }

    /// Codes of `z` `[batch, latent]`, standard normal, for faces of `age` f32 `[batch]` in years.
    pub fn forward<O: Ops>(&self, ops: &mut O, z: &O::Tensor, age: &O::Tensor) -> O::Tensor {
        let features = self.age.forward(ops, age);
        let step = 1.0 / self.steps as f32;
        let mut x = ops.reshape_rows(z, &[self.latent]);
        for i in 0..self.steps {
            let at = i as f32 * step;
            let time = ops.fill_rows(age, at);
            let v = self.towards(ops, &x, &time, &features);
            let half = ops.affine(&v, 0.5 * step, 0.0);
            let middle = ops.add(&x, &half);
            let time = ops.fill_rows(age, at + 0.5 * step);
            let v = self.towards(ops, &middle, &time, &features);
            let whole = ops.affine(&v, step, 0.0);
            x = ops.add(&x, &whole);
        }
        x
    }
}
