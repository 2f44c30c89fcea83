//! From standard normal numbers to codes of a word and back: a normalising flow of affine couplings (Real NVP: Dinh,
//! Sohl-Dickstein and Bengio 2017) that is told the word.
//!
//! The codes of what a variational autoencoder learned from leave gaps between them, and what is drawn from a normal
//! distribution falls into these. Where the prior is such a flow, learned beside it (Chen et al. 2017), what is drawn
//! lies where codes do; and as a flow can be gone back exactly, it is still known what a code costs.

use crate::layers::Linear;
use crate::ops::Ops;
use crate::store::Store;

/// A coupling stretches or shrinks a number by at most `e` to the power of this.
const COUPLING: f32 = 1.5;
/// And so does what gives the codes of a word their place.
const PLACE: f32 = 3.0;

/// The network, for codes of an even number of numbers.
pub struct CouplingFlow {
    code: usize,
    couplings: Vec<Scaler>,
    place: Scaler,
}

/// Says how much numbers are to be stretched and moved.
struct Scaler {
    enter: Linear,
    hidden: Linear,
    leave: Linear,
    /// How many numbers.
    size: usize,
    /// The greatest logarithm of what they are multiplied by.
    most: f32,
}

impl Scaler {
    /// It starts by leaving numbers as they are.
    fn new(store: &mut Store, name: &str, inputs: usize, hidden: usize, (size, most): (usize, f32)) -> Self {
        Self {
            enter: Linear::new(store, &format!("{name}.enter"), inputs, hidden),
            hidden: Linear::new(store, &format!("{name}.hidden"), hidden, hidden),
            leave: Linear::zero(store, &format!("{name}.leave"), hidden, 2 * size),
            size,
            most,
        }
    }

    /// The logarithm of what numbers are multiplied by, and what is then added to them.
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Tensor) -> (O::Tensor, O::Tensor) {
        let x = ops.linear(x, &self.enter);
        let x = ops.relu(&x);
        let x = ops.linear(&x, &self.hidden);
        let x = ops.relu(&x);
        let x = ops.linear(&x, &self.leave);
        let mut parts = ops.split(&x, &[self.size; 2], 1);
        let shift = parts.remove(1);
        let logarithm = ops.tanh(&parts[0]);
        (ops.affine(&logarithm, self.most, 0.0), shift)
    }

    /// Stretches and moves `x` by what `told` says.
    fn apply<O: Ops>(&self, ops: &mut O, x: &O::Tensor, told: &O::Tensor) -> O::Tensor {
        let (logarithm, shift) = self.forward(ops, told);
        let factor = ops.exp(&logarithm);
        let x = ops.mul(x, &factor);
        ops.add(&x, &shift)
    }

    /// Undoes it. The sum of the logarithms of what was divided by, `[batch, 1]`, comes second.
    fn undo<O: Ops>(&self, ops: &mut O, x: &O::Tensor, told: &O::Tensor) -> (O::Tensor, O::Tensor) {
        let (logarithm, shift) = self.forward(ops, told);
        let less = ops.affine(&logarithm, -1.0, 0.0);
        let factor = ops.exp(&less);
        let x = ops.sub(x, &shift);
        (ops.mul(&x, &factor), sum(ops, &logarithm, self.size))
    }
}

/// The sums of rows of `size` numbers, `[batch, 1]`.
pub(super) fn sum<O: Ops>(ops: &mut O, x: &O::Tensor, size: usize) -> O::Tensor {
    let x = ops.reshape_rows(x, &[1, 1, size]);
    let mean = ops.mean_pixels(&x);
    ops.affine(&mean, size as f32, 0.0)
}

impl CouplingFlow {
    /// With fresh parameters in `store`, named `PREFIX.…`: so many couplings with layers of `hidden` units, for codes of
    /// `code` numbers and words of `word`. It starts by changing nothing but the order of a code's numbers.
    pub fn new(
        store: &mut Store,
        prefix: &str,
        (couplings, hidden): (usize, usize),
        (code, word): (usize, usize),
    ) -> Self {
        let half = code / 2;
        let mut scaler = |name: &str, inputs, size, most| {
            Scaler::new(store, &format!("{prefix}.{name}"), inputs, hidden, (size, most))
        };
        let place = scaler("place", word, code, PLACE);
        let couplings = (0..couplings).map(|i| scaler(&i.to_string(), half + word, half, COUPLING)).collect();
        Self { code, couplings, place }
    }

