//! Which role has which model.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atelier_chassis::ServiceError;
use atelier_proto::inference as api;
use atelier_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use futures_util::future::join_all;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use crate::backend::Backend;
use crate::upstream::Upstream;

/// How long a role may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(5);

/// The models of the roles, as they last said. A name that is not there is asked for anew, so that a role may
/// come later; what a role has that was lost is forgotten, for it may come back with other models.
#[derive(Debug)]
pub(crate) struct Catalog {
    backends: Vec<Arc<Backend>>,
    /// What each role has; `None` where it has not said.
    known: Mutex<Vec<Option<BTreeSet<String>>>>,
    /// When the roles were last asked. Held while they are: many who miss a name ask once.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

/// A client of a role.
pub(super) type Client = GrpcInferenceServiceClient<Upstream>;

impl Catalog {
    /// Nothing is known yet of these roles.
    pub(crate) fn new(backends: Vec<Arc<Backend>>) -> Self {
        let known = backends.iter().map(|_| None).collect();
        Self { backends, known: Mutex::new(known), asked: tokio::sync::Mutex::default() }
    }

    /// The role that has a model; `field` is what the request calls it.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an empty name, NOT_FOUND with what there is, UNAVAILABLE where a role that may have it
    /// cannot be reached.
    pub(super) async fn find(&self, field: &'static str, name: &str) -> Result<Arc<Backend>, ServiceError> {
        if name.is_empty() {
            return Err(ServiceError::invalid(field, "is empty, but must name a model"));
        }
        if let Some(backend) = self.owner(name) {
            return Ok(backend);
        }
        let came = Instant::now();
        let mut asked = self.asked.lock().await;
        // Whoever waited for others who asked has their answer.
        if asked.is_none_or(|asked| asked < came) {
            *asked = Some(Instant::now());
            self.ask().await;
        }
        drop(asked);
        self.owner(name).ok_or_else(|| self.missing(name))
    }

    /// A role was lost, and may come back with other models.
    pub(crate) fn forget(&self, backend: &Backend) {
        let place = self.backends.iter().position(|known| known.role == backend.role);
        if let Some(entry) = place.and_then(|place| self.known().get_mut(place).map(std::mem::take)) {
            tracing::debug!(
                role = backend.role,
                models = entry.map_or(0, |models| models.len()),
                "forgot its models"
            );
        }
    }

    /// Asks every role, at the same time; what each answers, in the order of the roles.
    pub(super) async fn each<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        metadata: &MetadataMap,
        ask: impl Fn(Client, Request<()>) -> F,
    ) -> Vec<Result<T, Status>> {
        join_all(self.backends.iter().map(|backend| {
            let mut request = Request::new(());
            // The caller's request id goes along; its deadline needs no passing on, for when it passes the
            // chassis drops our answer and these calls with it.
            if let Some(id) = metadata.get("x-request-id") {
                request.metadata_mut().insert("x-request-id", id.clone());
            }
            let client = Client::new(backend.upstream.clone()).max_decoding_message_size(usize::MAX);
            let answer = tokio::time::timeout(PATIENCE, ask(client, request));
            async move {
                let answer = answer.await.unwrap_or_else(|_| Err(Status::deadline_exceeded("took too long")));
                answer.map(Response::into_inner).inspect_err(|status| {
                    let (role, code) = (&backend.role, status.code());
                    tracing::debug!(
                        role,
                        ?code,
                        error = status.message(),
                        "a role does not answer for the fleet"
                    );
                })
            }
        }))
        .await
    }

    /// That no role can be reached.
    pub(super) fn nobody(&self) -> ServiceError {
        let roles: Vec<&str> = self.backends.iter().map(|backend| backend.role.as_str()).collect();
        ServiceError::unavailable(format!("no role can be reached: {}", roles.join(", ")))
    }

    async fn ask(&self) {
        let answers = self
            .each(&MetadataMap::new(), |mut client, request| async move {
                client.repository_index(request.map(|()| api::RepositoryIndexRequest::default())).await
            })
            .await;
        let mut known = self.known();
        for (entry, answer) in known.iter_mut().zip(answers) {
            match answer {
                Ok(index) => *entry = Some(index.models.into_iter().map(|model| model.name).collect()),
                // A role that does not speak this has none of it.
                Err(status) if status.code() == Code::Unimplemented => *entry = Some(BTreeSet::new()),
                // What it had it may still have.
                Err(_) => {}
            }
        }
    }

    /// The role that has a model of this package, in whichever version and graph: it knows best what is wrong with
    /// the rest of the name.
    fn owner(&self, name: &str) -> Option<Arc<Backend>> {
        let known = self.known();
        let has = |models: &BTreeSet<String>| models.iter().any(|model| package(model) == package(name));
        let mut owners = self.backends.iter().zip(known.iter());
        owners.find(|(_, models)| models.as_ref().is_some_and(has)).map(|(backend, _)| Arc::clone(backend))
    }

    fn missing(&self, name: &str) -> ServiceError {
        let known = self.known();
        let silent = self.backends.iter().zip(known.iter()).filter(|(_, models)| models.is_none());
        let silent: Vec<&str> = silent.map(|(backend, _)| backend.role.as_str()).collect();
        if silent.is_empty() {
            let models: BTreeSet<String> = known.iter().flatten().flatten().cloned().collect();
            return ServiceError::not_found("model", name, models);
        }
        let roles = silent.join(", ");
        ServiceError::unavailable(format!(
            "a role that may have the model {name:?} cannot be reached: {roles}"
        ))
    }

    fn known(&self) -> MutexGuard<'_, Vec<Option<BTreeSet<String>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The package of a model: `fashion-vae` of `fashion-vae.decoder`.
fn package(model: &str) -> &str {
    model.split_once('.').map_or(model, |(package, _)| package)
}
