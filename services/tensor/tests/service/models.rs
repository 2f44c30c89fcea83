//! What there is, and what it has done.

use std::time::Duration;

use atelier_package::{Existing, Manifest, PackageWriter, Version};
use atelier_proto::inference as api;
use tonic::Code;

use crate::*;

#[tokio::test]
async fn before_the_models_are_there_it_lives_and_is_not_ready() {
    let tensors = Tensors::new(&Kind::ALL);
    assert!(tensors.server_live(Request::new(Default::default())).await.unwrap().into_inner().live);
    assert!(!tensors.server_ready(Request::new(Default::default())).await.unwrap().into_inner().ready);
    let mlp = api::ModelReadyRequest { name: "mlp".into(), ..Default::default() };
    assert!(!tensors.model_ready(Request::new(mlp)).await.unwrap().into_inner().ready);
    assert_eq!(refused(&tensors, request("mlp", "x", &rows(1, 1))).await.code(), Code::Unavailable);
    tensors.set(engine());
    assert!(tensors.server_ready(Request::new(Default::default())).await.unwrap().into_inner().ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_knows_the_models_of_its_kinds_alone() {
    let engine = engine();
    let own = Tensors::new(&[Kind::CharRnn]);
    own.set(engine.clone());
    let names = async |tensors: &Tensors| {
        let index =
            tensors.repository_index(Request::new(Default::default())).await.unwrap().into_inner().models;
        assert!(index.iter().all(|model| model.version == "1" && model.state == "READY"), "{index:?}");
        index.into_iter().map(|model| model.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&own).await, ["rnn"]);
    assert_eq!(names(&tensors(&engine)).await, ["conv", "lookup", "mlp", "rnn", "wave"]);
    assert_eq!(refused(&own, request("mlp", "x", &rows(1, 1))).await.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_could_not_be_loaded_is_listed_with_what_is_wrong_by_the_role_that_has_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let mut all = packages();
    let conv = all.iter().find(|package| package.name().as_str() == "conv").unwrap();
    let manifest = Manifest { version: Version::new(2).unwrap(), ..conv.manifest().clone() };
    let foreign = PackageWriter::new(manifest, conv.golden().clone()).graph("conv", b"MZ no graph".to_vec());
    all.push(foreign.write(&directory.path().join("conv/2"), Existing::Refuse).unwrap());
    let engine = Engine::load(&Config::default(), &all).unwrap();
    assert_eq!(engine.not_loaded().len(), 1);
    let index = async |tensors: &Tensors, ready: bool| {
        let ask = api::RepositoryIndexRequest { ready, ..Default::default() };
        tensors.repository_index(Request::new(ask)).await.unwrap().into_inner().models
    };
    let own = tensors(&engine);
    let listed = index(&own, false).await;
    let [first, second, ..] = &listed[..] else { panic!("both are listed") };
    assert_eq!((&*first.name, &*first.version, &*first.state, &*first.reason), ("conv", "1", "READY", ""));
    assert_eq!((&*second.name, &*second.version, &*second.state), ("conv", "2", "UNAVAILABLE"));
    assert!(second.reason.starts_with("conv.onnx: "), "{}", second.reason);
    assert!(index(&own, true).await.iter().all(|model| model.state == "READY"));
    let other = Tensors::new(&[Kind::CharRnn]);
    other.set(engine);
    assert_eq!(index(&other, false).await.len(), 1, "what others have is theirs to tell of");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_of_its_plan_and_its_execution_provider_once_the_models_are_there() {
    let tensors = Tensors::new(&Kind::ALL);
    let extensions = async || {
        let answer = tensors.server_metadata(Request::new(Default::default())).await;
        answer.unwrap().into_inner().extensions
    };
    let protocol = extensions().await;
    assert!(protocol.iter().any(|extension| extension == "statistics"), "{protocol:?}");
    assert!(protocol.iter().all(|extension| !extension.contains('=')), "{protocol:?}");
    tensors.set(engine_with(&Config { parallelism: Some(1), ..Config::default() }));
    let all = extensions().await;
    assert_eq!(all[..protocol.len()], protocol);
    for told in [
        "atelier.execution_provider=CPUExecutionProvider",
        "atelier.device=cpu",
        "atelier.cores=1",
        "atelier.threads=1",
        "atelier.sessions.mlp/1/mlp=1x1",
        "atelier.sessions.rnn/1/step=1x1",
    ] {
        assert!(all.iter().any(|extension| extension == told), "{told}: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_described_and_its_configuration_leaves_the_batch_out() {
    let config = Config { max_queue_delay: Duration::from_micros(700), ..Config::default() };
    let tensors = tensors(&engine_with(&config));
    let ask = api::ModelMetadataRequest { name: "mlp".into(), version: "1".into() };
    let metadata = tensors.model_metadata(Request::new(ask)).await.unwrap().into_inner();
    assert_eq!((&*metadata.platform, &metadata.versions[..]), ("onnxruntime_onnx", &["1".to_owned()][..]));
    assert_eq!((&*metadata.inputs[0].datatype, &metadata.inputs[0].shape[..]), ("FP32", &[-1, 24][..]));
    let ask = api::ModelConfigRequest { name: "mlp".into(), ..Default::default() };
    let config = tensors.model_config(Request::new(ask)).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.max_batch_size, &config.input[0].dims[..]), (1024, &[24][..]));
    let Some(api::model_config::SchedulingChoice::DynamicBatching(batching)) = config.scheduling_choice
    else {
        panic!("its requests are joined")
    };
    assert_eq!((batching.preferred_batch_size[0], batching.max_queue_delay_microseconds), (1, 700));
    // A graph that keeps a state is described too; it is its own service that runs it.
    let ask = api::ModelConfigRequest { name: "rnn".into(), ..Default::default() };
    let config = tensors.model_config(Request::new(ask)).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.max_batch_size, config.scheduling_choice), (0, None));
    assert_eq!(config.input.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_what_was_run_and_how_long_it_took() {
    let tensors = tensors(&engine());
    for seed in 0..5 {
        tensors.model_infer(Request::new(request("mlp", "x", &rows(seed, 2)))).await.unwrap();
    }
    let ask =
        |name: &str| Request::new(api::ModelStatisticsRequest { name: name.into(), ..Default::default() });
    let all = tensors.model_statistics(ask("")).await.unwrap().into_inner().model_stats;
    let names: Vec<&str> = all.iter().map(|stats| stats.name.as_str()).collect();
    assert_eq!(names, ["conv", "lookup", "mlp"], "not those that keep a state");
    assert_eq!((all[0].inference_count, all[0].last_inference), (0, 0));
    let mlp = &all[2];
    assert_eq!(mlp.inference_count, 10);
    // A request is run in parts where that was cheaper of late.
    assert!((5..=10).contains(&mlp.execution_count), "{mlp:?}");
    let times = mlp.inference_stats.as_ref().unwrap();
    let (success, queue) = (times.success.unwrap(), times.queue.unwrap());
    let compute = times.compute_infer.unwrap();
    assert_eq!((success.count, times.fail.unwrap().count), (5, 0));
    assert!(compute.ns > 0 && queue.ns + compute.ns <= success.ns, "{times:?}");
    assert!(mlp.last_inference > 1_700_000_000_000, "{}", mlp.last_inference);
    assert_eq!(tensors.model_statistics(ask("rnn")).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(tensors.model_statistics(ask("nobody")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn nothing_is_loaded_or_unloaded_on_request() {
    let tensors = Tensors::new(&Kind::ALL);
    for status in [
        tensors.repository_model_load(Request::new(Default::default())).await.unwrap_err(),
        tensors.repository_model_unload(Request::new(Default::default())).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("--models, as NAME/VERSION"), "what to do instead: {status:?}");
    }
}
