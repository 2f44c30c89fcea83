//! Makes a face older or younger. What it gives is the face and a difference that is added to it (the residual
//! image of Shen and Liu 2017): who somebody is comes free, and what need not change stays as sharp as it was.
//! A mask between the face and newly painted parts (He et al. 2019) was tried first and closed for good within
//! fifty steps: while paint is still far from the face, every loss that compares the two pulls it shut, and a
//! shut mask passes no gradient on.

use atelier_package::{Dim, Dtype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::age_code::{AGES, AgeCode, FilmBlock};
use super::face_trunk::face_input;
use crate::graphs::{GraphPlan, Graphs};
use crate::layers::Conv2d;
use crate::ops::Ops;
use crate::store::Store;

/// Size of an [`Ager`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgerConfig {
    /// Channels at half the face's size; twice and four times as many at a quarter and an eighth.
    pub width: usize,
    /// Residual blocks at an eighth of the size.
    pub blocks: usize,
    /// Features that an age is turned into.
    pub code: usize,
}

impl AgerConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.width == 0 || self.code == 0 {
            return Err("family.network.width and family.network.code must be at least 1".into());
        }
        Ok(())
    }
}

/// The network.
pub struct Ager {
    code: AgeCode,
    half: Conv2d,
    quarter: Conv2d,
    eighth: Conv2d,
    blocks: Vec<FilmBlock>,
    to_quarter: Conv2d,
    at_quarter: FilmBlock,
    to_half: Conv2d,
    at_half: FilmBlock,
    change: Conv2d,
}

impl Ager {
    /// With fresh parameters in `store`, all named `ager.…`.
    pub fn new(store: &mut Store, config: &AgerConfig) -> Self {
        let (w, c) = (config.width, config.code);
        let name = |part: &str| format!("ager.{part}");
        let mut conv = |part: &str, inputs, outputs, stride, gain| {
            Conv2d::new(store, &name(part), inputs, outputs, 3, stride, gain)
        };
        let half = conv("half", 12, w, 1, 1.0);
        let quarter = conv("quarter", w, 2 * w, 2, 1.0);
        let eighth = conv("eighth", 2 * w, 4 * w, 2, 1.0);
        let to_quarter = conv("to_quarter", 4 * w, 8 * w, 1, 1.0);
        let to_half = conv("to_half", 2 * w, 4 * w, 1, 1.0);
        // It starts by changing next to nothing.
        let change = conv("change", w, 12, 1, 0.02);
        let block = |i| FilmBlock::new(store, &name(&format!("block{i}")), c, 4 * w);
        Self {
            blocks: (0..config.blocks).map(block).collect(),
            at_quarter: FilmBlock::new(store, &name("at_quarter"), c, 2 * w),
            at_half: FilmBlock::new(store, &name("at_half"), c, w),
            code: AgeCode::new(store, &name("code"), c),
            half,
            quarter,
            eighth,
            to_quarter,
            to_half,
            change,
        }
    }

    /// The face `image` `[batch, 3, 64, 64]` in [0, 1] as it looks at `age` f32 `[batch]` years, of the same
    /// shape and range.
    pub fn forward<O: Ops>(&self, ops: &mut O, image: &O::Tensor, age: &O::Tensor) -> O::Tensor {
        let code = self.code.forward(ops, age);
        let x = ops.affine(image, 2.0, -1.0);
        let x = ops.pixel_unshuffle(&x, 2);
        let x = ops.conv2d(&x, &self.half);
        let half = ops.relu(&x);
        let x = ops.conv2d(&half, &self.quarter);
        let quarter = ops.relu(&x);
        let x = ops.conv2d(&quarter, &self.eighth);
        let mut x = ops.relu(&x);
        for block in &self.blocks {
            x = block.apply(ops, &x, &code);
        }
        for (up, skip, block) in
            [(&self.to_quarter, &quarter, &self.at_quarter), (&self.to_half, &half, &self.at_half)]
        {
            let y = ops.conv2d(&x, up);
            let y = ops.pixel_shuffle(&y, 2);
            let y = ops.add(&y, skip);
            let y = ops.relu(&y);
            x = block.apply(ops, &y, &code);
        }
        // Not rectified: where all of it were below zero, no gradient would come through.
        let x = ops.conv2d(&x, &self.change);
        let x = ops.pixel_shuffle(&x, 2);
        let change = ops.tanh(&x);
        let aged = ops.add(image, &change);
        ops.clamp(&aged, 0.0, 1.0)
    }

    /// The graph that a package offers it as.
    pub(crate) fn plan() -> GraphPlan {
        let age = TensorSpec::new("age", Dtype::F32, [Dim::from(Dim::BATCH)]);
        GraphPlan {
            name: "ager",
            inputs: vec![face_input(), age.with_range(AGES[0], AGES[1])],
            outputs: vec![("aged", Some([0.0, 1.0]))],
            state: Vec::new(),
        }
    }
}

impl Graphs for Ager {
    fn plans(&self) -> Vec<GraphPlan> {
        vec![Self::plan()]
    }

    fn run<O: Ops>(&self, _graph: &str, ops: &mut O, inputs: &[O::Tensor]) -> Vec<O::Tensor> {
        vec![self.forward(ops, &inputs[0], &inputs[1])]
    }
}
