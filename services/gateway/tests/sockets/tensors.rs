//! Requests on raw tensors go to the role that has the model.

use std::net::SocketAddr;
use std::time::Duration;

use atelier_chassis::Server;
use atelier_gateway::Route;
use atelier_proto::inference as api;
use atelier_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use atelier_proto::inference::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer, SERVICE_NAME,
};
use atelier_proto::inference::repository_index_response::ModelIndex;
use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::fleet::{Mortal, gateway, nowhere, route};
use crate::support::{Running, Transport, config, eventually, origin, transport};

/// Says of each request which role has got it, and gives its bytes back.
#[derive(Clone)]
struct Echo {
    role: &'static str,
    models: &'static [&'static str],
    /// How long each answer takes.
    pause: Duration,
}

impl Echo {
    fn answer(&self, asked: api::ModelInferRequest) -> api::ModelInferResponse {
        api::ModelInferResponse {
            model_name: asked.model_name,
            model_version: self.role.into(),
            id: asked.id,
            raw_output_contents: asked.raw_input_contents,
            ..Default::default()
        }
    }
}

fn never<T>() -> Result<Response<T>, Status> {
    Err(Status::internal("the gateway is not to ask this"))
}

#[tonic::async_trait]
impl GrpcInferenceService for Echo {
    async fn server_live(
        &self,
        _: Request<api::ServerLiveRequest>,
    ) -> Result<Response<api::ServerLiveResponse>, Status> {
        never()
    }

    async fn server_ready(
        &self,
        _: Request<api::ServerReadyRequest>,
    ) -> Result<Response<api::ServerReadyResponse>, Status> {
        never()
    }

    async fn model_ready(
        &self,
        _: Request<api::ModelReadyRequest>,
    ) -> Result<Response<api::ModelReadyResponse>, Status> {
        Ok(Response::new(api::ModelReadyResponse { ready: true }))
    }

    async fn server_metadata(
        &self,
        _: Request<api::ServerMetadataRequest>,
    ) -> Result<Response<api::ServerMetadataResponse>, Status> {
        Ok(Response::new(api::ServerMetadataResponse { name: self.role.into(), ..Default::default() }))
    }

    async fn model_metadata(
        &self,
        _: Request<api::ModelMetadataRequest>,
    ) -> Result<Response<api::ModelMetadataResponse>, Status> {
        Ok(Response::new(api::ModelMetadataResponse { platform: self.role.into(), ..Default::default() }))
    }

    async fn model_infer(
        &self,
        request: Request<api::ModelInferRequest>,
    ) -> Result<Response<api::ModelInferResponse>, Status> {
        Ok(Response::new(self.answer(request.into_inner())))
    }

