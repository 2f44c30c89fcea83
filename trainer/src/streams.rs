//! Streams of samples through a network's step graph, many at a time, each from its start.

use atelier_package::Tensor as Plain;
use atelier_transforms::speech::{Condition, FRAME, Plan, Said};

use crate::nets::wavenet::Wavenet;
use crate::onnx_runtime::GraphSession;
use crate::ops::eager::{Eager, to_vec};

/// A step graph that takes `token`, `taps` and `condition` for so many rows and gives logits and what its
/// layers push, row by row.
pub trait Step {
    /// One step of `token.len()` streams.
    ///
    /// # Errors
    /// What the runtime says.
    fn step(
        &mut self,
        token: Vec<i64>,
        taps: Vec<f32>,
        condition: Vec<f32>,
    ) -> anyhow::Result<(Vec<f32>, Vec<f32>)>;
}

/// A network as it is on libtorch.
pub struct OnTorch<'a>(pub &'a Wavenet);

impl Step for OnTorch<'_> {
    fn step(
        &mut self,
        token: Vec<i64>,
        taps: Vec<f32>,
        condition: Vec<f32>,
    ) -> anyhow::Result<(Vec<f32>, Vec<f32>)> {
        let (streams, width) = (token.len() as i64, self.0.config().width as i64);
        let layers = self.0.config().delays().len() as i64;
        let taps = tch::Tensor::from_slice(&taps).reshape([streams, layers, 2, width]);
        let condition = tch::Tensor::from_slice(&condition).reshape([streams, -1]);
        let token = tch::Tensor::from_slice(&token);
        let (logits, pushed) = tch::no_grad(|| self.0.step(&mut Eager::exact(), &token, &taps, &condition));
        Ok((to_vec(&logits), to_vec(&pushed)))
    }
}

/// An exported step graph on ONNX Runtime.
pub struct OnRuntime {
    /// Over the graph.
    pub session: GraphSession,
    /// As in the manifest.
    pub delays: Vec<usize>,
    /// Of what a layer pushes.
    pub width: usize,
}

impl Step for OnRuntime {
    fn step(
        &mut self,
        token: Vec<i64>,
        taps: Vec<f32>,
        condition: Vec<f32>,
    ) -> anyhow::Result<(Vec<f32>, Vec<f32>)> {
        let streams = token.len();
        let numbers = condition.len() / streams.max(1);
        let inputs = [
            Plain::i64(vec![streams], token)?,
            Plain::f32(vec![streams, self.delays.len(), 2, self.width], taps)?,
            Plain::f32(vec![streams, numbers], condition)?,
        ];
        let outputs = self.session.run(&inputs)?;
        match outputs.as_slice() {
            [logits, pushed] => Ok((floats(logits)?, floats(pushed)?)),
            _ => anyhow::bail!("a step graph must give logits and pushed"),
        }
    }
}

/// The numbers of a tensor of floats.
pub(crate) fn floats(tensor: &Plain) -> anyhow::Result<Vec<f32>> {
    tensor.as_f32().map(<[f32]>::to_vec).ok_or_else(|| anyhow::anyhow!("not f32"))
}

/// What the layers pushed, as far back as their taps reach.
struct Delays {
    delays: Vec<usize>,
    width: usize,
    streams: usize,
    /// For each layer a ring of `2 delay` steps, each `[streams, width]`.
    rings: Vec<Vec<f32>>,
    now: usize,
}

impl Delays {
    fn new(delays: &[usize], width: usize, streams: usize) -> Self {
        let ring = |&delay: &usize| vec![0.0; 2 * delay * streams * width];
        let rings = delays.iter().map(ring).collect();
        Self { delays: delays.to_vec(), width, streams, rings, now: 0 }
    }

    fn place(&self, delay: usize, step: usize, stream: usize) -> std::ops::Range<usize> {
        let start = (step % (2 * delay) * self.streams + stream) * self.width;
        start..start + self.width
    }

    /// `[active, layers, 2, width]` of the first streams.
    fn taps(&self, active: usize) -> Vec<f32> {
        let mut taps = Vec::with_capacity(active * self.rings.len() * 2 * self.width);
        for stream in 0..active {
            for (&delay, ring) in self.delays.iter().zip(&self.rings) {
                // Modulo 2 delay, so many steps ago is the same as so many ahead; and what was pushed twice
                // as long ago is what this step will write over.
                for step in [self.now + delay, self.now] {
                    taps.extend_from_slice(&ring[self.place(delay, step, stream)]);
                }
            }
        }
        taps
    }

