//! The operator's door: metrics, queues, probes and the log filter, over HTTP/1 on a port of its own.
//!
//! | path | method | |
//! | --- | --- | --- |
//! | `/metrics` | GET | [`Metrics`], in the text format of Prometheus |
//! | `/debug/queues` | GET | [`Queues`], as JSON |
//! | `/livez` | GET | 200 as long as the process answers anything, models or not, draining or not |
//! | `/readyz` | GET | 200 where the server as a whole says SERVING, as `grpc.health.v1` does, else 503 |
//! | `/log` | GET | what is logged |
//! | `/log` | PUT | sets it to the body, as of now |
//!
//! Nothing in it is secret, but whoever reaches it can change what is logged: it listens only where it is told
//! to, and that should be no address that callers can reach.

mod probes;
mod queues;
mod routes;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::metrics::Metrics;
use crate::telemetry::LogFilter;
pub use probes::Probes;
pub use queues::Queues;

/// A scraper, its stand-in, and a few people; more wait.
const MAX_CONNECTIONS: usize = 32;
/// How long a request may take to arrive.
const ARRIVE: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where the operator's door is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where it listens, for example "127.0.0.1:9090"; port 0 is one that is free, and is logged. Default:
    /// nowhere.
    pub listen: Option<SocketAddr>,
}

/// What the operator's door shows. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    /// What is counted and measured.
    pub metrics: Metrics,
    /// What waits and runs.
    pub queues: Queues,
    /// Whether it is ready.
    pub probes: Probes,
    /// What is logged.
    pub log: Option<LogFilter>,
}

impl Admin {
    /// Of this process, whose log has this filter.
    pub fn of_process(log: LogFilter) -> Self {
        Self {
            metrics: Metrics::of_process(),
            queues: Queues::default(),
            probes: Probes::default(),
            log: Some(log),
        }
    }

    /// Serves until it is dropped.
    pub async fn serve(self, listener: TcpListener) -> Infallible {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        // Dropped, and so ended, with this future.
        let mut connections = JoinSet::new();
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await;
            while connections.try_join_next().is_some() {}
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin port cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let admin = self.clone();
            connections.spawn(async move {
                let _slot = slot;
                admin.connection(stream).await;
            });
        }
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            let admin = self.clone();
            async move { Ok::<_, Infallible>(routes::answer(&admin, request).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(ARRIVE);
        if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "a connection to the admin port ended with an error");
        }
    }
}
