//! What `up` and `serve` can be told, by file, environment and flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use atelier_chassis::telemetry::TelemetryConfig;
use atelier_chassis::tls::ClientTls;
use atelier_chassis::{AdminConfig, ServerConfig};
use atelier_engine::{Batching, Config as EngineConfig};
use atelier_gateway::{AccessConfig, GatewayConfig, Route};
use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;

/// The port of the gateway.
pub(super) const GATEWAY_PORT: u16 = 50051;

/// The configuration of `atelier up`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UpConfig {
    /// The directory of packages. Default "models".
    pub(crate) models: PathBuf,
    /// Where graphs run: "cpu" (default), "cuda" or "cuda:N".
    pub(crate) device: String,
    /// The ONNX Runtime library. Default: that of `ORT_DYLIB_PATH`.
    pub(crate) onnxruntime: Option<PathBuf>,
    /// Where the roles listen.
    pub(crate) listen: Listen,
    /// How models are run.
    pub(crate) engine: EngineSection,
    /// Who may call the gateway.
    pub(crate) access: AccessConfig,
    /// The limits of every server. TLS and the age of connections concern the gateway alone: the roles behind it
    /// are in the same process.
    pub(crate) server: ServerConfig,
    /// Logs and traces.
    pub(crate) telemetry: TelemetryConfig,
    /// The operator's door: metrics, queues, the log filter.
    pub(crate) admin: AdminConfig,
}

/// Where the roles of `atelier up` listen. Port 0 is one that is free.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    /// Default 127.0.0.1:50051.
    pub(crate) gateway: SocketAddr,
    /// Default 127.0.0.1:0.
    pub(crate) codec: SocketAddr,
    /// Default 127.0.0.1:0.
    pub(crate) image: SocketAddr,
    /// Default 127.0.0.1:0.
    pub(crate) text: SocketAddr,
    /// Default 127.0.0.1:0.
    pub(crate) audio: SocketAddr,
    /// Default 127.0.0.1:0.
    pub(crate) tensor: SocketAddr,
}

/// The configuration of `atelier serve codec`, `image`, `text`, `audio` and `tensor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RoleConfig {
    /// Where it listens. Default 127.0.0.1, port 50052 for codec, 50053 for text, 50054 for image, 50055 for
    /// audio, 50056 for tensor.
    pub(crate) listen: SocketAddr,
    /// As for `up`.
    pub(crate) models: PathBuf,
    /// As for `up`.
    pub(crate) device: String,
    /// As for `up`.
    pub(crate) onnxruntime: Option<PathBuf>,
    /// How models are run.
    pub(crate) engine: EngineSection,
    /// The limits of the server.
    pub(crate) server: ServerConfig,
    /// Logs and traces.
    pub(crate) telemetry: TelemetryConfig,
    /// As for `up`.
    pub(crate) admin: AdminConfig,
}

/// The configuration of `atelier serve gateway`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GatewayRoleConfig {
    /// Where it listens. Default 127.0.0.1:50051.
    pub(crate) listen: SocketAddr,
    /// How long connecting to a role may take, in milliseconds. Default 2000.
    pub(crate) connect_timeout_ms: u64,
    /// How often the names of the routes are looked up again. Default "5s".
    #[serde(with = "humantime_serde")]
    pub(crate) resolve_interval: Duration,
    /// What it shows of itself to roles that speak TLS, and whom it believes.
    pub(crate) upstream_tls: ClientTls,
    /// Who may call.
    pub(crate) access: AccessConfig,
    /// The limits of the server.
    pub(crate) server: ServerConfig,
    /// Logs and traces.
    pub(crate) telemetry: TelemetryConfig,
    /// As for `up`.
    pub(crate) admin: AdminConfig,
    /// The roles, each with its services and its address.
    pub(crate) routes: Vec<Route>,
}

/// How models are run. The defaults fit a small machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EngineSection {
    /// The cores to use. Default: those that the process may use.
    pub(crate) parallelism: Option<usize>,
    /// "exact" (default): an answer has the same bits whatever else is served. "fast": the last bits may
    /// differ.
    pub(crate) batching: BatchingMode,
    /// The most rows in a batch. Default 32.
    pub(crate) max_batch: usize,
    /// The most rows that wait for one graph. Default 1024.
    pub(crate) queue_rows: usize,
    /// The most requests that wait for one graph. Default 512.
    pub(crate) queue_requests: usize,
    /// The most bytes of inputs that wait for one graph or are in its batches. Default 536870912 (512 MiB).
    pub(crate) queue_bytes: usize,
    /// Seconds after which a run is given up. Default 60.
    pub(crate) longest_run_seconds: u64,
    /// Microseconds that the first rows of a batch that is not full wait for others although a worker is free: more
    /// requests with the same cores where a row is much cheaper in a large batch. Default 0.
    pub(crate) max_queue_delay_us: u64,
    /// On a GPU: each batch size of a graph is recorded once as a CUDA graph, and then launched as a whole instead of kernel
    /// by kernel. Default false.
    pub(crate) cuda_graphs: bool,
    /// How often the models directory is looked at for packages that came or went, in seconds; 0: never.
    /// Default 10.
    pub(crate) reload_seconds: u64,
    /// The most streams that advance together through one graph. Default 32.
    pub(crate) slots: usize,
    /// The most streams that wait for that. Default 128.
    pub(crate) waiting: usize,
    /// The most chunks that a stream is ahead of its client. Default 64.
    pub(crate) stream_buffer: usize,
}

