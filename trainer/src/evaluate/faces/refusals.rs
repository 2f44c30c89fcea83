//! How many pictures of each kind are refused as no aligned faces.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::data::fashion::Fashion;

/// Pictures of a kind, f32 `[n, 3, 64, 64]` in [0, 1].
pub type Named = (&'static str, Tensor);

/// What a caller might send by mistake, made from faces and from noise, and pictures of clothing where `data`
/// has them. The network that refuses has learned from all of these families but the clothing, by other examples.
#[must_use]
pub fn strangers(faces: &Tensor, data: &Path) -> Vec<Named> {
    let n = faces.size()[0];
    tch::manual_seed(4);
    let coarse = |side: i64| {
        let noise = Tensor::rand([n, 3, side, side], (Kind::Float, Device::Cpu));
        noise.upsample_bicubic2d([64, 64], false, None, None).clamp(0.0, 1.0)
    };
    let mut all = vec![
        ("noise", coarse(64)),
        ("smooth_noise", coarse(6)),
        ("flat", coarse(1)),
        ("upside_down", faces.flip([2])),
        ("on_its_side", faces.transpose(2, 3)),
        ("shifted_by_a_quarter", faces.roll([16], [3])),
        (
            "too_near",
            faces.narrow(2, 16, 32).narrow(3, 16, 32).upsample_bilinear2d([64, 64], false, None, None),
        ),
        ("too_far", faces.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None).replication_pad2d([16; 4])),
    ];
    if let Ok(clothes) = Fashion::read(data, "t10k") {
        let clothes = clothes.range(0, n.min(clothes.len()), Device::Cpu);
        let large = clothes.upsample_bilinear2d([64, 64], false, None, None);
        all.push(("clothes", large.expand([-1, 3, -1, -1], false)));
    }
    all
}

/// The part of scores f32 `[n]` over the limit.
#[must_use]
pub fn refused(scores: &Tensor, limit: f64) -> f64 {
    scores.gt(limit).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}