    /// Codes `[batch, code]` of `noise` `[batch, code]`, standard normal, for `word` `[batch, word]`.
    pub fn forward<O: Ops>(&self, ops: &mut O, noise: &O::Tensor, word: &O::Tensor) -> O::Tensor {
        let mut halves = ops.split(noise, &[self.code / 2; 2], 1);
        for coupling in &self.couplings {
            let told = ops.concat(&[&halves[0], word], 1);
            let moved = coupling.apply(ops, &halves[1], &told);
            // They change places, so that each is told of the other in turn.
            halves = vec![moved, halves.swap_remove(0)];
        }
        let x = ops.concat(&[&halves[0], &halves[1]], 1);
        self.place.apply(ops, &x, word)
    }

    /// The noise `[batch, code]` that gives `code` for `word`, and the logarithm of how much more room codes take there
    /// than noise does, `[batch, 1]`: by so many nats a code is less likely.
    pub fn inverse<O: Ops>(&self, ops: &mut O, code: &O::Tensor, word: &O::Tensor) -> (O::Tensor, O::Tensor) {
        let (x, mut room) = self.place.undo(ops, code, word);
        let mut halves = ops.split(&x, &[self.code / 2; 2], 1);
        for coupling in self.couplings.iter().rev() {
            let told = ops.concat(&[&halves[1], word], 1);
            let (moved, more) = coupling.undo(ops, &halves[0], &told);
            halves = vec![halves.swap_remove(1), moved];
            room = ops.add(&room, &more);
        }
        (ops.concat(&[&halves[0], &halves[1]], 1), room)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Tensor};

    use super::*;
    use crate::ops::eager::Eager;
    use crate::random::normal_tensor as normal;

    /// A flow that has learned something, whatever that is.
    fn learned() -> CouplingFlow {
        let mut store = Store::new(5, Device::Cpu);
        let flow = CouplingFlow::new(&mut store, "flow", (3, 7), (4, 2));
        for (i, (_, parameter)) in store.named().into_iter().enumerate() {
            let values = normal(i as u64, &parameter.size()) * 0.6;
            tch::no_grad(|| parameter.shallow_clone().copy_(&values));
        }
        flow
    }

    fn some(seed: u64, columns: i64) -> Tensor {
        normal(seed, &[9, columns])
    }

    #[test]
    fn what_is_made_of_noise_leads_back_to_it() {
        let (flow, ops) = (learned(), &mut Eager::exact());
        let (noise, word) = (some(91, 4), some(92, 2));
        let code = flow.forward(ops, &noise, &word);
        assert!((&code - &noise).abs().max().double_value(&[]) > 0.5);
        let (back, _) = flow.inverse(ops, &code, &word);
        assert!((back - noise).abs().max().double_value(&[]) < 1e-4);
    }

    #[test]
    fn another_word_has_other_codes() {
        let (flow, ops) = (learned(), &mut Eager::exact());
        let noise = some(91, 4);
        let of = |word: Tensor, ops: &mut Eager| flow.forward(ops, &noise, &word);
        let differ = of(some(92, 2), ops) - of(some(93, 2), ops);
        assert!(differ.abs().amin([1i64].as_slice(), false).min().double_value(&[]) > 1e-4);
    }

    #[test]
    fn the_room_of_a_code_is_the_determinant_of_how_noise_moves_it() {
        let (flow, ops) = (learned(), &mut Eager::exact());
        let (noise, word) = (some(91, 4).narrow(0, 0, 1), some(92, 2).narrow(0, 0, 1));
        let noise = noise.set_requires_grad(true);
        let code = flow.forward(ops, &noise, &word);
        let rows: Vec<Tensor> = (0..4)
            .map(|i| {
                let one = code.get(0).get(i);
                Tensor::run_backward(&[one], &[&noise], true, false).remove(0).get(0)
            })
            .collect();
        let (_, logarithm) = Tensor::stack(&rows, 0).slogdet();
        let (_, room) = flow.inverse(ops, &code, &word);
        let (room, right) = (room.double_value(&[0, 0]), logarithm.double_value(&[]));
        assert!(right.abs() > 0.1 && (room - right).abs() < 1e-4, "{room} {right}");
    }
}
