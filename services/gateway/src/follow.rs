//! The gateway's health follows that of the roles: a service is served where any endpoint of its role serves it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atelier_chassis::{Health, health::OVERALL};
use tokio::task::JoinSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::backend::Backend;
use crate::inference::{Catalog, SERVICE_NAME as INFERENCE_SERVICE};
use crate::upstream::Endpoint;

/// How long to wait before an endpoint that was lost is asked again: doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Finds the endpoints of every role and follows every service of each, until the set is dropped. `own` is the name
/// of the service that the gateway answers itself from what the roles say. Raw tensors are served where any role
/// serves them, and each role's under a name of their own; the models of a role that is lost leave the catalog.
pub(crate) fn start(
    health: Health,
    backends: &[Arc<Backend>],
    catalog: &Arc<Catalog>,
    own: &'static str,
) -> JoinSet<()> {
    let fleet = Arc::new(Fleet::new(health, backends, catalog, own));
    let mut tasks = JoinSet::new();
    for backend in backends {
        tasks.spawn(backend.upstream.clone().discover());
        tasks.spawn(Arc::clone(&fleet).follow(Arc::clone(backend)));
    }
    tasks
}

struct Fleet {
    health: Health,
    backends: Vec<Arc<Backend>>,
    catalog: Arc<Catalog>,
    own: &'static str,
    /// Held from what the endpoints say to what is said of it: of two who do that at once, the one that read first must
    /// not speak last.
    publishing: Mutex<()>,
}

impl Fleet {
    fn new(health: Health, backends: &[Arc<Backend>], catalog: &Arc<Catalog>, own: &'static str) -> Self {
        let (backends, catalog) = (backends.to_vec(), Arc::clone(catalog));
        Self { health, backends, catalog, own, publishing: Mutex::default() }
    }

    /// Follows the endpoints of a role, as they come and go.
    async fn follow(self: Arc<Self>, backend: Arc<Backend>) {
        let mut changes = backend.upstream.endpoints();
        let mut following = HashMap::new();
        loop {
            let endpoints = changes.borrow_and_update().clone();
            following.retain(|id, _| endpoints.iter().any(|endpoint| endpoint.id() == *id));
            for endpoint in endpoints.iter() {
                following.entry(endpoint.id()).or_insert_with(|| self.endpoint(&backend, endpoint));
            }
            // One that is gone may have been the last to serve.
            for service in services(&backend) {
                self.publish(&backend, service);
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Follows every service of an endpoint, until the set is dropped.
    fn endpoint(self: &Arc<Self>, backend: &Arc<Backend>, endpoint: &Arc<Endpoint>) -> JoinSet<()> {
        let follow = |service: &str| Follow {
            fleet: Arc::clone(self),
            backend: Arc::clone(backend),
            endpoint: Arc::clone(endpoint),
            service: service.to_owned(),
        };
        services(backend).map(|service| follow(service).run()).collect()
    }

    /// Says of a service of a role what its endpoints say.
    fn publish(&self, backend: &Backend, service: &str) {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = |backend: &Backend| {
            let endpoints = backend.upstream.endpoints();
            endpoints.borrow().iter().any(|endpoint| endpoint.is_serving(service) == Some(true))
        };
        let own = serves(backend);
        if service == INFERENCE_SERVICE {
            if !own {
                self.catalog.forget(backend);
            }
            self.say(backend, &backend.tensors(), own);
            self.say(backend, service, self.backends.iter().any(|backend| serves(backend)));
        } else {
            self.say(backend, service, own);
        }
        // A door with nothing behind it is not ready; one role that is down does not close it.
        let mut all = self.backends.iter().flat_map(|backend| services(backend));
        let any = all.any(|service| self.health.is_serving(service) == Some(true));
        self.health.set(self.own, any);
        self.health.set(OVERALL, any);
    }

    fn say(&self, backend: &Backend, service: &str, serving: bool) {
        if self.health.is_serving(service) != Some(serving) {
            tracing::info!(role = backend.role, service, serving, "a role's health changed");
        }
        self.health.set(service, serving);
    }
}

/// The services that are followed of a role.
fn services(backend: &Backend) -> impl Iterator<Item = &str> {
    backend.services.iter().map(String::as_str).chain([INFERENCE_SERVICE])
}

/// One service of one endpoint.
struct Follow {
    fleet: Arc<Fleet>,
    backend: Arc<Backend>,
    endpoint: Arc<Endpoint>,
    service: String,
}

impl Follow {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.watch().await {
                pause = FIRST_PAUSE;
            }
            self.set(false);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Watches until the endpoint is lost; says whether it was there at all.
    async fn watch(&self) -> bool {
        let mut client = HealthClient::new(self.endpoint.channel.clone());
        let request = HealthCheckRequest { service: self.service.clone() };
        let Ok(answers) = client.watch(request).await else { return false };
        let mut answers = answers.into_inner();
        let mut heard = false;
        while let Ok(Some(answer)) = answers.message().await {
            heard = true;
            self.set(answer.status() == ServingStatus::Serving);
        }
        heard
    }

    fn set(&self, serving: bool) {
        self.endpoint.set_serving(&self.service, serving);
        self.fleet.publish(&self.backend, &self.service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GatewayConfig, Route};

    #[tokio::test]
    async fn what_is_said_last_is_what_is_so_whoever_says_it() {
        let (role, uri) = ("text".to_owned(), "http://127.0.0.1:1".to_owned());
        let routes = vec![Route { role, services: vec!["a.A".into()], uri }];
        let backends = crate::backend::all(&GatewayConfig { routes, ..GatewayConfig::default() }).unwrap();
        let catalog = Arc::new(Catalog::new(backends.clone()));
        let fleet = Fleet::new(Health::default(), &backends, &catalog, "models");
        let (fleet, backend) = (&fleet, &backends[0]);
        let endpoint = &Arc::clone(&backend.upstream.endpoints().borrow()[0]);
        for _ in 0..1000 {
            std::thread::scope(|scope| {
                for serving in [true, false] {
                    scope.spawn(move || {
                        endpoint.set_serving("a.A", serving);
                        fleet.publish(backend, "a.A");
                    });
                }
            });
            assert_eq!(fleet.health.is_serving("a.A"), endpoint.is_serving("a.A"));
        }
    }
}
