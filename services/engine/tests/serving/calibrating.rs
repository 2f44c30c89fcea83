//! What was measured of a package, kept beside it.

use atelier_engine::{Calibration, Config, Engine};
use atelier_package::{Existing, Package, PackageWriter};

use crate::support::{noise, packages};

fn load(package: &Package, calibrated: bool) -> Engine {
    let config = Config { parallelism: Some(2), calibrated, ..Config::default() };
    let engine = Engine::load(&config, std::slice::from_ref(package)).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

/// Workers and threads of the only graph, and the sizes of its batches.
fn way(engine: &Engine) -> (usize, usize, Vec<usize>) {
    let plan = engine.plan().graphs.remove(0);
    let model = engine.model("mlp", 0, &[]).unwrap();
    (plan.workers, plan.threads, model.graph("mlp").unwrap().batch_sizes().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_measured_here_is_used_and_nothing_else() {
    let mlp = packages().into_iter().find(|p| p.name().as_str() == "mlp").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mlp = PackageWriter::new(mlp.manifest().clone(), mlp.golden().clone())
        .graph("mlp", mlp.graph_bytes("mlp").unwrap())
        .write(&dir.path().join("1"), Existing::Refuse)
        .unwrap();
    // As no measurement on two cores comes out.
    let mut told = load(&mlp, true).calibration(mlp.name(), mlp.version()).unwrap();
    let graph = &mut told.graphs[0];
    (graph.workers, graph.threads) = (1, 1);
    (graph.sizes, graph.seconds) = (vec![1, 5, 7], vec![0.001, 0.002, 0.003]);
    let as_told = (1, 1, vec![1, 5, 7]);
    told.write(&mlp).unwrap();
    let engine = load(&mlp, true);
    assert_eq!(way(&engine), as_told);
    assert_eq!(engine.calibration(mlp.name(), mlp.version()).unwrap(), told);
    let model = engine.model("mlp", 0, &[]).unwrap();
    assert_eq!(model.run("mlp", vec![noise(1, 12)], None).await.unwrap()[0].shape(), [12, 10]);
    assert_ne!(way(&load(&mlp, false)), as_told, "where that is asked for all is measured anew");

    let changes: [fn(&mut Calibration); 3] = [
        |told| told.machine.processor.push_str(" of another machine"),
        |told| told.graphs[0].sha256 = "0".repeat(64),
        |told| told.graphs[0].sizes[2] = 4_000_000_000_000,
    ];
    for change in changes {
        let mut other = told.clone();
        change(&mut other);
        other.write(&mlp).unwrap();
        assert_ne!(way(&load(&mlp, true)), as_told, "{other:?}");
    }
    let file = mlp.directory().join("calibration.toml");
    assert!(file.exists());
    std::fs::write(file, "graph = 1").unwrap();
    assert_ne!(way(&load(&mlp, true)), as_told);
}
