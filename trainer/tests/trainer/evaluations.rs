//! Evaluations from a run to figures, of networks that have hardly learned anything: that every figure is there,
//! beside its baselines, and held against its levels.

use atelier_package::Existing;
use atelier_trainer::evaluate::report::{Bound, Figure, Report};
use atelier_trainer::evaluate::{Settings, evaluate};
use atelier_trainer::export::{Weights, export};
use atelier_trainer::fit::Outcome;
use atelier_trainer::run::RunDir;

use crate::fitting::{small, train};
use crate::support::{fixtures, generator, runtime};

/// The report on a package of a shipped recipe, made small.
fn measured(name: &str, limit: Option<usize>) -> Report {
    let config = small(name);
    let dir = tempfile::tempdir().unwrap();
    let (out, target) = (dir.path().join("run"), dir.path().join("models").join(&config.package).join("1"));
    assert_eq!(train(&config, &out, false, &|_| false).unwrap(), Outcome::Finished);
    let run = RunDir::open(&out).unwrap().0;
    let written =
        export(&run, Weights::Last, &config, &fixtures(), &target, Existing::Refuse, runtime()).unwrap();
    let settings = Settings { importance_samples: 4, limit, judges: None };
    let _alone = generator();
    let report = evaluate(&written.package, &fixtures(), runtime(), &settings).unwrap();
    for Figure { name, value, baselines, .. } in &report.figures {
        assert!(value.is_finite() && baselines.iter().all(|(_, x)| x.is_finite()), "{name}: {report}");
    }
    let origin = report.notes.last().unwrap();
    assert!(origin.starts_with("parameters of each graph: ") && origin.ends_with("seed 1"), "{origin}");
    report
}

#[track_caller]
fn figure<'a>(report: &'a Report, name: &str, beside: &[&str]) -> &'a Figure {
    let found = report.figures.iter().find(|figure| figure.name == name);
    let figure = found.unwrap_or_else(|| panic!("there is no {name}: {report}"));
    let baselines: Vec<&str> = figure.baselines.iter().map(|(name, _)| *name).collect();
    assert_eq!(baselines, beside, "{name}");
    figure
}

#[track_caller]
fn levels(report: &Report, name: &str, beside: &[&str], accepted: Bound, aim: Option<Bound>) {
    let figure = figure(report, name, beside);
    assert_eq!((figure.accepted, figure.aim), (Some(accepted), aim), "{name}");
}

#[test]
fn an_autoencoder_is_measured_by_what_it_keeps_tells_and_sorts() {
    use Bound::{AtLeast, AtMost};
    let report = measured("fashion-ae", None);
    levels(&report, "mse", &["principal_components"], AtMost(0.0080), Some(AtMost(0.0049)));
    let both = ["raw_pixels", "principal_components"];
    levels(&report, "probe_accuracy", &both, AtLeast(0.845), Some(AtLeast(0.90)));
    let three = [both[0], both[1], "whitened_codes"];
    levels(&report, "k_means_accuracy", &three, AtLeast(0.55), Some(AtLeast(0.672)));
    let spectral = figure(&report, "spectral_accuracy", &["principal_components"]);
    assert_eq!((spectral.accepted, spectral.aim), (None, None), "the level is for k-means");
    assert!(spectral.baselines[0].1 > 0.25, "clusters are not by chance: {report}");
}

#[test]
fn a_denoiser_is_measured_against_the_better_of_two_baselines() {
    let report = measured("fashion-dae", Some(16));
    for level in ["25", "50", "0_3", "0_5"] {
        let told = figure(&report, &format!("psnr_db_{level}"), &["noisy", "bm3d", "lmmse"]);
        let best = told.baselines.iter().map(|(_, x)| *x).fold(0.0, f64::max);
        let expected = (Some(Bound::AtLeast(best + 1.5)), Some(Bound::AtLeast(best + 3.5)));
        let untold = figure(&report, &format!("psnr_db_blind_{level}"), &[]);
        assert_eq!((told.accepted, told.aim), expected);
        assert_eq!((untold.accepted, untold.aim), expected);
    }
}

