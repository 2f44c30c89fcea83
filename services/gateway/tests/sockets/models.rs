//! The models of the fleet, and its reflection.

use std::net::SocketAddr;
use std::time::Duration;

use atelier_chassis::Server;
use atelier_gateway::Route;
use atelier_proto::models::v1::model_service_client::ModelServiceClient;
use atelier_proto::models::v1::model_service_server::{ModelService, ModelServiceServer};
use atelier_proto::models::v1::{
    GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse, Model,
};
use tonic::{Code, Request, Response, Status};

use crate::fleet::{TEXT, gateway, nowhere, route};
use crate::support::{Running, Script, Transport, config, origin, text_role, transport};

/// A role's own list.
struct Listed(Vec<Model>);

#[tonic::async_trait]
impl ModelService for Listed {
    async fn list_models(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        Ok(Response::new(ListModelsResponse { models: self.0.clone() }))
    }

    async fn get_model(&self, _: Request<GetModelRequest>) -> Result<Response<GetModelResponse>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
}

fn model(role: &str, kind: &str, name: &str, version: u32) -> Model {
    Model { role: role.into(), kind: kind.into(), name: name.into(), version, ..Model::default() }
}

async fn role(role: &str, models: Vec<Model>) -> Running {
    let server = Server::new(role, config(Duration::from_secs(10)));
    Running::start(server.add_service(ModelServiceServer::new(Listed(models)))).await
}

fn owns(role: &str, address: SocketAddr) -> Route {
    route(role, &format!("test.v1.{role}"), address)
}

fn client(gateway: &Running) -> ModelServiceClient<Transport> {
    ModelServiceClient::with_origin(transport(), origin(gateway.address))
}

async fn names(gateway: &Running, request: ListModelsRequest) -> Vec<String> {
    let models = client(gateway).list_models(request).await.unwrap().into_inner().models;
    models.iter().map(|model| format!("{}/{}", model.name, model.version)).collect()
}

fn get(name: &str, version: u32) -> GetModelRequest {
    GetModelRequest { name: name.into(), version }
}

#[tokio::test]
async fn every_roles_models_are_listed_in_order_and_found() {
    let text =
        role("text", vec![model("text", "char-rnn", "rnn", 2), model("text", "char-rnn", "rnn", 10)]).await;
    let codec = role("codec", vec![model("codec", "vae", "vae", 1), model("codec", "dae", "dae", 1)]).await;
    // A role that serves no models is no error.
    let other = Running::start(text_role(&Script::default(), config(Duration::from_secs(10)))).await;
    let routes =
        vec![owns("text", text.address), owns("codec", codec.address), route("other", TEXT, other.address)];
    let gateway = gateway(routes).await;

    assert_eq!(names(&gateway, ListModelsRequest::default()).await, ["dae/1", "vae/1", "rnn/2", "rnn/10"]);
    let of_kind = ListModelsRequest { kind: "vae".into(), ..Default::default() };
    assert_eq!(names(&gateway, of_kind).await, ["vae/1"]);
    let of_role = ListModelsRequest { role: "text".into(), ..Default::default() };
    assert_eq!(names(&gateway, of_role).await, ["rnn/2", "rnn/10"]);

    let mut client = client(&gateway);
    let found = client.get_model(get("rnn", 0)).await.unwrap().into_inner().model.unwrap();
    assert_eq!(found.version, 10, "0 is the newest");
    let found = client.get_model(get("rnn", 2)).await.unwrap().into_inner().model.unwrap();
    assert_eq!(found.version, 2);

    let unknown = client.get_model(get("gan", 0)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("dae, rnn, vae"), "{}", unknown.message());
    let unknown = client.get_model(get("rnn", 3)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("2, 10"), "{}", unknown.message());
    assert_eq!(client.get_model(get("", 0)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_role_that_is_down_is_left_out_and_what_it_may_have_is_unavailable() {
    let codec = role("codec", vec![model("codec", "vae", "vae", 1)]).await;
    let gateway = gateway(vec![owns("codec", codec.address), owns("text", nowhere().await)]).await;
    assert_eq!(names(&gateway, ListModelsRequest::default()).await, ["vae/1"]);
    let mut client = client(&gateway);
    client.get_model(get("vae", 0)).await.unwrap();
    assert_eq!(client.get_model(get("rnn", 0)).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_fleet_of_which_nothing_is_up_is_unavailable() {
    let gateway = gateway(vec![owns("codec", nowhere().await), owns("text", nowhere().await)]).await;
    let status = client(&gateway).list_models(ListModelsRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "no role can be reached: codec, text");
}

#[tokio::test]
async fn reflection_describes_what_is_forwarded() {
    use tokio_stream::StreamExt;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    // Even while the role is down.
    let gateway = gateway(vec![route("text", TEXT, nowhere().await)]).await;
    let mut client = ServerReflectionClient::with_origin(transport(), origin(gateway.address));
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("atelier.text.v1.TextService.Generate".into())),
    ];
    let answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().message_response.unwrap()).collect().await;
    let [MessageResponse::ListServicesResponse(list), MessageResponse::FileDescriptorResponse(_)] =
        answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    for service in [TEXT, "atelier.models.v1.ModelService", "grpc.health.v1.Health"] {
        assert!(list.service.iter().any(|listed| listed.name == service), "{service}: {list:?}");
    }
}