/// What may differ between a row that is run alone and one that is run with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BatchingMode {
    /// Nothing.
    #[default]
    Exact,
    /// The last bits.
    Fast,
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl Default for UpConfig {
    fn default() -> Self {
        Self {
            models: "models".into(),
            device: "cpu".into(),
            onnxruntime: None,
            listen: Listen::default(),
            engine: EngineSection::default(),
            access: AccessConfig::default(),
            server: ServerConfig::default(),
            telemetry: TelemetryConfig::default(),
            admin: AdminConfig::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let free = loopback(0);
        Self {
            gateway: loopback(GATEWAY_PORT),
            codec: free,
            image: free,
            text: free,
            audio: free,
            tensor: free,
        }
    }
}

impl Default for RoleConfig {
    fn default() -> Self {
        let UpConfig { models, device, onnxruntime, engine, server, telemetry, admin, .. } =
            UpConfig::default();
        Self { listen: loopback(0), models, device, onnxruntime, engine, server, telemetry, admin }
    }
}

impl Default for GatewayRoleConfig {
    fn default() -> Self {
        let GatewayConfig { routes, connect_timeout_ms, resolve_interval, upstream_tls, access, server } =
            GatewayConfig::default();
        Self {
            listen: loopback(GATEWAY_PORT),
            connect_timeout_ms,
            resolve_interval,
            upstream_tls,
            access,
            server,
            telemetry: TelemetryConfig::default(),
            admin: AdminConfig::default(),
            routes,
        }
    }
}

impl Default for EngineSection {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            parallelism: engine.parallelism,
            batching: match engine.batching {
                Batching::Exact => BatchingMode::Exact,
                Batching::Fast => BatchingMode::Fast,
            },
            max_batch: engine.max_batch,
            queue_rows: engine.queue_rows,
            queue_requests: engine.queue_requests,
            queue_bytes: engine.queue_bytes,
            longest_run_seconds: engine.longest_run.as_secs(),
            max_queue_delay_us: u64::try_from(engine.max_queue_delay.as_micros()).unwrap_or(u64::MAX),
            cuda_graphs: engine.cuda_graphs,
            reload_seconds: 10,
            slots: engine.slots,
            waiting: engine.waiting,
            stream_buffer: engine.stream_buffer,
        }
    }
}

impl EngineSection {
    /// How often the models directory is looked at.
    pub(super) fn reload(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.reload_seconds)).filter(|period| !period.is_zero())
    }

    /// The engine's own configuration.
    ///
    /// # Errors
    /// `Usage` for a device that is none.
    pub(super) fn engine(&self, device: &str, runtime: Option<PathBuf>) -> Result<EngineConfig, Failure> {
        Ok(EngineConfig {
            device: device.parse().map_err(|e| Failure::usage(format!("{e}")))?,
            parallelism: self.parallelism,
            runtime,
            batching: match self.batching {
                BatchingMode::Exact => Batching::Exact,
                BatchingMode::Fast => Batching::Fast,
            },
            calibrated: true,
            max_batch: self.max_batch,
            queue_rows: self.queue_rows,
            queue_requests: self.queue_requests,
            queue_bytes: self.queue_bytes,
            longest_run: Duration::from_secs(self.longest_run_seconds),
            max_queue_delay: Duration::from_micros(self.max_queue_delay_us),
            cuda_graphs: self.cuda_graphs,
            slots: self.slots,
            waiting: self.waiting,
            stream_buffer: self.stream_buffer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_none_is_wrong_usage() {
        let wrong = EngineSection::default().engine("gpu", None).unwrap_err();
        assert_eq!(wrong.exit(), crate::cli::failure::Exit::Usage);
        assert!(wrong.to_string().starts_with("device: "), "{wrong}");
    }

    #[test]
    fn the_engines_defaults_are_ours() {
        let engine = EngineSection::default().engine("cpu", None).unwrap();
        assert_eq!(engine, EngineConfig::default());
    }
}