    /// Takes what `[active, layers, width]` say, and goes on to the next step.
    fn push(&mut self, active: usize, pushed: &[f32]) {
        for (at, row) in pushed.chunks_exact(self.width).enumerate().take(active * self.rings.len()) {
            let (stream, layer) = (at / self.delays.len(), at % self.delays.len());
            let place = self.place(self.delays[layer], self.now, stream);
            self.rings[layer][place].copy_from_slice(row);
        }
        self.now += 1;
    }
}

/// One stream: what is said, in how many samples, and what it is to sound like.
#[derive(Clone, Debug)]
pub struct Utterance {
    /// Word and voice.
    pub said: Said,
    /// Samples.
    pub total: usize,
    /// What follows each row of the condition.
    pub plan: Plan,
}

impl Utterance {
    /// What the network is told of sample `at`.
    pub fn row(&self, condition: &Condition, at: usize) -> Vec<f32> {
        let mut row = condition.row(Some(self.said), at, self.total);
        row.extend(self.plan.row(at, self.total));
        row
    }
}

/// What streams have in common.
pub struct Conventions<'a> {
    /// How conditions are written.
    pub condition: Condition,
    /// Distance between the taps of each layer.
    pub delays: &'a [usize],
    /// Of what a layer pushes.
    pub width: usize,
    /// The token before the first.
    pub silence: i64,
}

/// Runs `graph` over all samples of all utterances, side by side. `next` is told an utterance's place, the
/// place of a sample in it, and the logits of that sample; the token that it answers is what goes in after it.
/// Samples of one utterance come in their order.
///
/// # Errors
/// What the graph says.
pub fn run(
    graph: &mut dyn Step,
    conventions: &Conventions<'_>,
    utterances: &[Utterance],
    next: &mut dyn FnMut(usize, usize, &[f32]) -> i64,
) -> anyhow::Result<()> {
    // The longest first, so that those that go on are always the first.
    let mut order: Vec<usize> = (0..utterances.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(utterances[i].total));
    let mut lines = Delays::new(conventions.delays, conventions.width, order.len());
    let mut tokens = vec![conventions.silence; order.len()];
    let mut condition = Vec::new();
    let longest = order.first().map_or(0, |&i| utterances[i].total);
    let mut active = order.len();
    for at in 0..longest {
        let before = active;
        active = order.partition_point(|&i| utterances[i].total > at);
        if at.is_multiple_of(FRAME) || active != before {
            let rows = order[..active].iter().map(|&i| utterances[i].row(&conventions.condition, at));
            condition = rows.flatten().collect();
        }
        let (logits, pushed) =
            graph.step(tokens[..active].to_vec(), lines.taps(active), condition.clone())?;
        lines.push(active, &pushed);
        let levels = logits.len() / active;
        for (slot, row) in logits.chunks_exact(levels).enumerate() {
            tokens[slot] = next(order[slot], at, row);
        }
    }
    Ok(())
}

/// The cost of a token in bits under logits.
#[must_use]
pub fn bits(logits: &[f32], token: i64) -> f64 {
    let highest = logits.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
    let sum: f64 = logits.iter().map(|&x| f64::from(x - highest).exp()).sum();
    let own = logits.get(token as usize).map_or(f64::NEG_INFINITY, |&x| f64::from(x - highest));
    (sum.ln() - own) / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_what_was_pushed_that_many_steps_ago_and_zero_before() {
        let mut lines = Delays::new(&[1, 3], 1, 2);
        for now in 0..20 {
            let taps = lines.taps(2);
            let ago = |steps: usize, stream: usize, layer: usize| {
                if now < steps { 0.0 } else { (100 * stream + 10 * layer + now - steps) as f32 + 0.5 }
            };
            let row = |s: usize| [ago(1, s, 0), ago(2, s, 0), ago(3, s, 1), ago(6, s, 1)];
            assert_eq!(taps, [row(0), row(1)].concat(), "step {now}");
            let pushed: Vec<f32> = [0, 10, 100, 110].iter().map(|of| (of + now) as f32 + 0.5).collect();
            lines.push(2, &pushed);
        }
    }

    #[test]
    fn a_token_costs_the_bits_of_its_chance() {
        let logits = [0f32, 2f32.ln(), f32::NEG_INFINITY, 0.0];
        assert!((bits(&logits, 1) - 1.0).abs() < 1e-6 && (bits(&logits, 0) - 2.0).abs() < 1e-6);
        assert_eq!(bits(&logits, 2), f64::INFINITY);
    }
}
