//! The best weights of a run so far, by the figure of its validations that matters most.

use anyhow::Context;

use crate::checkpoint::Checkpoint;
use crate::recipe::Family;
use crate::run::RunDir;

/// What is better of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Better {
    More,
    Less,
}

/// The best validation of a run so far.
#[derive(Debug)]
pub(crate) struct Best {
    better: Better,
    figure: Option<f64>,
}

impl Best {
    /// Of a run that begins; none for families whose weights must not be chosen so.
    pub(crate) fn of(family: &Family) -> Option<Self> {
        let better = match family {
            Family::Autoencoder(_)
            | Family::VariationalAutoencoder(_)
            | Family::SequenceAutoencoder(_)
            | Family::Gan(_)
            | Family::AgeJudge(_)
            | Family::FaceSampler(_)
            | Family::Wavenet(_) => Better::Less,
            Family::Classifier(_)
            | Family::DenoisingAutoencoder(_)
            | Family::Inpainter(_)
            | Family::Segmentation(_)
            | Family::FaceEncoder(_)
            | Family::FaceNovelty(_) => Better::More,
            // It is validated on the text that results are reported on.
            Family::CharRnn(_) => return None,
            // The slope alone says nothing: it is steepest where faces are no longer the same, or all alike.
            // Pixels alone say little: they are nearest where faces are blurred.
            Family::FaceAger(_) | Family::FaceVaeGan(_) => return None,
        };
        Some(Self { better, figure: None })
    }

    /// Takes over what an earlier part of the run has kept. Whether one that kept nothing had better weights is not
    /// known any more: then none are kept.
    ///
    /// # Errors
    /// The file is damaged.
    pub(crate) fn recall(mut self, run: &RunDir) -> anyhow::Result<Option<Self>> {
        let path = run.best();
        if !path.exists() {
            return Ok((!run.checkpoint().exists()).then_some(self));
        }
        self.figure = Checkpoint::read(&path).context("cannot resume")?.figure;
        Ok(Some(self))
    }

    /// Whether `figure` is better than all before it; then it is what the next must surpass.
    pub(crate) fn surpassed_by(&mut self, figure: f64) -> bool {
        let surpassed = match (self.figure, self.better) {
            (None, _) => figure.is_finite(),
            (Some(best), Better::More) => figure > best,
            (Some(best), Better::Less) => figure < best,
        };
        if surpassed {
            self.figure = Some(figure);
        }
        surpassed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_surpasses_all_that_are_worse_and_none_that_is_as_good() {
        for (better, sign) in [(Better::More, 1.0), (Better::Less, -1.0)] {
            let mut best = Best { better, figure: None };
            let told = [f64::NAN, 1.0, 0.5, 1.0, 2.0, f64::NAN, 1.5].map(|x| best.surpassed_by(sign * x));
            assert_eq!(told, [false, true, false, false, true, false, false], "{better:?}");
        }
    }
}
