//! `ModelStreamInfer`: requests that overlap on one stream.

use std::collections::HashMap;

use atelier_chassis::Deadline;
use atelier_proto::inference as api;
use atelier_proto::inference::infer_parameter::ParameterChoice;
use futures_util::stream::{BoxStream, StreamExt};
use tonic::{Status, Streaming};

use crate::service::Tensors;

/// Requests of one stream that are under way at a time: enough for a batch, and then some. More wait unread.
const OVERLAP: usize = 64;

/// Tells a client of Triton's streams that no more answers to its request will come.
const FINAL: &str = "triton_final_response";

/// Answers each request, in their order. What is wrong with one of them is told in its answer; only a stream that
/// breaks ends it.
pub(crate) fn answers(
    tensors: Tensors,
    requests: Streaming<api::ModelInferRequest>,
    deadline: Option<Deadline>,
) -> BoxStream<'static, Result<api::ModelStreamInferResponse, Status>> {
    // Dropped with the stream, and with it all that is under way: a client that is gone leaves nothing behind.
    requests
        .map(move |request| {
            let tensors = tensors.clone();
            async move { Ok(answer(&tensors, request?, deadline).await) }
        })
        .buffered(OVERLAP)
        .boxed()
}

async fn answer(
    tensors: &Tensors,
    request: api::ModelInferRequest,
    deadline: Option<Deadline>,
) -> api::ModelStreamInferResponse {
    let id = request.id.clone();
    let (error_message, mut response) = match tensors.infer(request, deadline).await {
        Ok(response) => (String::new(), response),
        // By way of a status, which keeps what is ours out of it.
        Err(error) => {
            let message = Status::from(error).message().to_owned();
            (message, api::ModelInferResponse { id, ..Default::default() })
        }
    };
    let last = api::InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    response.parameters = HashMap::from([(FINAL.to_owned(), last)]);
    api::ModelStreamInferResponse { error_message, infer_response: Some(response) }
}
