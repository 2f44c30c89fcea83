//! Packages that are put below the models directory, or taken away, while the fleet serves.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use atelier_proto::codec::v1::DenoiseRequest;
use atelier_tests::models::{Models, change};
use atelier_tests::pictures::{clothes, message};
use atelier_tests::{Fleet, Start};
use serde_json::Value;

/// Copies a package in the way of `cp`: file by file, slowly.
fn arrive(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in from.read_dir().unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A line of the log that says this of a version.
async fn said(fleet: &Arc<Fleet>, message: &'static str, version: u32) {
    let log = fleet.log().clone();
    let wanted = move |line: &Value| {
        line["message"] == message && line["version"].to_string().trim_matches('"') == version.to_string()
    };
    tokio::task::spawn_blocking(move || log.wait(message, wanted)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_served_without_a_failed_call_and_a_bad_one_disturbs_nobody() {
    let (models, shelf) = (Models::new(), Models::new());
    models.copy("fashion-dae", 1);
    let start = Start::up(models.path()).env("ATELIER_ENGINE__RELOAD_SECONDS", "1");
    let fleet = Arc::new(start.start());
    let stop = Arc::new(AtomicBool::new(false));
    let newest = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..3)
        .map(|n| {
            let (fleet, stop, newest) = (Arc::clone(&fleet), Arc::clone(&stop), Arc::clone(&newest));
            tokio::spawn(async move {
                let mut versions = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let request = DenoiseRequest { image: message(&clothes()[n]), ..Default::default() };
                    let answer = fleet.codec().denoise(request).await.unwrap().into_inner();
                    let version = answer.model.unwrap().version;
                    newest.store(version.into(), Ordering::Relaxed);
                    versions.insert(version);
                    // Or the log, in which this test looks for what happened, becomes too long to read.
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                versions
            })
        })
        .collect();
    let answers_come_from = async |version: u64| {
        while newest.load(Ordering::Relaxed) != version {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let at = |version: u32| models.path().join("fashion-dae").join(version.to_string());
    let bring = async |version: u32| {
        let (from, to) = (shelf.copy("fashion-dae", version), at(version));
        tokio::task::spawn_blocking(move || arrive(&from, &to)).await.unwrap();
    };

    answers_come_from(1).await;
    bring(2).await;
    said(&fleet, "a model is served from now on", 2).await;
    answers_come_from(2).await;

    change(&shelf.copy("fashion-dae", 3).join("denoiser.onnx"), |bytes| bytes[1000] ^= 1);
    let (from, to) = (shelf.path().join("fashion-dae/3"), at(3));
    tokio::task::spawn_blocking(move || arrive(&from, &to)).await.unwrap();
    said(&fleet, "a new package is damaged and left out", 3).await;
    answers_come_from(2).await;

    // Back to the one before.
    std::fs::remove_dir_all(at(2)).unwrap();
    said(&fleet, "a model is served no longer", 2).await;
    answers_come_from(1).await;
    // The last one stays, whatever becomes of its files.
    std::fs::remove_dir_all(at(1)).unwrap();
    std::fs::remove_dir_all(at(3)).unwrap();
    said(&fleet, "the last package is gone; its model is served on", 1).await;
    answers_come_from(1).await;

    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        // No call has failed: that would have ended the task.
        assert_eq!(caller.await.unwrap(), BTreeSet::from([1, 2]));
    }
}
