//! The gateway's health follows that of the roles, service by service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atelier_chassis::{Health, health::OVERALL};
use tokio::task::JoinSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::backend::Backend;
use crate::inference::{Catalog, SERVICE_NAME as INFERENCE_SERVICE};

/// How long to wait before a role that was lost is asked again: doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Follows every service of every role, until the set is dropped. `own` is the name of the service that
/// the gateway answers itself from what the roles say. Raw tensors are served where any role serves them; the
/// models of a role that is lost leave the catalog.
pub(crate) fn start(
    health: Health,
    backends: &[Arc<Backend>],
    catalog: &Arc<Catalog>,
    own: &'static str,
) -> JoinSet<()> {
    let services = backends.iter().flat_map(|backend| backend.services.clone());
    let all: Arc<[String]> = services.chain([INFERENCE_SERVICE.to_owned()]).collect();
    let inferring: Arc<[AtomicBool]> = backends.iter().map(|_| AtomicBool::new(false)).collect();
    let mut tasks = JoinSet::new();
    for (place, backend) in backends.iter().enumerate() {
        let inference = INFERENCE_SERVICE.to_owned();
        for service in backend.services.iter().chain([&inference]) {
            let follow = Follow {
                health: health.clone(),
                backend: Arc::clone(backend),
                place,
                service: service.clone(),
                all: Arc::clone(&all),
                inferring: Arc::clone(&inferring),
                catalog: Arc::clone(catalog),
                own,
            };
            tasks.spawn(follow.run());
        }
    }
    tasks
}

struct Follow {
    health: Health,
    backend: Arc<Backend>,
    place: usize,
    service: String,
    all: Arc<[String]>,
    /// Which roles serve raw tensors.
    inferring: Arc<[AtomicBool]>,
    catalog: Arc<Catalog>,
    own: &'static str,
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

    /// Watches until the role is lost; says whether it was there at all.
    async fn watch(&self) -> bool {
        let mut client = HealthClient::new(self.backend.channel.clone());
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
        let mut serving = serving;
        if self.service == INFERENCE_SERVICE {
            if !serving {
                self.catalog.forget(&self.backend);
            }
            if let Some(own) = self.inferring.get(self.place) {
                own.store(serving, Ordering::Release);
            }
            serving = self.inferring.iter().any(|role| role.load(Ordering::Acquire));
        }
        if self.health.is_serving(&self.service) != Some(serving) {
            tracing::info!(
                role = self.backend.role,
                service = self.service,
                serving,
                "a role's health changed"
            );
        }
        self.health.set(self.service.as_str(), serving);
        // A door with nothing behind it is not ready; one role that is down does not close it.
        let any = self.all.iter().any(|service| self.health.is_serving(service) == Some(true));
        self.health.set(self.own, any);
        self.health.set(OVERALL, any);
    }
}
