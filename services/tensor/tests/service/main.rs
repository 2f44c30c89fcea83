//! Raw tensors over the real engine, which serves the little packages of its own tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not take the helpers of tests for tests"
)]

mod infer;
mod models;

use std::path::Path;

use atelier_engine::{Config, Engine, Tensor, seed};
use atelier_package::{Kind, Package, Repository};
use atelier_proto::inference::ModelInferRequest;
use atelier_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use atelier_proto::inference::model_infer_request::InferInputTensor;
use atelier_tensor::Tensors;
use tonic::{Request, Status};

/// `conv`, `lookup` and `mlp` have stateless graphs, `rnn` and `wave` a step graph each.
fn packages() -> Vec<Package> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/models");
    let repository = Repository::scan(&models).unwrap();
    assert!(repository.rejected().is_empty(), "{:?}", repository.rejected());
    repository.latest().cloned().collect()
}

fn engine() -> Engine {
    engine_with(&Config::default())
}

fn engine_with(config: &Config) -> Engine {
    let engine = Engine::load(config, &packages()).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

fn tensors(engine: &Engine) -> Tensors {
    let tensors = Tensors::new(&Kind::ALL);
    tensors.set(engine.clone());
    tensors
}

/// Rows for `mlp`: 24 numbers within -1 to 1 each.
fn rows(from: u64, count: usize) -> Tensor {
    let values = seed::normal(from, count * 24).iter().map(|x| (x / 5.0).clamp(-1.0, 1.0)).collect();
    Tensor::f32([count, 24], values).unwrap()
}

fn request(model: &str, input: &str, tensor: &Tensor) -> ModelInferRequest {
    let datatype = if tensor.as_f32().is_some() { "FP32" } else { "INT64" };
    ModelInferRequest {
        model_name: model.into(),
        inputs: vec![InferInputTensor {
            name: input.into(),
            datatype: datatype.into(),
            shape: tensor.shape().iter().map(|n| *n as i64).collect(),
            ..Default::default()
        }],
        raw_input_contents: vec![tensor.to_le_bytes().into()],
        ..Default::default()
    }
}

async fn refused(tensors: &Tensors, request: ModelInferRequest) -> Status {
    tensors.model_infer(Request::new(request)).await.unwrap_err()
}
