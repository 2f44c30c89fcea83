//! Whether two pictures show the same face, at a fixed chance of taking another face for it.

use tch::{Kind, Tensor};

/// Tells pairs of embeddings of length 1 apart by their cosine.
#[derive(Clone, Copy, Debug)]
pub struct Verifier {
    threshold: f64,
}

impl Verifier {
    /// Sets the threshold on `[n, width]` embeddings of different faces, such that the part `false_accepts` of
    /// all their pairs would be taken for one face.
    #[must_use]
    pub fn new(embeddings: &Tensor, false_accepts: f64) -> Self {
        let likeness = embeddings.matmul(&embeddings.tr());
        let n = embeddings.size()[0];
        let above = likeness.ones_like().triu(1).gt(0.5);
        let pairs = likeness.masked_select(&above);
        let passing = ((n * (n - 1) / 2) as f64 * false_accepts).floor() as i64;
        let (largest, _) = pairs.topk((passing + 1).min(pairs.size()[0]), 0, true, true);
        // The first that must not pass.
        Self { threshold: largest.min().double_value(&[]) }
    }

    /// The cosine above which a pair passes.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The part of pairs, row by row of two `[n, width]`, that pass.
    #[must_use]
    pub fn rate(&self, a: &Tensor, b: &Tensor) -> f64 {
        let cosine = (a * b).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        cosine.gt(self.threshold).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    }

    /// The part of all pairs among `[n, width]` that pass.
    #[must_use]
    pub fn alike(&self, embeddings: &Tensor) -> f64 {
        let n = embeddings.size()[0] as f64;
        let likeness = embeddings.matmul(&embeddings.tr());
        let passing = likeness.triu(1).gt(self.threshold).to_kind(Kind::Double).sum(Kind::Double);
        passing.double_value(&[]) / (n * (n - 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directions in the plane at the given degrees.
    fn at(degrees: &[f64]) -> Tensor {
        let rows: Vec<f32> =
            degrees.iter().flat_map(|d| [d.to_radians().cos() as f32, d.to_radians().sin() as f32]).collect();
        Tensor::from_slice(&rows).reshape([-1, 2])
    }

    #[test]
    fn the_given_part_of_other_faces_passes_and_no_more() {
        // Ten pairs, the nearest two of them 10 and 20 degrees apart.
        let faces = at(&[0.0, 10.0, 60.0, 80.0, 150.0]);
        for (accepts, degrees) in [(0.0, 10.0), (0.1, 20.0), (0.2, 50.0)] {
            let verifier = Verifier::new(&faces, accepts);
            let expected = f64::to_radians(degrees).cos();
            assert!((verifier.threshold() - expected).abs() < 1e-6, "{accepts}: {}", verifier.threshold());
        }
    }

    #[test]
    fn a_face_is_verified_against_itself_and_not_against_one_far_off() {
        let verifier = Verifier::new(&at(&[0.0, 40.0, 90.0]), 0.0);
        assert_eq!(verifier.rate(&at(&[0.0, 5.0]), &at(&[0.0, 5.0])), 1.0);
        assert_eq!(verifier.rate(&at(&[0.0, 0.0]), &at(&[30.0, 50.0])), 0.5);
        assert!((verifier.alike(&at(&[0.0, 5.0, 80.0])) - 1.0 / 3.0).abs() < 1e-9);
    }
}
