//! One process of a role: a channel to it, and what is known of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tonic::transport::Channel;

use super::outlier::Outlier;
use super::pick::Standing;

/// An address of a role that was found.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(super) id: Id,
    pub(crate) channel: Channel,
    in_flight: AtomicUsize,
    /// What it says of its services; nothing of one that has not been heard of.
    serving: Mutex<BTreeMap<String, bool>>,
    outlier: Mutex<Outlier>,
}

/// Which of the route's addresses, and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(super) target: usize,
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    pub(super) fn new(id: Id, channel: Channel) -> Self {
        let (serving, outlier) = (Mutex::default(), Mutex::default());
        Self { id, channel, in_flight: AtomicUsize::new(0), serving, outlier }
    }

    /// Which one it is.
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// It says of a service whether it serves it, or was lost.
    pub(crate) fn set_serving(&self, service: &str, serving: bool) {
        let mut all = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(service) {
            Some(known) => *known = serving,
            None => drop(all.insert(service.to_owned(), serving)),
        }
    }

    /// What it says of a service.
    pub(crate) fn is_serving(&self, service: &str) -> Option<bool> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).get(service).copied()
    }

    /// Whether it is left alone for now.
    pub(crate) fn is_out(&self) -> bool {
        self.outlier.lock().unwrap_or_else(PoisonError::into_inner).is_out(Instant::now())
    }

    pub(super) fn standing(&self, service: &str) -> Standing {
        match self.is_serving(service) {
            _ if self.is_out() => Standing::Doubtful,
            Some(true) => Standing::Serving,
            None => Standing::Unknown,
            Some(false) => Standing::Doubtful,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A call did well or not. Says whether the endpoint is left alone from now on.
    pub(super) fn note(&self, failed: bool) -> bool {
        let mut outlier = self.outlier.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            return outlier.failed(Instant::now());
        }
        outlier.succeeded(Instant::now());
        false
    }
}

/// A call that is under way at an endpoint. Dropped, it is over.
#[derive(Debug)]
pub(crate) struct Visit(Arc<Endpoint>);

impl Visit {
    pub(super) fn begin(endpoint: Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
