//! Which endpoints a role has: its names are looked up again and again.
//!
//! The system's resolver tells no time to live, so it is asked at an interval, and sooner where an endpoint cannot be
//! reached. In Kubernetes a headless Service is such a name: pods that are ready are in it, those that go leave it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::endpoint::{Endpoint, Id};
use super::target::{Certificates, Target};

/// How long a lookup may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A name is not looked up more often, whatever cannot be reached.
const PAUSE: Duration = Duration::from_millis(500);

/// The endpoints of a role, as they are known now.
pub(crate) type Endpoints = Arc<[Arc<Endpoint>]>;

/// Finds the endpoints of a role.
#[derive(Debug)]
pub(super) struct Discovery {
    role: String,
    targets: Vec<Target>,
    certificates: Option<Certificates>,
    interval: Duration,
    /// What each target stood for when it was last known.
    known: Vec<BTreeSet<SocketAddr>>,
    found: watch::Sender<Endpoints>,
    sooner: Arc<Notify>,
}

impl Discovery {
    /// Addresses are endpoints at once; names have to be looked up.
    pub(super) fn new(
        role: String,
        (targets, certificates): (Vec<Target>, Option<Certificates>),
        interval: Duration,
        sooner: Arc<Notify>,
    ) -> (Self, watch::Receiver<Endpoints>) {
        let known = targets.iter().map(|target| target.literal().into_iter().collect()).collect();
        let (found, endpoints) = watch::channel(Endpoints::default());
        let mut discovery = Self { role, targets, certificates, interval, known, found, sooner };
        discovery.publish();
        (discovery, endpoints)
    }

    /// Looks up names and looks after certificates until it is dropped.
    pub(super) async fn run(mut self) {
        match self.certificates.take() {
            Some(certificates) => _ = tokio::join!(certificates.run(), self.look_up()),
            None => self.look_up().await,
        }
    }

    async fn look_up(mut self) {
        if self.targets.iter().all(|target| target.literal().is_some()) {
            return std::future::pending().await;
        }
        loop {
            self.look().await;
            tokio::time::sleep(PAUSE.min(self.interval)).await;
            let rest = self.interval.saturating_sub(PAUSE);
            // That it is not needed sooner is no error.
            let _ = tokio::time::timeout(rest, self.sooner.notified()).await;
        }
    }

    async fn look(&mut self) {
        for (target, known) in self.targets.iter().zip(&mut self.known) {
            let looked = tokio::time::timeout(PATIENCE, target.resolve()).await;
            let looked = looked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
            match looked {
                Ok(addresses) if !addresses.is_empty() => *known = addresses,
                // A resolver that is down takes no endpoints away, and neither does a name that stands for nothing:
                // what is there no longer cannot be reached, which says the same.
                Ok(_) => tracing::debug!(role = self.role, %target, "its name stands for nothing"),
                Err(error) if known.is_empty() => {
                    tracing::warn!(role = self.role, %target, %error, "its name cannot be resolved");
                }
                Err(error) => {
                    tracing::debug!(role = self.role, %target, %error, "its name cannot be resolved now");
                }
            }
        }
        self.publish();
    }

    /// Endpoints that stay are the same as before, connections and all.
    fn publish(&mut self) {
        let before = self.found.borrow().clone();
        let ids = self
            .known
            .iter()
            .enumerate()
            .flat_map(|(target, addresses)| addresses.iter().map(move |&address| Id { target, address }));
        let ids: BTreeSet<Id> = ids.collect();
        if ids.len() == before.len() && before.iter().all(|endpoint| ids.contains(&endpoint.id)) {
            return;
        }
        let stays = |id: &Id| before.iter().find(|endpoint| endpoint.id == *id).cloned();
        let make = |id: Id| {
            let channel = self.targets.get(id.target)?.channel(id.address)?;
            Some(Arc::new(Endpoint::new(id, channel)))
        };
        let endpoints: Endpoints = ids.iter().filter_map(|id| stays(id).or_else(|| make(*id))).collect();
        let addresses: Vec<String> = ids.iter().map(|id| id.address.to_string()).collect();
        tracing::info!(role = self.role, endpoints = addresses.join(", "), "found a role's endpoints");
        self.found.send_replace(endpoints);
    }
}
