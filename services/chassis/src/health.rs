//! `grpc.health.v1`, service by service.
//!
//! Own, on the types of tonic-health, whose reporter says SERVING for "" from the start, which a
//! readiness probe would believe while the models are still loading.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthRpc, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::Layer;

use crate::ServiceError;
use crate::message_limit::{LimitMessages, MessageLimitLayer};

/// The name of the health service.
pub const SERVICE: &str = "grpc.health.v1.Health";

/// What the path of each health method starts with.
pub const PATH_PREFIX: &str = "/grpc.health.v1.Health/";

/// The name under which a server reports on itself as a whole.
pub const OVERALL: &str = "";

/// The name under which a server says SERVING from its first moment to its last: it tells of the process, where the
/// others tell of models and roles, for which no process should be killed.
pub const LIVENESS: &str = "liveness";

/// Names that callers watch without their existing are kept, so there must not be any number of them.
const MAX_WATCHED_UNKNOWN: usize = 1024;

/// The most bytes of a request, which holds a name and nothing else: it comes from anybody, and the name may be kept.
const MAX_REQUEST_BYTES: usize = 1 << 10;

/// The health of a server and each of its services. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    services: BTreeMap<String, watch::Sender<ServingStatus>>,
    /// Set at shutdown, after which nothing says SERVING any more.
    stopped: bool,
}

impl Health {
    /// Everything, and each of these services, is NOT_SERVING; but [`LIVENESS`] is SERVING, and stays so.
    pub fn new<N: Into<String>>(services: impl IntoIterator<Item = N>) -> Self {
        let health = Self::default();
        health.set(OVERALL, false);
        health.set(LIVENESS, true);
        for service in services {
            health.set(service, false);
        }
        health
    }

    /// Says whether a service is being served; the server as a whole under [`OVERALL`]. After
    /// [`stop`](Self::stop) nothing is.
    pub fn set(&self, service: impl Into<String>, serving: bool) {
        let mut state = self.state();
        let status =
            if serving && !state.stopped { ServingStatus::Serving } else { ServingStatus::NotServing };
        state.set(service.into(), status);
    }

    /// Says that the server and all its services are being served.
    pub fn set_ready(&self) {
        let mut state = self.state();
        if !state.stopped {
            state.set_all(ServingStatus::Serving);
        }
    }

    /// Says that nothing is being served, from now on.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.set_all(ServingStatus::NotServing);
    }

    /// Whether a service is being served; `None` where there is no such service.
    pub fn is_serving(&self, service: &str) -> Option<bool> {
        match *self.state().services.get(service)?.borrow() {
            ServingStatus::ServiceUnknown => None,
            status => Some(status == ServingStatus::Serving),
        }
    }

    /// The gRPC service.
    pub(crate) fn server(&self) -> LimitMessages<HealthServer<Self>> {
        MessageLimitLayer::new(MAX_REQUEST_BYTES).layer(HealthServer::new(self.clone()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so there is no half-made state behind a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watcher(&self, service: &str) -> Result<watch::Receiver<ServingStatus>, ServiceError> {
        let mut state = self.state();
        if let Some(sender) = state.services.get(service) {
            return Ok(sender.subscribe());
        }
        // A watch of a service that does not exist is told so, and told when it does.
        state.services.retain(|_, s| *s.borrow() != ServingStatus::ServiceUnknown || s.receiver_count() > 0);
        let unknown =
            state.services.values().filter(|s| *s.borrow() == ServingStatus::ServiceUnknown).count();
        if unknown >= MAX_WATCHED_UNKNOWN {
            return Err(ServiceError::not_found("service", service, state.known()));
        }
        let (sender, receiver) = watch::channel(ServingStatus::ServiceUnknown);
        state.services.insert(service.to_owned(), sender);
        Ok(receiver)
    }
}

impl State {
    fn set(&mut self, service: String, status: ServingStatus) {
        let sender = self.services.entry(service).or_insert_with(|| watch::Sender::new(status));
        sender.send_if_modified(|current| std::mem::replace(current, status) != status);
    }

    fn set_all(&mut self, status: ServingStatus) {
        for (_, sender) in self.services.iter().filter(|(name, _)| *name != LIVENESS) {
            sender.send_if_modified(|current| {
                *current != ServingStatus::ServiceUnknown && std::mem::replace(current, status) != status
            });
        }
    }

    fn known(&self) -> Vec<String> {
        let known = self.services.iter().filter(|(_, s)| *s.borrow() != ServingStatus::ServiceUnknown);
        known.map(|(name, _)| name.clone()).filter(|name| name != OVERALL && name != LIVENESS).collect()
    }
}

#[tonic::async_trait]
impl HealthRpc for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let serving = self
            .is_serving(&service)
            .ok_or_else(|| ServiceError::not_found("service", service, self.state().known()))?;
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let changes = WatchStream::new(self.watcher(&request.into_inner().service)?);
        let answers = changes.map(|status| Ok(HealthCheckResponse { status: status.into() }));
        Ok(Response::new(Box::pin(answers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(health: &Health, service: &str) -> Result<i32, Status> {
        let request = Request::new(HealthCheckRequest { service: service.into() });
        HealthRpc::check(health, request).await.map(|answer| answer.into_inner().status)
    }

    #[tokio::test]
    async fn nothing_is_serving_until_said_so_and_nothing_after_the_stop() {
        let health = Health::new(["a.A", "b.B"]);
        let not_serving = ServingStatus::NotServing as i32;
        let serving = ServingStatus::Serving as i32;
        for name in [OVERALL, "a.A", "b.B"] {
            assert_eq!(check(&health, name).await.unwrap(), not_serving);
        }
        assert_eq!(check(&health, LIVENESS).await.unwrap(), serving, "the process lives while models load");
        health.set("a.A", true);
        assert_eq!(check(&health, "a.A").await.unwrap(), serving);
        assert_eq!(check(&health, "b.B").await.unwrap(), not_serving);
        health.set_ready();
        assert_eq!(check(&health, OVERALL).await.unwrap(), serving);
        health.stop();
        health.set_ready();
        health.set("a.A", true);
        for name in [OVERALL, "a.A", "b.B"] {
            assert_eq!(check(&health, name).await.unwrap(), not_serving);
        }
        assert_eq!(check(&health, LIVENESS).await.unwrap(), serving, "and while it drains");
    }

    #[tokio::test]
    async fn an_unknown_service_is_not_found_and_the_known_ones_named() {
        let health = Health::new(["a.A"]);
        let status = check(&health, "c.C").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert!(status.message().contains("a.A"), "{}", status.message());
    }

    #[tokio::test]
    async fn a_watch_tells_each_change_and_of_a_service_that_comes_to_be() {
        let health = Health::new(["a.A"]);
        let request = Request::new(HealthCheckRequest { service: "later.L".into() });
        let mut watch = HealthRpc::watch(&health, request).await.unwrap().into_inner();
        let mut next = async || watch.next().await.unwrap().unwrap().status;
        assert_eq!(next().await, ServingStatus::ServiceUnknown as i32);
        assert_eq!(check(&health, "later.L").await.unwrap_err().code(), tonic::Code::NotFound);
        health.set_ready();
        health.set("later.L", true);
        assert_eq!(next().await, ServingStatus::Serving as i32);
        health.stop();
        assert_eq!(next().await, ServingStatus::NotServing as i32);
    }
}
