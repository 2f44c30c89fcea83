//! Training the flow of a [`FaceSampler`] on codes of faces. Encoder and decoder are of another run, and stay
//! as they are.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::FaceFamily;
use super::borrowed::Borrowed;
use crate::data::DataError;
use crate::data::faces::Batch;
use crate::graphs::Exportable;
use crate::nets::age_code::AGES;
use crate::nets::code_flow::{CodeFlow, CodeFlowConfig};
use crate::nets::face_sampler::FaceSampler;
use crate::nets::face_vae::{DECODER, FaceVae, Posterior};
use crate::ops::eager::Eager;
use crate::picture::Grid;
use crate::recipe::{Family, Loss, Turn};
use crate::store::Store;

/// Ages at which faces are looked at between epochs, in years.
const LOOKED_AT: [f64; 6] = [3.0, 15.0, 30.0, 45.0, 60.0, 75.0];
/// Times at which the velocity is validated.
const TIMES: i64 = 8;

/// `[family]` with `kind = "face-sampler"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerRecipeConfig {
    /// The run whose encoder writes the codes and whose decoder paints them.
    pub codes: PathBuf,
    /// Size of the flow.
    pub network: CodeFlowConfig,
}

impl SamplerRecipeConfig {
    pub(in crate::recipe) fn validate(&self) -> Result<(), String> {
        self.network.validate()
    }
}

/// The networks and how they are trained.
pub(in crate::recipe) struct SamplerFamily {
    sampler: FaceSampler,
    vae: FaceVae,
    builds_upon: String,
    minutes_before: f64,
    /// Of each face that was seen before, by its index: f32 `[2, 2, latent]`, as it is and mirrored, means and
    /// logarithms of variances.
    codes: HashMap<usize, Tensor>,
}

impl SamplerFamily {
    /// Opens the run that the recipe names.
    pub(in crate::recipe) fn new(config: &SamplerRecipeConfig, store: &mut Store) -> Result<Self, DataError> {
        let run = Borrowed::open(&config.codes)?;
        let Family::FaceVaeGan(c) = &run.family else { return Err(run.unfit("face-vae-gan")) };
        let vae = run.network(store.device(), |store| FaceVae::new(store, &c.network))?;
        let sampler = FaceSampler::new(store, &config.network, &c.network.decoder);
        run.load(store, &format!("{DECODER}."))?;
        Ok(Self {
            sampler,
            vae,
            builds_upon: run.state(),
            minutes_before: run.minutes,
            codes: HashMap::new(),
        })
    }

    /// Where the codes of faces lie, each mirrored or not.
    fn posterior(&mut self, faces: &Batch) -> Posterior {
        for (row, &index) in faces.indices.iter().enumerate() {
            // One after the other: in larger batches the last bits would depend on who else is new.
            self.codes.entry(index).or_insert_with(|| {
                let face = faces.images.narrow(0, row as i64, 1);
                let sides = Tensor::cat(&[face.shallow_clone(), face.flip([3])], 0);
                let posterior = tch::no_grad(|| self.vae.encode(&mut Eager::exact(), &sides));
                Tensor::stack(&[posterior.mean, posterior.log_variance], 1)
            });
        }
        let rows: Vec<&Tensor> = faces.indices.iter().map(|index| &self.codes[index]).collect();
        let both = Tensor::stack(&rows, 0);
        let mirrored = faces.ages.rand_like().gt(0.5).reshape([-1, 1, 1]);
        let chosen = both.select(1, 1).where_self(&mirrored, &both.select(1, 0));
        Posterior { mean: chosen.select(1, 0), log_variance: chosen.select(1, 1) }
    }
}

/// Mean squared error of the velocity on the straight ways from random numbers to `codes` `[n, latent]` of
/// faces of `ages` f32 `[n]`, at `time` f32 `[n]`.
fn error(flow: &CodeFlow, ops: &mut Eager, codes: &Tensor, ages: &Tensor, time: &Tensor) -> Tensor {
    let noise = codes.randn_like();
    let way = codes - &noise;
    let x = &noise + &way * time.unsqueeze(1);
    let velocity = flow.velocity(ops, &x, time, &ages.clamp(AGES[0], AGES[1]));
    (velocity.to_kind(Kind::Float) - way).square().mean(Kind::Float)
}