    type ModelStreamInferStream = BoxStream<'static, Result<api::ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<api::ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let echo = self.clone();
        let answers = request.into_inner().then(move |asked| {
            let echo = echo.clone();
            async move {
                tokio::time::sleep(echo.pause).await;
                let infer_response = Some(echo.answer(asked?));
                Ok(api::ModelStreamInferResponse { infer_response, ..Default::default() })
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn model_config(
        &self,
        _: Request<api::ModelConfigRequest>,
    ) -> Result<Response<api::ModelConfigResponse>, Status> {
        never()
    }

    async fn model_statistics(
        &self,
        _: Request<api::ModelStatisticsRequest>,
    ) -> Result<Response<api::ModelStatisticsResponse>, Status> {
        let stats = |name: &&str| api::ModelStatistics { name: (*name).into(), ..Default::default() };
        let model_stats = self.models.iter().map(stats).collect();
        Ok(Response::new(api::ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        _: Request<api::RepositoryIndexRequest>,
    ) -> Result<Response<api::RepositoryIndexResponse>, Status> {
        let entry = |name: &&str| ModelIndex { name: (*name).into(), ..Default::default() };
        Ok(Response::new(api::RepositoryIndexResponse { models: self.models.iter().map(entry).collect() }))
    }

    async fn repository_model_load(
        &self,
        _: Request<api::RepositoryModelLoadRequest>,
    ) -> Result<Response<api::RepositoryModelLoadResponse>, Status> {
        never()
    }

    async fn repository_model_unload(
        &self,
        _: Request<api::RepositoryModelUnloadRequest>,
    ) -> Result<Response<api::RepositoryModelUnloadResponse>, Status> {
        never()
    }
}

fn server(role: &'static str, models: &'static [&'static str], pause: Duration) -> Server {
    let echo = GrpcInferenceServiceServer::new(Echo { role, models, pause });
    let service = echo.max_decoding_message_size(usize::MAX);
    let server = Server::new(role, config(Duration::from_secs(10))).add_service(service);
    server.health().set_ready();
    server
}

fn owns(role: &str, address: SocketAddr) -> Route {
    route(role, &format!("test.v1.{role}"), address)
}

fn client(gateway: &Running) -> GrpcInferenceServiceClient<Transport> {
    GrpcInferenceServiceClient::with_origin(transport(), origin(gateway.address))
        .max_decoding_message_size(usize::MAX)
}

fn infer(model: &str, id: &str, bytes: usize) -> api::ModelInferRequest {
    api::ModelInferRequest {
        model_name: model.into(),
        id: id.into(),
        raw_input_contents: vec![vec![7; bytes].into()],
        ..Default::default()
    }
}

/// The role that a model's requests get to.
async fn role_of(gateway: &Running, model: &str) -> Result<String, Status> {
    Ok(client(gateway).model_infer(infer(model, "", 1)).await?.into_inner().model_version)
}

#[tokio::test]
async fn a_request_gets_to_the_role_that_has_the_model_and_passes_as_it_is() {
    let one = Running::start(server("one", &["vae.encoder", "vae.decoder"], Duration::ZERO)).await;
    let two = Running::start(server("two", &["sums"], Duration::ZERO)).await;
    let gateway = gateway(vec![owns("one", one.address), owns("two", two.address)]).await;
    let mut client = client(&gateway);
    for (model, role) in [("vae.decoder", "one"), ("sums", "two"), ("sums.graph", "two"), ("vae", "one")] {
        assert_eq!(role_of(&gateway, model).await.unwrap(), role, "{model}");
    }
    let large = client.model_infer(infer("sums", "a", 5 << 20)).await.unwrap().into_inner();
    assert_eq!((large.id.as_str(), large.raw_output_contents[0].len()), ("a", 5 << 20));
    let asked = api::ModelMetadataRequest { name: "sums".into(), ..Default::default() };
    assert_eq!(client.model_metadata(asked).await.unwrap().into_inner().platform, "two");

    let status = role_of(&gateway, "nobody").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no model \"nobody\"; there is: sums, vae.decoder, vae.encoder");
    assert_eq!(role_of(&gateway, "").await.unwrap_err().code(), Code::InvalidArgument);
    let ready = async |name: &str| {
        let asked = api::ModelReadyRequest { name: name.into(), ..Default::default() };
        client.clone().model_ready(asked).await.unwrap().into_inner().ready
    };
    assert!(ready("sums").await && !ready("nobody").await);
}

#[tokio::test]
async fn what_concerns_the_fleet_is_asked_of_every_role() {
    let one = Running::start(server("one", &["b", "a"], Duration::ZERO)).await;
    let two = Running::start(server("two", &["c"], Duration::ZERO)).await;
    let routes = vec![owns("one", one.address), owns("down", nowhere().await), owns("two", two.address)];
    let gateway = gateway(routes).await;
    let mut client = client(&gateway);
    assert!(client.server_live(api::ServerLiveRequest {}).await.unwrap().into_inner().live);
    eventually("the roles are ready", || gateway.health.is_serving(SERVICE_NAME) == Some(true)).await;
    assert!(client.server_ready(api::ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let metadata = client.server_metadata(api::ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(metadata.name, "one");
    let index = client.repository_index(api::RepositoryIndexRequest::default()).await.unwrap().into_inner();
    assert_eq!(index.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let stats = client.model_statistics(api::ModelStatisticsRequest::default()).await.unwrap().into_inner();
    assert_eq!(
        stats.model_stats.iter().map(|stats| stats.name.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    // What the role that is down has nobody knows.
    let status = role_of(&gateway, "d").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("cannot be reached: down"), "{status:?}");
}

/// Their service is served where any role serves it.
#[tokio::test]
async fn health_says_of_each_role_whether_it_serves_raw_tensors() {
    let one = Mortal::start(server("one", &["a"], Duration::ZERO), nowhere().await).await;
    let two = Running::start(server("two", &["b"], Duration::ZERO)).await;
    // A role may have nothing else.
    let mut only_tensors = owns("two", two.address);
    only_tensors.services.clear();
    let gateway = gateway(vec![owns("one", one.address), only_tensors, owns("down", nowhere().await)]).await;
    let serving = |of: [&str; 4]| of.map(|name| gateway.health.is_serving(name).unwrap());
    let names = [SERVICE_NAME, "inference/one", "inference/two", "inference/down"];
    eventually("both serve", || serving(names) == [true, true, true, false]).await;
    one.kill().await;
    eventually("one is lost", || serving(names) == [true, false, true, false]).await;
    two.health.set(SERVICE_NAME, false);
    eventually("nobody serves", || serving(names) == [false; 4]).await;
    assert_eq!(gateway.health.is_serving("inference/three"), None);
}

#[tokio::test]
async fn a_stream_over_several_roles_is_answered_in_the_order_of_its_requests() {
    let slow = Running::start(server("slow", &["a"], Duration::from_millis(5))).await;
    let fast = Running::start(server("fast", &["b"], Duration::ZERO)).await;
    let gateway = gateway(vec![owns("slow", slow.address), owns("fast", fast.address)]).await;
    let model = |n: usize| ["a", "b", "b", "nobody", "a"][n % 5];
    let asked: Vec<_> = (0..300).map(|n| infer(model(n), &n.to_string(), 100)).collect();
    let answers = client(&gateway).model_stream_infer(stream::iter(asked)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 300);
    for (n, answer) in answers.into_iter().enumerate() {
        let response = answer.infer_response.unwrap();
        assert_eq!(response.id, n.to_string());
        match model(n) {
            "nobody" => assert!(answer.error_message.starts_with("no model \"nobody\""), "{n}"),
            model => assert_eq!((&*answer.error_message, &*response.model_name), ("", model)),
        }
    }
}

/// A stream need not end to be answered.
#[tokio::test]
async fn an_answer_does_not_wait_for_the_next_request() {
    let role = Running::start(server("one", &["a"], Duration::ZERO)).await;
    let gateway = gateway(vec![owns("one", role.address)]).await;
    let asked = stream::iter([infer("a", "first", 1)]).chain(stream::pending());
    let mut answers = client(&gateway).model_stream_infer(asked).await.unwrap().into_inner();
    let first = tokio::time::timeout(Duration::from_secs(5), answers.message()).await.unwrap();
    assert_eq!(first.unwrap().unwrap().infer_response.unwrap().id, "first");
}

/// They count where the next call goes by who is less busy.
#[tokio::test]
async fn streams_that_stay_open_are_shared_out_among_the_processes_of_a_role() {
    let one = Running::start(server("one", &["a"], Duration::ZERO)).await;
    let two = Running::start(server("two", &["a"], Duration::ZERO)).await;
    let mut both = owns("both", one.address);
    both.uri = format!("{},http://{}", both.uri, two.address);
    let gateway = gateway(vec![both]).await;
    let (mut streams, mut of_one) = (Vec::new(), 0_usize);
    for open in 1..=40_usize {
        let asked = stream::iter([infer("a", "first", 1)]).chain(stream::pending());
        let mut answers = client(&gateway).model_stream_infer(asked).await.unwrap().into_inner();
        let response = answers.message().await.unwrap().unwrap().infer_response.unwrap();
        of_one += usize::from(response.model_version == "one");
        streams.push(answers);
        // By then both have said that they serve.
        if open > 20 {
            assert!(of_one.abs_diff(open - of_one) <= 1, "{of_one} of {open} are with one");
        }
    }
}

#[tokio::test]
async fn a_role_that_is_lost_may_come_back_with_other_models() {
    let first = Mortal::start(server("one", &["a"], Duration::ZERO), nowhere().await).await;
    let address = first.address;
    let two = Running::start(server("two", &["b"], Duration::ZERO)).await;
    let gateway = gateway(vec![owns("one", address), owns("two", two.address)]).await;
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    ask.send(infer("a", "first", 1)).await.unwrap();
    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut answers = client(&gateway).model_stream_infer(asked).await.unwrap().into_inner();
    answers.message().await.unwrap();

    first.kill().await;
    ask.send(infer("a", "second", 1)).await.unwrap();
    let broken = tokio::time::timeout(Duration::from_secs(10), answers.message()).await.unwrap();
    // The gateway may have heard of it before, and then the stream goes on.
    match broken {
        Err(status) => assert_eq!(status.code(), Code::Unavailable),
        Ok(answer) => assert!(answer.unwrap().error_message.ends_with("cannot be reached: one")),
    }
    assert_eq!(role_of(&gateway, "a").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(role_of(&gateway, "b").await.unwrap(), "two", "the others serve on");

    let _second = Mortal::start(server("one", &["c"], Duration::ZERO), address).await;
    assert_eq!(role_of(&gateway, "c").await.unwrap(), "one");
    let mut gone = role_of(&gateway, "a").await.unwrap_err();
    for _ in 0..500 {
        if gone.code() == Code::NotFound {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        gone = role_of(&gateway, "a").await.unwrap_err();
    }
    assert_eq!(gone.message(), "no model \"a\"; there is: b, c");
}
