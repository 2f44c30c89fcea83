//! When a server stops, and in what order.
//!
//! 1. Health says NOT_SERVING; requests are still served for [`ShutdownConfig::not_ready_wait`], while
//!    load balancers take notice.
//! 2. No new connections; GOAWAY on each that there is; health watches and reflection end.
//! 3. What is under way goes on, for [`ShutdownConfig::drain`] at most.
//! 4. What is left ends with UNAVAILABLE, and connections whose peer does not answer are dropped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long the stages of a shutdown take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long to go on serving after health says NOT_SERVING. Default 0 s; on Kubernetes, what its
    /// endpoints take to notice.
    #[serde(with = "humantime_serde")]
    pub not_ready_wait: Duration,
    /// How long requests under way may take after that. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { not_ready_wait: Duration::ZERO, drain: Duration::from_secs(30) }
    }
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many requests were cut off because the drain took too long; 0 is a clean shutdown.
    pub cut: usize,
}

/// Resolves at the first SIGTERM or SIGINT. Where signals cannot be listened to, which is logged, never.
pub async fn signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot listen to SIGINT");
            std::future::pending::<()>().await;
        }
        "SIGINT"
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(error) => {
                tracing::error!(%error, "cannot listen to SIGTERM");
                std::future::pending::<()>().await;
            }
        }
        "SIGTERM"
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<&str>();
    let signal = tokio::select! {
        signal = interrupt => signal,
        signal = terminate => signal,
    };
    tracing::info!(signal, "asked to stop");
}
