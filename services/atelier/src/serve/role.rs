//! The roles that run models, and the server of one.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use atelier_audio::Speech;
use atelier_chassis::{Admin, Drained, Health, Metrics, Request, Response, ServeError, Server, ServerConfig};
use atelier_codec::Codec;
use atelier_engine::Engine;
use atelier_gateway::Route;
use atelier_image::Images;
use atelier_package::Kind;
use atelier_proto::audio::v1::audio_service_server::{AudioServiceServer, SERVICE_NAME as AUDIO_SERVICE};
use atelier_proto::codec::v1::codec_service_server::{CodecServiceServer, SERVICE_NAME as CODEC_SERVICE};
use atelier_proto::image::v1::image_service_server::{ImageServiceServer, SERVICE_NAME as IMAGE_SERVICE};
use atelier_proto::inference::grpc_inference_service_server::{
    GrpcInferenceServiceServer, SERVICE_NAME as INFERENCE_SERVICE,
};
use atelier_proto::models::v1::model_service_server::{ModelServiceServer, SERVICE_NAME as MODEL_SERVICE};
use atelier_proto::text::v1::text_service_server::{SERVICE_NAME as TEXT_SERVICE, TextServiceServer};
use atelier_tensor::Tensors;
use atelier_text::Text;
use tokio::task::JoinHandle;
use tonic::server::NamedService;

use super::config::RoleConfig;
use super::late::Late;
use super::own_models::OwnModels;
use super::packages::Stock;
use super::reload::Reload;
use super::{listen, stop, watch};
use crate::cli::failure::{Exit, Failure};

/// A role that runs models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    /// Images to codes and back.
    Codec,
    /// New images, and faces at other ages.
    Image,
    /// Text, character by character.
    Text,
    /// Speech, sample by sample.
    Audio,
    /// Raw tensors of any graph.
    Tensor,
}

