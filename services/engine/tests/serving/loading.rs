//! What is loaded, what is set aside, what is found, and how it ends.

use std::path::Path;
use std::time::{Duration, Instant};

use atelier_engine::{Batching, Config, Device, Engine, EngineError, Health, Runtime, Tensor};
use atelier_package::Repository;

use crate::support::{Writer, engine, noise, packages, until};

#[tokio::test(flavor = "multi_thread")]
async fn models_are_found_by_name_version_and_kind() {
    let engine = engine(Config::default());
    let kind = atelier_package::Kind::CharRnn;
    assert_eq!(engine.model("", 0, &[kind]).unwrap().name().as_str(), "rnn");
    assert_eq!(engine.model("mlp", 1, &[]).unwrap().version().get(), 1);
    assert_eq!(engine.model("", 0, &[]).unwrap().name().as_str(), "conv");
    let e = |name, version, kinds: &[_]| engine.model(name, version, kinds).unwrap_err().to_string();
    assert_eq!(e("mlp", 0, &[kind]), "there is no model `mlp` that can do this; there are: rnn/1");
    assert_eq!(
        e("mlp", 2, &[]),
        "there is no model `mlp` in version 2 that can do this; there are: conv/1, lookup/1, mlp/1, rnn/1, wave/1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_what_it_can_and_refuses_the_new() {
    let engine = engine(Config { slots: 1, stream_buffer: 1, ..Config::default() });
    let model = engine.model("rnn", 0, &[]).unwrap();
    let decoder = model.decoder().unwrap().clone();
    // One that nobody reads from never ends by itself.
    let mut stuck = decoder.stream(Writer::new(1, 1000), None).unwrap();
    until("the slot is taken", || decoder.stats().slots_used == 1).await;
    let mlp = engine.model("mlp", 0, &[]).unwrap();
    let running = tokio::spawn({
        let mlp = mlp.clone();
        async move { mlp.run("mlp", vec![noise(1, 200)], None).await }
    });
    until("the request is there", || {
        let s = mlp.graph("mlp").unwrap().stats();
        s.queued > 0 || s.answered > 0
    })
    .await;
    let start = Instant::now();
    engine.shutdown(Duration::from_millis(200)).await;
    assert!(start.elapsed() >= Duration::from_millis(200), "the stuck stream was given its time");
    assert!(running.await.unwrap().is_ok());
    let mut last = stuck.next().await;
    while let Some(Ok(_)) = last {
        last = stuck.next().await;
    }
    assert_eq!(last, Some(Err(EngineError::Draining)));
    assert_eq!(mlp.run("mlp", vec![noise(1, 1)], None).await, Err(EngineError::Draining));
    assert_eq!(decoder.stream(Writer::new(1, 1), None).map(|_| ()).unwrap_err(), EngineError::Draining);
    assert_eq!(engine.health(), Health::Draining);
    assert_eq!((decoder.stats().slots_used, decoder.stats().waiting), (0, 0));
    engine.shutdown(Duration::ZERO).await;
}

#[test]
fn a_package_that_lies_is_set_aside_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let copy = |from: &str, to: &str, change: &dyn Fn(String) -> String| {
        let target = dir.path().join(to).join("1");
        std::fs::create_dir_all(&target).unwrap();
        for entry in models.join(from).join("1").read_dir().unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
        let path = target.join("package.toml");
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace(&format!("\"{from}\"\nversion"), &format!("\"{to}\"\nversion"));
        std::fs::write(path, change(text)).unwrap();
    };
    copy("mlp", "good", &|t| t);
    // The golden tensors fit the package, but not the graph, which leaves nothing open.
    copy("conv", "renamed", &|t| t);
    let repository = Repository::scan(dir.path()).unwrap();
    let mut wrong = repository.get(&"renamed".parse().unwrap(), None).unwrap().manifest().clone();
    wrong.graphs[0].inputs[0].name = "picture".into();
    let mut golden = repository.get(&"renamed".parse().unwrap(), None).unwrap().golden().clone();
    let case = golden.cases.get_mut("conv").unwrap();
    let image = case.inputs.remove("image").unwrap();
    case.inputs.insert("picture".into(), image);
    let onnx = std::fs::read(models.join("conv/1/conv.onnx")).unwrap();
    let writer =
        |manifest: &atelier_package::Manifest, golden: &atelier_package::Golden, onnx: &[u8], dir: &Path| {
            atelier_package::PackageWriter::new(manifest.clone(), golden.clone())
                .graph("conv", onnx.to_vec())
                .write(dir, atelier_package::Existing::Replace)
                .unwrap()
        };
    let renamed = writer(&wrong, &golden, &onnx, &dir.path().join("renamed/1"));
    let honest = Repository::scan(&models).unwrap();
    let conv = honest.get(&"conv".parse().unwrap(), None).unwrap();
    // Outputs that the graph does not give.
    let mut golden = conv.golden().clone();
    let out = golden.cases.get_mut("conv").unwrap().outputs.get_mut("image_out").unwrap();
    let mut values = out.as_f32().unwrap().to_vec();
    values[7] += 0.01;
    *out = Tensor::f32(out.shape(), values).unwrap();
    let false_golden = writer(conv.manifest(), &golden, &onnx, &dir.path().join("conv/1"));
    // No ONNX at all, with the right hash.
    let foreign = writer(conv.manifest(), conv.golden(), b"MZ this is no graph", &dir.path().join("conv/2"));
    let good = Repository::scan(dir.path()).unwrap().get(&"good".parse().unwrap(), None).unwrap().clone();
    let engine = Engine::load(&Config::default(), &[renamed, good, false_golden, foreign]).unwrap();
    assert_eq!(engine.models().len(), 1);
    let errors: Vec<String> = engine.not_loaded().iter().map(|n| n.error.to_string()).collect();
    assert_eq!(errors[0], "conv.onnx: inputs: the graph has `image`, which package.toml does not have");
    assert!(
        errors[1].starts_with("golden check of graph `conv`: output `image_out`: element 7 is "),
        "{}",
        errors[1]
    );
    assert!(errors[2].starts_with("conv.onnx: ") && errors[2].contains("protobuf"), "{}", errors[2]);
}

