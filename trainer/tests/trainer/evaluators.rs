//! The evaluators' baselines, which are measured by the same code as the models, on the real data where
//! `ATELIER_DATA` names it.

use std::path::PathBuf;

use atelier_trainer::data::fashion::Fashion;
use atelier_trainer::data::text::Text;
use atelier_trainer::evaluate::autoencoder::Principal;
use atelier_trainer::evaluate::classifier::Classifier;
use atelier_trainer::evaluate::denoise::LinearFilter;
use atelier_trainer::evaluate::frechet::Moments;
use atelier_trainer::evaluate::gan::class_gaussian;
use atelier_trainer::evaluate::hog::hog;
use atelier_trainer::evaluate::kneser_ney::KneserNey;
use atelier_trainer::evaluate::ssim::{psnr, ssim};
use atelier_trainer::random;
use tch::{Device, Kind, Tensor};

use crate::support::{fixtures, generator};

pub(crate) fn real_data() -> Option<PathBuf> {
    let dir = std::env::var_os("ATELIER_DATA").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("SKIPPED: ATELIER_DATA does not name the real data");
    }
    dir
}

#[test]
fn a_linear_filter_learned_from_images_takes_noise_off_others() {
    let train = Fashion::read(&fixtures(), "train").unwrap();
    let test = Fashion::read(&fixtures(), "t10k").unwrap();
    let filter = LinearFilter::fit(&train.range(0, train.len(), Device::Cpu));
    let clean = test.range(0, test.len(), Device::Cpu);
    let _alone = generator();
    tch::manual_seed(1);
    let noisy = &clean + clean.randn_like() * 0.5;
    assert!(psnr(&filter.apply(&noisy, 0.5), &clean) > psnr(&noisy.clamp(0.0, 1.0), &clean) + 4.0);
}

#[test]
fn an_n_gram_is_better_for_a_longer_context() {
    let text = Text::read(&fixtures(), "tinyshakespeare.txt").unwrap();
    let bytes = |ids: &[i64]| ids.iter().map(|&i| i as u8).collect::<Vec<_>>();
    let (train, test) = (bytes(&text.train), bytes(&text.test));
    let nats = |order| KneserNey::fit(&train, text.vocabulary.len(), order).nats(&train, &test);
    let (one, two, four) = (nats(1), nats(2), nats(4));
    assert!(one > two && two > four && four > 1.5 && one < 3.5, "{one} {two} {four}");
}

#[test]
fn the_seven_gram_is_the_one_that_was_published_with_the_figures() {
    let Some(data) = real_data() else { return };
    let text = Text::read(&data, "tinyshakespeare.txt").unwrap();
    assert_eq!((text.vocabulary.len(), text.train.len(), text.test.len()), (65, 1_003_854, 111_540));
    let bytes = |ids: &[i64]| ids.iter().map(|&i| i as u8).collect::<Vec<_>>();
    let (train, test) = (bytes(&text.train), bytes(&text.test));
    let model = KneserNey::fit(&train, 65, 7);
    let nats = model.nats(&train, &test);
    assert!((nats - 1.5165).abs() < 5e-4, "{nats}");
    // By windows, each from an empty context.
    let windows: Vec<f64> = test.chunks_exact(256).map(|window| model.nats(&[], window)).collect();
    let nats = windows.iter().sum::<f64>() / windows.len() as f64;
    assert!((nats - 1.5376).abs() < 5e-4, "{nats}");
}