impl Domain {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Codec, Self::Image, Self::Text, Self::Audio, Self::Tensor];

    /// The name of the role.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Codec => "codec",
            Self::Image => "image",
            Self::Text => "text",
            Self::Audio => "audio",
            Self::Tensor => "tensor",
        }
    }

    /// The kinds of packages that it serves.
    pub(super) fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Codec => &[
                Kind::DenoisingAutoencoder,
                Kind::VariationalAutoencoder,
                Kind::Autoencoder,
                Kind::Inpainter,
                Kind::Segmentation,
                Kind::Anomaly,
            ],
            Self::Image => &[Kind::Gan, Kind::Ager],
            Self::Text => &[Kind::CharRnn],
            Self::Audio => &[Kind::Wavenet],
            Self::Tensor => &[Kind::Onnx],
        }
    }

    /// The full name of its gRPC service. Raw tensors are served by every role, by this one alone.
    pub(super) fn service(self) -> &'static str {
        match self {
            Self::Codec => CODEC_SERVICE,
            Self::Image => IMAGE_SERVICE,
            Self::Text => TEXT_SERVICE,
            Self::Audio => AUDIO_SERVICE,
            Self::Tensor => INFERENCE_SERVICE,
        }
    }

    /// Where it listens alone.
    pub(super) fn default_listen(self) -> SocketAddr {
        let port = match self {
            Self::Codec => 50052,
            Self::Text => 50053,
            Self::Image => 50054,
            Self::Audio => 50055,
            Self::Tensor => 50056,
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// What the gateway must know of it.
    pub(super) fn route(self, uri: String) -> Route {
        // Which role has a model for raw tensors the gateway finds out by itself.
        let own = |service: &&str| *service != INFERENCE_SERVICE;
        let services = Some(self.service()).filter(own).map(str::to_owned).into_iter().collect();
        Route { role: self.name().into(), services, uri }
    }
}

/// Gives a server its models, once they are loaded.
pub(super) struct Fill {
    domain: Domain,
    health: Health,
    give: Give,
}

type Give = Box<dyn FnOnce(Engine) + Send>;

/// A server that answers UNAVAILABLE until it is [filled](Fill::fill).
pub(super) fn server(domain: Domain, config: &ServerConfig, metrics: &Metrics) -> (Server, Fill) {
    let limit = config.max_message_bytes;
    let models = Late::new();
    let server = Server::new(domain.name(), config.clone())
        .metrics(metrics)
        .descriptor_set(atelier_proto::FILE_DESCRIPTOR_SET)
        .add_service(models.clone());
    let tensors = Tensors::new(domain.kinds());
    let server =
        server.add_service(GrpcInferenceServiceServer::new(tensors.clone()).max_decoding_message_size(limit));
    let give_models = move |engine: &Engine| {
        let own = OwnModels::new(engine.clone(), domain);
        models.set(ModelServiceServer::new(own).max_decoding_message_size(limit));
        tensors.set(engine.clone());
    };
    let (server, give_service) = match domain {
        Domain::Codec => add(server, move |engine| {
            CodecServiceServer::new(Codec::new(engine)).max_decoding_message_size(limit)
        }),
        Domain::Image => add(server, move |engine| {
            ImageServiceServer::new(Images::new(engine)).max_decoding_message_size(limit)
        }),
        Domain::Text => add(server, move |engine| {
            TextServiceServer::new(Text::new(engine)).max_decoding_message_size(limit)
        }),
        Domain::Audio => add(server, move |engine| {
            AudioServiceServer::new(Speech::new(engine)).max_decoding_message_size(limit)
        }),
        // It has no service but that for raw tensors.
        Domain::Tensor => (server, Box::new(|_| {}) as Give),
    };
    let give = Box::new(move |engine: Engine| {
        give_models(&engine);
        give_service(engine);
    });
    let health = server.health();
    (server, Fill { domain, health, give })
}

/// Adds a service that will be made of the engine.
fn add<S>(server: Server, make: impl FnOnce(Engine) -> S + Send + 'static) -> (Server, Give)
where
    S: tower::Service<Request, Response = Response, Error = Infallible, Future: Send>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
{
    let late = Late::new();
    let server = server.add_service(late.clone());
    (server, Box::new(move |engine| late.set(make(engine))))
}

impl Fill {
    /// Serves these models from now on; the health of the server follows theirs until the task ends.
    pub(super) fn fill(self, engine: &Engine) -> JoinHandle<()> {
        (self.give)(engine.clone());
        self.health.set(MODEL_SERVICE, true);
        watch::update(&self.health, engine, self.domain);
        watch::follow(self.health, engine.clone(), self.domain)
    }
}

/// `atelier serve codec`, `image`, `text`, `audio` and `tensor`.
///
/// # Errors
/// `CannotServe` where it cannot start.
pub(super) async fn run(domain: Domain, config: RoleConfig, admin: Admin) -> Result<(), Failure> {
    let stop = stop::on_signal();
    super::check(&config.server)?;
    let engine = config.engine.engine(&config.device, config.onnxruntime)?;
    let (listener, _) = listen::bind(&format!("{} role", domain.name()), config.listen).await?;
    let (period, grace) = (config.engine.reload(), config.server.shutdown.drain);
    let reload = Reload::new(config.models.clone(), domain.kinds().to_vec(), period, grace);
    let (server, fill) = server(domain, &config.server, &admin.metrics);
    admin.probes.follow(server.health());
    // Before packages are opened: to read large ones takes minutes, and whoever asks meanwhile whether the
    // process is alive must have an answer.
    let serving = tokio::spawn(server.serve(listener, stop.clone().cancelled_owned()));
    let opening = Stock::open(config.models, domain.kinds().to_vec(), engine);
    let load = async { opening.await?.load().await };
    let engine = match stop.run_until_cancelled(load).await {
        None => stop::leave(ended(domain.name(), serving.await)),
        Some(Ok(engine)) => engine,
        Some(Err(failure)) => {
            // Nothing was served yet: whoever called was told that it is loading.
            serving.abort();
            return Err(failure);
        }
    };
    super::admin::show(&admin, &engine);
    let following = fill.fill(&engine);
    let reloading = reload.follow(engine.clone());
    tracing::info!(role = domain.name(), models = engine.models().len(), "serving");
    let ended = ended(domain.name(), serving.await);
    following.abort();
    reloading.inspect(JoinHandle::abort);
    // Whoever asked was answered or cut off: no more is waited for than the runs in progress.
    engine.shutdown(Duration::ZERO).await;
    ended
}

/// How a server ended.
///
/// # Errors
/// `Other` where it broke.
pub(super) fn ended(
    role: &str,
    result: Result<Result<Drained, ServeError>, tokio::task::JoinError>,
) -> Result<(), Failure> {
    match result {
        Ok(Ok(Drained { cut: 0 })) => {
            tracing::info!(role, "stopped");
            Ok(())
        }
        Ok(Ok(Drained { cut })) => {
            tracing::warn!(role, cut, "stopped; requests that took too long were cut off");
            Ok(())
        }
        Ok(Err(error)) => Err(Failure::new(Exit::CannotServe, format!("the {role} role: {error}"))),
        Err(error) => Err(Failure::new(Exit::Other, format!("the {role} role broke: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_belongs_to_one_role_at_most() {
        for kind in Kind::ALL {
            let owners = Domain::ALL.into_iter().filter(|domain| domain.kinds().contains(&kind)).count();
            assert!(owners <= 1, "{kind}");
        }
    }
}
