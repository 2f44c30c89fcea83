//! An age as networks take it, and how it changes what they do.

use crate::layers::{Conv2d, Linear};
use crate::ops::Ops;
use crate::store::Store;

/// The youngest and the oldest age, in years, that networks are asked for.
pub const AGES: [f64; 2] = [1.0, 90.0];
/// Waves over the ages from 0 to 100 years, in half turns: each as a sine and a cosine.
const HALF_TURNS: [f32; 4] = [1.0, 2.0, 4.0, 8.0];

/// Years, without steps between them, to features: sinusoids and two fully connected layers.
pub struct AgeCode {
    layers: [Linear; 2],
}

impl AgeCode {
    /// With fresh parameters in `store`, named `NAME.…`; `width` features come out.
    pub fn new(store: &mut Store, name: &str, width: usize) -> Self {
        let mut layer = |i: usize, inputs| Linear::new(store, &format!("{name}.{i}"), inputs, width);
        Self { layers: [layer(0, 2 * HALF_TURNS.len() + 1), layer(1, width)] }
    }

    /// `age` f32 `[batch]` in years to features `[batch, width]`, rectified.
    pub fn forward<O: Ops>(&self, ops: &mut O, age: &O::Tensor) -> O::Tensor {
        let mut x = waves(ops, age);
        for layer in &self.layers {
            let y = ops.linear(&x, layer);
            x = ops.relu(&y);
        }
        x
    }
}

/// `age` f32 `[batch]` as `[batch, 9]`: itself and its sinusoids, all about from -1 to 1.
fn waves<O: Ops>(ops: &mut O, age: &O::Tensor) -> O::Tensor {
    let age = ops.reshape_rows(age, &[1]);
    let mut parts = vec![ops.affine(&age, 0.02, -1.0)];
    for half_turns in HALF_TURNS {
        for phase in [0.0, 0.5] {
            let angle =
                ops.affine(&age, half_turns * std::f32::consts::PI / 100.0, phase * std::f32::consts::PI);
            parts.push(ops.sin(&angle));
        }
    }
    ops.concat(&parts.iter().collect::<Vec<_>>(), 1)
}

/// Scales and shifts every channel by what a code says (FiLM: Perez et al. 2018).
pub struct Film {
    layer: Linear,
    channels: usize,
}

impl Film {
    /// For maps of `channels` channels and codes of `width` features.
    pub fn new(store: &mut Store, name: &str, width: usize, channels: usize) -> Self {
        Self { layer: Linear::new(store, name, width, 2 * channels), channels }
    }

    /// `x` `[batch, channels, h, w]` as `code` `[batch, width]` wants it.
    pub fn apply<O: Ops>(&self, ops: &mut O, x: &O::Tensor, code: &O::Tensor) -> O::Tensor {
        let both = ops.linear(code, &self.layer);
        let mut parts = ops.split(&both, &[self.channels; 2], 1).into_iter();
        let (Some(scale), Some(shift)) = (parts.next(), parts.next()) else {
            unreachable!("a split into two has two parts")
        };
        let scale = ops.affine(&scale, 1.0, 1.0);
        let scale = ops.reshape_rows(&scale, &[self.channels, 1, 1]);
        let shift = ops.reshape_rows(&shift, &[self.channels, 1, 1]);
        let x = ops.mul(x, &scale);
        ops.add(&x, &shift)
    }
}

/// A residual block that a code has a say in.
pub struct FilmBlock {
    one: Conv2d,
    film: Film,
    two: Conv2d,
}

impl FilmBlock {
    /// For maps of `channels` channels; it starts near the identity.
    pub fn new(store: &mut Store, name: &str, width: usize, channels: usize) -> Self {
        Self {
            one: Conv2d::new(store, &format!("{name}.one"), channels, channels, 3, 1, 1.0),
            film: Film::new(store, &format!("{name}.film"), width, channels),
            two: Conv2d::new(store, &format!("{name}.two"), channels, channels, 3, 1, 0.3),
        }
    }

    /// `x` `[batch, channels, h, w]`, changed as `code` wants it.
    pub fn apply<O: Ops>(&self, ops: &mut O, x: &O::Tensor, code: &O::Tensor) -> O::Tensor {
        let y = ops.conv2d(x, &self.one);
        let y = self.film.apply(ops, &y, code);
        let y = ops.relu(&y);
        let y = ops.conv2d(&y, &self.two);
        ops.add(x, &y)
    }
}
