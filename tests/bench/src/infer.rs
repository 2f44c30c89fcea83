//! Calls of `ModelInfer`, the same bytes to every server that speaks the Open Inference Protocol.
//!
//! Messages are encoded before the clock runs and answers are not decoded while it does: the client shares the
//! machine with what it measures, and should take little of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use atelier_package::{Dtype, GraphSpec, Tensor};
use atelier_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use atelier_proto::inference::{ModelInferRequest, ModelInferResponse};
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Larger than any answer here.
const MOST_BYTES: usize = 64 << 20;

/// A connection to a server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    grpc: Grpc<Channel>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let channel = endpoint.connect().await.with_context(|| format!("no server at {address}"))?;
        Ok(Self { grpc: Grpc::new(channel).max_decoding_message_size(MOST_BYTES) })
    }

    /// One call; the answer as it came.
    pub(crate) async fn call(&mut self, message: Bytes, deadline: Option<Duration>) -> Result<Bytes, Status> {
        self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(message);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let path = PathAndQuery::from_static("/inference.GRPCInferenceService/ModelInfer");
        self.grpc.unary(request, path, Plain).await.map(tonic::Response::into_inner)
    }

    /// One call for its outputs of f32, in the order of the spec.
    ///
    /// # Errors
    /// The server refuses it, or answers something else than was asked for.
    pub(crate) async fn outputs(&mut self, spec: &GraphSpec, message: Bytes) -> Result<Vec<Vec<f32>>> {
        let answer = ModelInferResponse::decode(self.call(message, None).await?)?;
        let contents = answer.raw_output_contents;
        ensure!(contents.len() == spec.outputs.len(), "{} outputs came", contents.len());
        let output = |name: &str| {
            let at = answer.outputs.iter().position(|output| output.name == name);
            let bytes = at.and_then(|at| contents.get(at)).with_context(|| format!("no output {name}"))?;
            let floats = bytes.chunks_exact(4).filter_map(|b| Some(f32::from_le_bytes(b.try_into().ok()?)));
            Ok(floats.collect())
        };
        spec.outputs.iter().map(|spec| output(&spec.name)).collect()
    }
}

/// A request as it goes over the wire.
pub(crate) fn message(model: &str, spec: &GraphSpec, inputs: &[Tensor]) -> Bytes {
    let input = |(spec, tensor): (&atelier_package::TensorSpec, &Tensor)| InferInputTensor {
        name: spec.name.clone(),
        datatype: match spec.dtype {
            Dtype::F32 => "FP32".into(),
            Dtype::I64 => "INT64".into(),
        },
        shape: tensor.shape().iter().map(|size| *size as i64).collect(),
        ..InferInputTensor::default()
    };
    let output = |name: &String| InferRequestedOutputTensor { name: name.clone(), ..Default::default() };
    let request = ModelInferRequest {
        model_name: model.into(),
        inputs: spec.inputs.iter().zip(inputs).map(input).collect(),
        outputs: spec.outputs.iter().map(|spec| output(&spec.name)).collect(),
        raw_input_contents: inputs.iter().map(|tensor| Bytes::from(tensor.to_le_bytes())).collect(),
        ..ModelInferRequest::default()
    };
    Bytes::from(request.encode_to_vec())
}

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