#[test]
fn an_inpainter_is_measured_inside_of_three_kinds_of_holes() {
    let report = measured("fashion-inpainter", Some(4));
    for hole in ["centre", "rectangles", "strokes"] {
        let ours = figure(&report, &format!("psnr_db_{hole}"), &["mean", "harmonic", "gaussian"]);
        let best = ours.baselines.iter().map(|(_, x)| *x).fold(0.0, f64::max);
        assert_eq!(ours.accepted, Some(Bound::AtLeast(best + 1.0)));
    }
}

#[test]
fn a_variational_autoencoder_is_measured_by_two_bounds_of_which_the_weighted_is_tighter() {
    use Bound::AtMost;
    let report = measured("fashion-vae", Some(8));
    levels(&report, "elbo_nats", &["independent_pixels"], AtMost(235.0), None);
    let published = ["vae_mlp_published", "vampprior_published", "exemplar_vae_published"];
    levels(&report, "iwae_4_nats", &published, AtMost(235.0), Some(AtMost(226.75)));
    let value = |name: &str| report.figures.iter().find(|figure| figure.name == name).unwrap().value;
    assert!(value("iwae_4_nats") < value("elbo_nats"), "{report}");
}

#[test]
fn a_text_model_is_measured_by_windows_by_the_stream_and_by_what_it_writes() {
    use Bound::AtMost;
    let report = measured("shakespeare-rnn", Some(600));
    let beside = ["seven_gram", "nanogpt_published"];
    levels(&report, "nats_windows_256", &beside, AtMost(1.50), Some(AtMost(1.44)));
    let stateful = figure(&report, "nats_stateful", &["seven_gram"]);
    assert!(stateful.value > stateful.baselines[0].1, "hardly trained: {report}");
    let words = figure(&report, "words_in_vocabulary", &["test_text"]);
    let copied = figure(&report, "longest_copied_characters", &["test_text"]);
    assert!(words.value < 0.5 && words.baselines[0].1 > 0.5, "{report}");
    assert!(copied.value < copied.baselines[0].1, "{report}");
}

#[test]
fn a_voice_is_measured_without_the_recordings_of_8_bits_too() {
    let report = measured("digits-wavenet", Some(4));
    let all = figure(&report, "bits_per_sample", &["adaptive_codec", "bigram", "unigram"]);
    let fine = figure(&report, "bits_per_sample_of_16_bits", &["adaptive_codec"]);
    for figure in [all, fine] {
        let codec = figure.baselines[0].1;
        let expected = (Some(Bound::AtMost(codec - 0.1)), Some(Bound::AtMost(codec - 0.6)));
        assert_eq!((figure.accepted, figure.aim), expected, "{}", figure.name);
    }
    // One of the four recordings is by the one whose recordings have 8 bits.
    assert!(report.notes.iter().any(|note| note.contains("without the 1 recordings")), "{report}");
    assert_ne!(all.value, fine.value);
    levels(&report, "digit_accuracy", &["real_test"], Bound::AtLeast(0.70), Some(Bound::AtLeast(0.95)));
    assert!(figure(&report, "real_time_factor_16_voices", &[]).value > 0.0);
}

#[test]
fn a_detector_is_measured_beside_two_that_need_no_training() {
    use Bound::AtLeast;
    let report = measured("telemetry-smap", None);
    let beside = ["nearest_neighbour", "range"];
    levels(&report, "f1", &beside, AtLeast(0.62), Some(AtLeast(0.85)));
    figure(&report, "false_alarms_per_10000", &beside);
    let warning = "warning_point_adjusted_f1_of_random_numbers";
    assert!(figure(&report, warning, &[]).value > 0.5, "{report}");
}
