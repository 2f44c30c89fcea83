//! What is measured of features, clusters and filled holes, on small parts of real data, and on the whole where
//! `ATELIER_DATA` names it.

use std::path::Path;

use atelier_trainer::data::fashion::Fashion;
use atelier_trainer::data::holes::Hole;
use atelier_trainer::evaluate::autoencoder::Principal;
use atelier_trainer::evaluate::clusters::{Whitening, agreement, k_means, nearest};
use atelier_trainer::evaluate::fills::Statistics;
use atelier_trainer::evaluate::inpaint::{holes, in_turn, psnr_inside};
use atelier_trainer::evaluate::probe::{Labelled, probe};
use tch::{Device, Tensor};

use crate::evaluators::real_data;
use crate::support::fixtures;

/// All train images' pixels, their classes, and the same of the test images.
fn labelled(data: &Path) -> (Labelled, Labelled, Principal) {
    let (train, test) = (Fashion::read(data, "train").unwrap(), Fashion::read(data, "t10k").unwrap());
    let images = |half: &Fashion| half.range(0, half.len(), Device::Cpu);
    let flat = |half: &Fashion| Labelled {
        features: images(half).reshape([half.len(), -1]),
        labels: half.labels.shallow_clone(),
    };
    (flat(&train), flat(&test), Principal::fit(&images(&train), 64))
}

#[test]
fn a_linear_classifier_tells_clothes_by_their_pixels() {
    let (train, test, _) = labelled(&fixtures());
    let accuracy = probe(&train, &test, 10);
    assert!(accuracy > 0.6, "{accuracy}");
}

#[test]
fn linear_classifiers_tell_as_many_as_they_did() {
    let Some(data) = real_data() else { return };
    let (train, test, principal) = labelled(&data);
    let projected = |split: &Labelled| Labelled {
        features: principal.code(&split.features.reshape([-1, 1, 28, 28])),
        labels: split.labels.shallow_clone(),
    };
    for (accuracy, expected) in
        [(probe(&train, &test, 10), 0.8396), (probe(&projected(&train), &projected(&test), 10), 0.8306)]
    {
        // Batches come in another order than in the reference.
        assert!((accuracy - expected).abs() < 0.005, "{accuracy}, not {expected}");
    }
}

#[test]
fn clusters_of_principal_components_agree_with_the_classes_as_they_did() {
    let Some(data) = real_data() else { return };
    let (train, _, principal) = labelled(&data);
    let classes: Vec<usize> =
        Vec::<i64>::try_from(&train.labels).unwrap().into_iter().map(|class| class as usize).collect();
    let plain = principal.code(&train.features.reshape([-1, 1, 28, 28]));
    let whitened = Whitening::fit(&plain, 64).apply(&plain);
    for (points, accuracy, information) in [(&plain, 0.472, 0.511), (&whitened, 0.485, 0.503)] {
        let found = agreement(&nearest(points, &k_means(points, 10)), &classes, 10);
        // The best of other starts than in the reference.
        assert!(
            (found.accuracy - accuracy).abs() < 0.05 && (found.mutual_information - information).abs() < 0.03,
            "{found:?}, not {accuracy} and {information}"
        );
    }
}

#[test]
fn a_hole_is_filled_better_by_neighbours_than_by_the_mean_and_better_still_by_the_best_line() {
    let train = Fashion::read(&fixtures(), "train").unwrap();
    let test = Fashion::read(&fixtures(), "t10k").unwrap();
    let (train, images) = (train.range(0, train.len(), Device::Cpu), test.range(0, test.len(), Device::Cpu));
    let statistics = Statistics::of(&train);
    for hole in [Hole::Centre, Hole::Strokes] {
        let holes = holes(hole, 28);
        let db = |fill: fn(&Statistics, &Tensor, &Tensor) -> Tensor| {
            let (filled, masks) =
                in_turn(&images, &holes, |images, hole| Ok(fill(&statistics, images, hole))).unwrap();
            psnr_inside(&filled, &images, &masks)
        };
        let (mean, harmonic, line) =
            (db(Statistics::mean), db(Statistics::harmonic), db(Statistics::gaussian));
        assert!(mean + 1.0 < harmonic && harmonic < line, "{hole:?}: {mean} {harmonic} {line}");
    }
}
