//! A package's planner: what it makes of random numbers, and of recordings.

use anyhow::{bail, ensure};
use atelier_package::{Dim, Package, Tensor as Plain};
use atelier_transforms::speech::{Condition, Plan};
use rand::Rng;

use crate::evaluate::session;
use crate::nets::speech_planner::SIDE;
use crate::onnx_runtime::{GraphSession, OnnxRuntime};
use crate::random;
use crate::streams::{Utterance, floats};

/// The graphs `planner` and `encoder` on ONNX Runtime.
pub(super) struct Planner {
    planner: GraphSession,
    encoder: GraphSession,
    condition: Condition,
    code: usize,
}

/// A recording's plan, and what the numbers that it was made from cost.
pub(super) struct Read {
    pub(super) plan: Plan,
    pub(super) bits: f64,
}

impl Planner {
    pub(super) fn open(
        package: &Package,
        runtime: &OnnxRuntime,
        condition: Condition,
    ) -> anyhow::Result<Self> {
        let (planner, encoder) =
            (session(package, runtime, "planner")?, session(package, runtime, "encoder")?);
        let noise = package.manifest().graph("planner").and_then(|graph| graph.input("noise"));
        let Some(&[_, Dim::Fixed(code)]) = noise.map(|spec| spec.shape.as_slice()) else {
            bail!("the graph planner has no input noise of a fixed width");
        };
        Ok(Self { planner, encoder, condition, code })
    }

    fn run(graph: &mut GraphSession, inputs: &[Plain]) -> anyhow::Result<Vec<Vec<f32>>> {
        graph.run(inputs)?.iter().map(floats).collect()
    }

    fn word(&self, utterance: &Utterance) -> anyhow::Result<Plain> {
        let word = self.condition.word(utterance.said, utterance.total);
        Ok(Plain::f32(vec![1, word.len()], word)?)
    }

    fn plan(&mut self, utterance: &Utterance, noise: Vec<f32>) -> anyhow::Result<Plan> {
        let inputs = [self.word(utterance)?, Plain::f32(vec![1, noise.len()], noise)?];
        let outputs = Self::run(&mut self.planner, &inputs)?;
        let values = outputs.into_iter().next().unwrap_or_default();
        ensure!(values.len() == SIDE * SIDE, "a plan has {} numbers, not {SIDE} times {SIDE}", values.len());
        Ok(Plan::new(SIDE, values))
    }

    /// A way of saying a word, more or less usual by what its random numbers are multiplied by.
    pub(super) fn draw<R: Rng>(
        &mut self,
        utterance: &Utterance,
        variation: f64,
        noise: &mut R,
    ) -> anyhow::Result<Plan> {
        let noise = random::normals(noise, self.code).map(|x| (variation * x) as f32).collect();
        self.plan(utterance, noise)
    }

    /// The plan of a recording with this spectrum, of numbers drawn from what the encoder says of it.
    pub(super) fn read<R: Rng>(
        &mut self,
        utterance: &Utterance,
        spectrum: Vec<f32>,
        noise: &mut R,
    ) -> anyhow::Result<Read> {
        let draw = random::normals(noise, self.code).map(|x| x as f32).collect();
        let inputs = [
            self.word(utterance)?,
            Plain::f32(vec![1, SIDE, SIDE], spectrum)?,
            Plain::f32(vec![1, self.code], draw)?,
        ];
        let outputs = Self::run(&mut self.encoder, &inputs)?;
        let [noise, nats] = outputs.as_slice() else { bail!("the encoder must give two outputs") };
        let &[nats] = nats.as_slice() else { bail!("the encoder must say what a recording's numbers cost") };
        let bits = f64::from(nats) / std::f64::consts::LN_2;
        Ok(Read { plan: self.plan(utterance, noise.clone())?, bits })
    }
}