#[test]
fn cuda_that_cannot_be_had_is_an_error_and_never_a_run_on_the_processor() {
    let config = Config { device: Device::Cuda(0), batching: Batching::Fast, ..Config::default() };
    let engine = Engine::load(&config, &packages()).unwrap();
    let not_loaded = engine.not_loaded();
    for failed in not_loaded.iter() {
        let text = failed.error.to_string();
        assert!(text.contains("cuda:0 was asked for and cannot be had"), "{text}");
    }
    assert_eq!(engine.models().len() + not_loaded.len(), packages().len());
    assert!(engine.models().iter().all(|m| m.device() == Device::Cuda(0)));
    // On a machine with a GPU the build of the runtime for it may serve; this one cannot.
    let library = Runtime::load(None).unwrap().library();
    if !library.with_file_name("libonnxruntime_providers_cuda.so").exists() {
        assert!(engine.models().is_empty(), "they run on the processor");
    }
}

#[test]
fn a_missing_runtime_is_one_clear_line() {
    let config = Config { runtime: Some("/nowhere/libonnxruntime.so".into()), ..Config::default() };
    let e = Engine::load(&config, &[]).unwrap_err().to_string();
    assert!(e.contains("/nowhere/libonnxruntime.so") && !e.contains('\n'), "{e}");
}

#[test]
fn a_config_that_cannot_work_is_refused_by_name() {
    let e = |config: Config| Engine::load(&config, &[]).unwrap_err().to_string();
    assert_eq!(e(Config { slots: 0, ..Config::default() }), "slots: is 0, but 1 to 4096 is right");
    assert_eq!(e(Config { queue_rows: 0, ..Config::default() }), "queue_rows: is 0, but at least 1 is right");
    assert_eq!(
        e(Config { cuda_graphs: true, ..Config::default() }),
        "cuda_graphs: is true, but on the processor there are none: `device` cuda or false is right"
    );
    let delay = Duration::from_secs(2);
    assert_eq!(
        e(Config { max_queue_delay: delay, ..Config::default() }),
        "max_queue_delay_us: is 2000000, but 0 to 1000000 is right"
    );
}
