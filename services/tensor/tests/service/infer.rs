//! Running models.

use std::time::Duration;

use atelier_proto::inference::infer_parameter::ParameterChoice;
use atelier_proto::inference::{InferParameter, InferTensorContents};
use futures_util::future::{join, join_all};
use tonic::Code;
use tonic_types::StatusExt;

use crate::*;

fn parameter(name: &str, choice: ParameterChoice) -> (String, InferParameter) {
    (name.to_owned(), InferParameter { parameter_choice: Some(choice) })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_the_bits_that_the_engine_gives_in_the_form_of_the_request() {
    let engine = engine();
    let tensors = tensors(&engine);
    let input = rows(1, 3);
    let model = engine.model("mlp", 0, &[]).unwrap();
    let expected = model.run("mlp", vec![input.clone()], None).await.unwrap().remove(0);

    let mut asked = request("mlp", "x", &input);
    asked.id = "first".into();
    let answer = tensors.model_infer(Request::new(asked.clone())).await.unwrap().into_inner();
    assert_eq!((&*answer.model_name, &*answer.model_version, &*answer.id), ("mlp", "1", "first"));
    assert_eq!(answer.raw_output_contents, [expected.to_le_bytes()]);
    let output = &answer.outputs[0];
    assert_eq!((&*output.name, &*output.datatype, &*output.shape), ("y", "FP32", &[3, 10][..]));
    assert_eq!(output.contents, None);

    asked.raw_input_contents.clear();
    let values = input.as_f32().unwrap().to_vec();
    asked.inputs[0].contents = Some(InferTensorContents { fp32_contents: values, ..Default::default() });
    let answer = tensors.model_infer(Request::new(asked)).await.unwrap().into_inner();
    assert!(answer.raw_output_contents.is_empty());
    let contents = answer.outputs[0].contents.as_ref().unwrap();
    assert_eq!(contents.fp32_contents, expected.as_f32().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_go_in_as_they_are() {
    let tensors = tensors(&engine());
    let index = Tensor::i64([2], vec![0, 1]).unwrap();
    let asked = request("lookup.lookup", "index", &index);
    let answer = tensors.model_infer(Request::new(asked)).await.unwrap().into_inner();
    assert_eq!(answer.model_name, "lookup.lookup", "as it was called");
    assert_eq!(answer.outputs[0].shape, [2, 3]);
    assert_eq!(answer.raw_output_contents[0].len(), 24);
}

/// Rows of a request that is split into many runs; with those of the others they fit into the queue.
const LONG: u64 = 512;

/// Requests that wait together are run together: they go through the batcher.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_together_are_one_batch_and_have_the_bits_that_they_have_alone() {
    let engine = engine();
    let tensors = tensors(&engine);
    let graph = engine.model("mlp", 0, &[]).unwrap();
    assert!(graph.graph("mlp").unwrap().batch_sizes().len() > 1, "this graph gains from company");
    let ask = |seed: u64| tensors.model_infer(Request::new(request("mlp", "x", &rows(seed, 1))));
    let mut alone = Vec::new();
    for seed in 0..200 {
        alone.push(ask(seed).await.unwrap().into_inner().raw_output_contents);
    }
    // Behind one that takes the workers their time: on a fast machine they would else keep up with whoever asks.
    let largest = *graph.graph("mlp").unwrap().batch_sizes().last().unwrap() as u64;
    let long = tensors.model_infer(Request::new(request("mlp", "x", &rows(1, LONG as usize))));
    let before = graph.graph_stats().remove(0).1;
    let (long, together) = join(long, join_all((0..200).map(ask))).await;
    long.unwrap();
    let after = graph.graph_stats().remove(0).1;
    let together: Vec<_> =
        together.into_iter().map(|a| a.unwrap().into_inner().raw_output_contents).collect();
    assert!(together == alone, "other bits in company");
    assert_eq!((after.rows - before.rows, before.batches), (200 + LONG, 200));
    let batches = after.batches - before.batches;
    assert!(batches < LONG.div_ceil(largest) + 200, "{batches} batches: each ran alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_time_is_up_is_not_run() {
    let engine = engine();
    let tensors = tensors(&engine);
    let mut asked = request("mlp", "x", &rows(1, 1));
    asked.parameters = [parameter("timeout", ParameterChoice::Int64Param(1))].into();
    assert_eq!(refused(&tensors, asked.clone()).await.code(), Code::DeadlineExceeded);
    assert_eq!(engine.model("mlp", 0, &[]).unwrap().graph_stats()[0].1.batches, 0);
    let minute = Duration::from_secs(60).as_micros();
    asked.parameters = [
        parameter("timeout", ParameterChoice::Uint64Param(u64::try_from(minute).unwrap())),
        parameter("priority", ParameterChoice::Uint64Param(1)),
    ]
    .into();
    tensors.model_infer(Request::new(asked)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_its_code_and_names_its_field() {
    let tensors = tensors(&engine());
    let good = || request("mlp", "x", &rows(1, 1));
    let field = |status: &Status| {
        let details = status.get_error_details();
        details.bad_request().map(|bad| bad.field_violations[0].field.clone()).unwrap_or_default()
    };
    type Change = fn(&mut ModelInferRequest);
    let cases: [(Change, Code, &str); 9] = [
        (|r| r.model_name.clear(), Code::InvalidArgument, "model_name"),
        (|r| r.model_name = "nobody".into(), Code::NotFound, ""),
        (|r| r.model_name = "mlp.decoder".into(), Code::NotFound, ""),
        (|r| r.model_version = "7".into(), Code::NotFound, ""),
        (|r| r.model_name = "rnn".into(), Code::Unimplemented, ""),
        (|r| r.inputs[0].shape = vec![1, 25], Code::InvalidArgument, "inputs.x.shape"),
        (
            // Outside of the range that the package says.
            |r| r.raw_input_contents = vec![[2.0_f32; 24].map(f32::to_le_bytes).concat().into()],
            Code::InvalidArgument,
            "inputs.x",
        ),
        (
            |r| r.parameters = [parameter("priority", ParameterChoice::Int64Param(9))].into(),
            Code::InvalidArgument,
            "parameters.priority",
        ),
        (
            // More rows than may wait at all.
            |r| {
                r.inputs[0].shape = vec![2000, 24];
                r.raw_input_contents = vec![vec![0; 2000 * 96].into()];
            },
            Code::InvalidArgument,
            "inputs.batch",
        ),
    ];
    for (at, (change, code, named)) in cases.into_iter().enumerate() {
        let mut wrong = good();
        change(&mut wrong);
        let status = refused(&tensors, wrong).await;
        assert_eq!((status.code(), &*field(&status)), (code, named), "{at}: {status:?}");
    }
    let status = refused(&tensors, request("nobody", "x", &rows(1, 1))).await;
    assert_eq!(status.message(), "no model \"nobody\"; there is: conv, lookup, mlp, rnn, wave");
    tensors.model_infer(Request::new(good())).await.unwrap();
}
