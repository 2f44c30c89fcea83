//! What a discriminator and a generator play for.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// What the players minimise. Scores are f32 `[n]`, unbounded; every loss is the mean over the samples.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdversarialLoss {
    /// The logistic loss; the generator maximises the chance that it is taken for real, not one minus the
    /// chance that it is found out (Goodfellow et al. 2014, section 3).
    NonSaturating,
    /// Squares of the distance from 1 (real) and 0 (generated): LSGAN (Mao et al. 2017, equation 9).
    LeastSquares,
    /// Margins of 1 to both sides (Lim and Ye 2017; Miyato et al. 2018).
    Hinge,
    /// The difference of the mean scores: the earth mover's distance, if the discriminator's slope is bounded
    /// by other means (Arjovsky, Chintala and Bottou 2017).
    Wasserstein,
}

impl AdversarialLoss {
    /// What the discriminator minimises, a scalar, from its scores of real and of generated samples.
    pub fn discriminator(self, real: &Tensor, fake: &Tensor) -> Tensor {
        let mean = |x: Tensor| x.mean(Kind::Float);
        match self {
            Self::NonSaturating => mean((-real).softplus()) + mean(fake.softplus()),
            Self::LeastSquares => (mean((real - 1.0).square()) + mean(fake.square())) * 0.5,
            Self::Hinge => mean((-real + 1.0).relu()) + mean((fake + 1.0).relu()),
            Self::Wasserstein => mean(fake - real),
        }
    }

    /// What the generator minimises, a scalar, from the discriminator's scores of what it made.
    pub fn generator(self, fake: &Tensor) -> Tensor {
        let mean = |x: Tensor| x.mean(Kind::Float);
        match self {
            Self::NonSaturating => mean((-fake).softplus()),
            Self::LeastSquares => mean((fake - 1.0).square()) * 0.5,
            Self::Hinge | Self::Wasserstein => -mean(fake.shallow_clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [AdversarialLoss; 4] = [
        AdversarialLoss::NonSaturating,
        AdversarialLoss::LeastSquares,
        AdversarialLoss::Hinge,
        AdversarialLoss::Wasserstein,
    ];

    fn leaf(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    #[test]
    fn losses_are_those_of_their_papers() {
        let (real, fake) = (leaf(&[2.0, 0.5]), leaf(&[-3.0, 1.0]));
        let softplus = |x: f64| (1.0 + x.exp()).ln();
        let expected = [
            (
                (softplus(-2.0) + softplus(-0.5) + softplus(-3.0) + softplus(1.0)) / 2.0,
                (softplus(3.0) + softplus(-1.0)) / 2.0,
            ),
            (0.25 * (1.0 + 0.25 + 9.0 + 1.0), 0.25 * (16.0 + 0.0)),
            ((0.0 + 0.5) / 2.0 + (0.0 + 2.0) / 2.0, 1.0),
            (-1.0 - 1.25, 1.0),
        ];
        for (loss, (discriminator, generator)) in ALL.into_iter().zip(expected) {
            let value = |x: Tensor| x.double_value(&[]);
            let (d, g) = (value(loss.discriminator(&real, &fake)), value(loss.generator(&fake)));
            assert!((d - discriminator).abs() < 1e-6, "{loss:?}: {d}, not {discriminator}");
            assert!((g - generator).abs() < 1e-6, "{loss:?}: {g}, not {generator}");
        }
    }

    #[test]
    fn the_players_pull_scores_of_generated_samples_apart() {
        for loss in ALL {
            let (real, fake) = (leaf(&[0.1, -0.2]), leaf(&[0.3, 0.05]));
            loss.discriminator(&real, &fake).backward();
            assert!(real.grad().max().double_value(&[]) < 0.0, "{loss:?}: real scores rise");
            assert!(fake.grad().min().double_value(&[]) > 0.0, "{loss:?}: scores of what is generated fall");
            let fake = leaf(&[0.3, 0.05]);
            loss.generator(&fake).backward();
            assert!(fake.grad().max().double_value(&[]) < 0.0, "{loss:?}: the generator raises them");
        }
    }
}