impl FaceFamily for SamplerFamily {
    fn network(&self) -> &dyn Exportable {
        &self.sampler
    }

    fn builds_upon(&self) -> &str {
        &self.builds_upon
    }

    /// The decoder is part of what is served.
    fn minutes_before(&self) -> f64 {
        self.minutes_before
    }

    fn turns(&self) -> Vec<Turn> {
        vec![Turn { prefix: "flow.", rate: 1.0 }]
    }

    fn loss(&mut self, ops: &mut Eager, faces: &Batch, _step: u64, _turn: usize) -> Loss {
        let codes = self.posterior(faces).draw();
        let time = faces.ages.rand_like();
        Loss { total: error(&self.sampler.flow, ops, &codes, &faces.ages, &time), parts: Vec::new() }
    }

    fn validate(&self, faces: &Batch) -> Vec<(&'static str, f64)> {
        let ops = &mut Eager::exact();
        let codes = self.vae.encode(ops, &faces.images).draw();
        let errors = (0..TIMES).map(|i| {
            let time = faces.ages.full_like((i as f64 + 0.5) / TIMES as f64);
            error(&self.sampler.flow, ops, &codes, &faces.ages, &time).double_value(&[])
        });
        let error = errors.sum::<f64>() / TIMES as f64;
        let ages = faces.ages.clamp(AGES[0], AGES[1]);
        let drawn = self.sampler.flow.forward(ops, &codes.randn_like(), &ages);
        vec![("error", error), ("variety", spread(&drawn) / spread(&codes))]
    }

    /// The same random numbers at several ages, row by row.
    fn draw(&self, faces: &Batch, grid: &mut Grid) {
        let z = Tensor::randn(
            [faces.ages.size()[0], self.sampler.latent() as i64],
            (Kind::Float, faces.ages.device()),
        );
        for age in LOOKED_AT {
            grid.row(&self.sampler.forward(&mut Eager::exact(), &z, &faces.ages.full_like(age)));
        }
    }
}

/// Mean deviation of the numbers of codes.
fn spread(codes: &Tensor) -> f64 {
    codes.std_dim(Some([0i64].as_slice()), true, false).mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{AdamW, OptimiserConfig};
    use tch::Device;

    #[test]
    fn a_flow_learns_where_the_codes_of_an_age_lie_and_how_far_apart() {
        let mut store = Store::new(1, Device::Cpu);
        let config = CodeFlowConfig { width: 32, blocks: 1, style: 16, steps: 8 };
        let flow = CodeFlow::new(&mut store, "flow", &config, 2);
        let optimiser = OptimiserConfig {
            learning_rate: 5e-3,
            final_fraction: 0.1,
            warmup: 0.1,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.0,
            clip: 1.0,
            average: 0.0,
        };
        let mut adam = AdamW::new(&store, optimiser.clone());
        let ops = &mut Eager::exact();
        let float = (Kind::Float, Device::Cpu);
        // Of the young about 1, of the old about -1, and a quarter as far apart as random numbers.
        for step in 0..400 {
            tch::manual_seed(step as i64);
            let ages = Tensor::rand([256], float).gt(0.5).to_kind(Kind::Float) * 60.0 + 10.0;
            let centres = (&ages - 40.0) / -30.0;
            let codes = centres.unsqueeze(1) + Tensor::randn([256, 2], float) * 0.25;
            error(&flow, ops, &codes, &ages, &Tensor::rand([256], float)).backward();
            adam.update(&store, "flow.", step, optimiser.rate(step, 400));
        }
        for (age, centre) in [(10.0, 1.0), (70.0, -1.0)] {
            let codes = tch::no_grad(|| {
                flow.forward(ops, &Tensor::randn([1000, 2], float), &Tensor::full([1000], age, float))
            });
            let (mean, deviation) = (codes.mean(Kind::Double), codes.std(true));
            let (mean, deviation) = (mean.double_value(&[]), deviation.double_value(&[]));
            assert!((mean - centre).abs() < 0.1, "about {mean} at {age} years");
            assert!((0.18..0.35).contains(&deviation), "{deviation} apart at {age} years");
        }
    }
}
