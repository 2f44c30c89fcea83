//! Walks between two codes.

/// The code at each of `steps` frames from `start` to `end`, both included; the ends are given back bit for
/// bit. Both must have the same length.
///
/// A spherical walk goes along the great circle: the angle evenly, the length linearly. Where the ends name
/// no one circle (a zero, the same or opposite directions) it is the straight line.
pub fn walk(start: &[f32], end: &[f32], steps: usize, spherical: bool) -> Vec<Vec<f32>> {
    let circle = if spherical { Circle::through(start, end) } else { None };
    let last = steps.saturating_sub(1);
    (0..steps)
        .map(|step| match step {
            0 => start.to_vec(),
            step if step == last => end.to_vec(),
            step => {
                let t = step as f64 / last as f64;
                let (a, b) = circle.as_ref().map_or((1.0 - t, t), |circle| circle.weights(t));
                start.iter().zip(end).map(|(x, y)| (a * f64::from(*x) + b * f64::from(*y)) as f32).collect()
            }
        })
        .collect()
}

/// The great circle through the directions of two codes.
struct Circle {
    angle: f64,
    start: f64,
    end: f64,
}

impl Circle {
    /// Directions nearer to each other than this, or to opposites, leave the circle to rounding.
    const LEAST_SINE: f64 = 1e-4;

    fn through(start: &[f32], end: &[f32]) -> Option<Self> {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let lengths = (dot(start, start).sqrt(), dot(end, end).sqrt());
        let cosine = dot(start, end) / (lengths.0 * lengths.1);
        let angle = cosine.clamp(-1.0, 1.0).acos();
        // Also false for the NaN that a zero code makes.
        (angle.sin() > Self::LEAST_SINE).then_some(Self { angle, start: lengths.0, end: lengths.1 })
    }

    /// What of each end makes the code at `t`.
    fn weights(&self, t: f64) -> (f64, f64) {
        let length = (1.0 - t) * self.start + t * self.end;
        let sine = self.angle.sin();
        let a = ((1.0 - t) * self.angle).sin() / sine * length / self.start;
        let b = (t * self.angle).sin() / sine * length / self.end;
        (a, b)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn length(code: &[f32]) -> f64 {
        code.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
    }

    fn angle(a: &[f32], b: &[f32]) -> f64 {
        let dot: f64 = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        (dot / (length(a) * length(b))).clamp(-1.0, 1.0).acos()
    }

    fn codes() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (1_usize..40).prop_flat_map(|n| {
            let code = || proptest::collection::vec(-4.0_f32..4.0, n);
            (code(), code())
        })
    }

    proptest! {
        #[test]
        fn a_walk_begins_and_ends_at_its_ends((a, b) in codes(), steps in 2_usize..50, spherical in any::<bool>()) {
            let frames = walk(&a, &b, steps, spherical);
            prop_assert_eq!(frames.len(), steps);
            prop_assert_eq!(&frames[0], &a);
            prop_assert_eq!(&frames[steps - 1], &b);
            prop_assert!(frames.iter().flatten().all(|v| v.is_finite()));
        }

        #[test]
        fn a_straight_walk_takes_even_steps((a, b) in codes(), steps in 2_usize..50) {
            let frames = walk(&a, &b, steps, false);
            for (i, frame) in frames.iter().enumerate() {
                let t = i as f32 / (steps - 1) as f32;
                for ((x, y), v) in a.iter().zip(&b).zip(frame) {
                    prop_assert!((x + t * (y - x) - v).abs() < 1e-4);
                }
            }
        }

        #[test]
        fn a_spherical_walk_turns_evenly_and_grows_linearly((a, b) in codes(), steps in 2_usize..20) {
            let whole = angle(&a, &b);
            prop_assume!(length(&a) > 0.1 && length(&b) > 0.1 && whole > 0.01 && whole < 3.13);
            for (i, frame) in walk(&a, &b, steps, true).iter().enumerate() {
                let t = i as f64 / (steps - 1) as f64;
                let wanted = (1.0 - t) * length(&a) + t * length(&b);
                prop_assert!((length(frame) - wanted).abs() < 1e-3 * wanted.max(1.0));
                prop_assert!((angle(&a, frame) - t * whole).abs() < 2e-3);
            }
        }
    }

    #[test]
    fn ends_without_a_circle_are_joined_by_the_straight_line() {
        for (a, b) in [([0.0, 0.0], [1.0, 2.0]), ([1.0, 1.0], [3.0, 3.0]), ([1.0, 0.0], [-1.0, 0.0])] {
            assert_eq!(walk(&a, &b, 5, true), walk(&a, &b, 5, false));
        }
    }
}