#[test]
fn noise_and_the_linear_filter_measure_what_they_did() {
    let Some(data) = real_data() else { return };
    let train = Fashion::read(&data, "train").unwrap();
    let test = Fashion::read(&data, "t10k").unwrap();
    let filter = LinearFilter::fit(&train.range(0, train.len(), Device::Cpu));
    let clean = test.range(0, test.len(), Device::Cpu);
    let _alone = generator();
    tch::manual_seed(1);
    for (sigma, noise_db, noise_ssim, filter_db, filter_ssim) in
        [(50.0 / 255.0, 16.12, 0.458, 21.19, 0.665), (0.5, 9.30, 0.218, 17.73, 0.551)]
    {
        let noisy = &clean + clean.randn_like() * sigma;
        let (limited, filtered) = (noisy.clamp(0.0, 1.0), filter.apply(&noisy, sigma));
        for (value, expected) in [
            (psnr(&limited, &clean), noise_db),
            (ssim(&limited, &clean), noise_ssim),
            (psnr(&filtered, &clean), filter_db),
            (ssim(&filtered, &clean), filter_ssim),
        ] {
            assert!((value - expected).abs() < 0.02, "sigma {sigma}: {value}, not {expected}");
        }
    }
}

#[test]
fn sixty_four_principal_components_keep_what_they_did() {
    let Some(data) = real_data() else { return };
    let train = Fashion::read(&data, "train").unwrap();
    let test = Fashion::read(&data, "t10k").unwrap();
    let images = test.range(0, test.len(), Device::Cpu);
    let restored = Principal::fit(&train.range(0, train.len(), Device::Cpu), 64).restore(&images);
    let mse = (restored - images).square().mean(Kind::Double).double_value(&[]);
    assert!((mse - 0.00984).abs() < 1e-5, "{mse}");
}

#[test]
fn more_principal_components_keep_more() {
    let train = Fashion::read(&fixtures(), "train").unwrap();
    let test = Fashion::read(&fixtures(), "t10k").unwrap();
    let (train, images) = (train.range(0, train.len(), Device::Cpu), test.range(0, test.len(), Device::Cpu));
    let kept = |count| psnr(&Principal::fit(&train, count).restore(&images), &images);
    let (four, sixty) = (kept(4), kept(60));
    assert!(four > 10.0 && sixty > four + 3.0, "{four} {sixty}");
}

#[test]
fn distances_between_histograms_of_gradients_are_those_that_were_published() {
    let Some(data) = real_data() else { return };
    let train = Fashion::read(&data, "train").unwrap();
    let test = Fashion::read(&data, "t10k").unwrap();
    let (images, test) = (train.range(0, train.len(), Device::Cpu), test.range(0, test.len(), Device::Cpu));
    let reference = Moments::of(&hog(&test));
    let distance = |x: &Tensor| Moments::of(&hog(x)).distance(&reference);
    let mut order = random::generator(&[1]);
    let chosen = random::permutation(&mut order, train.len() as usize);
    for (name, value, expected, tolerance) in [
        ("all train images", distance(&images), 0.104, 5e-4),
        ("64 principal components", distance(&Principal::fit(&images, 64).restore(&test)), 3.01, 6e-3),
        ("128 principal components", distance(&Principal::fit(&images, 128).restore(&test)), 1.99, 6e-3),
        // Drawn at random there and here.
        ("10,000 train images", distance(&train.batch(&chosen[..10_000], Device::Cpu)), 0.179, 0.02),
        (
            "a normal distribution a class",
            distance(&class_gaussian(&images, &train.labels, 100, 10_000)),
            3.94,
            0.08,
        ),
    ] {
        assert!((value - expected).abs() < tolerance, "{name}: {value}, not {expected}");
    }
}

#[test]
fn the_referee_of_generated_pictures_knows_clothes() {
    let train = Fashion::read(&fixtures(), "train").unwrap();
    assert!(hog(&train.range(0, 3, Device::Cpu)).size() == [3, 441]);
    let Some(data) = real_data() else { return };
    let train = Fashion::read(&data, "train").unwrap();
    let test = Fashion::read(&data, "t10k").unwrap();
    let _alone = generator();
    let classifier = Classifier::train(&train.range(0, train.len(), Device::Cpu), &train.labels);
    let accuracy = classifier.accuracy(&test.range(0, test.len(), Device::Cpu), &test.labels);
    assert!(accuracy >= 0.91, "{accuracy}");
}
