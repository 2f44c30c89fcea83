//! Logs and traces of a process.

mod filter;
pub mod propagation;

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, reload};

pub use filter::LogFilter;

use crate::trace::PROBE;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged and where traces go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// "text" (default) or "json". Log lines go to standard error.
    pub format: LogFormat,
    /// What is logged, in the syntax of `tracing-subscriber`'s `EnvFilter`. Default "info".
    pub filter: String,
    /// Where spans are sent by OTLP over gRPC, for example "http://collector:4317". Default: nowhere.
    pub otlp_endpoint: Option<String>,
    /// The part of the requests that are traced, from 0 to 1, where their caller has not decided (by the flag in
    /// `traceparent`). Default 1.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".into(), otlp_endpoint: None, sample_ratio: 1.0 }
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is malformed.
    #[error(
        "telemetry.filter: {filter:?} is no filter, must be like \"info\" or \"info,atelier_engine=debug\""
    )]
    Filter {
        /// What it is.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The part of the requests is none.
    #[error("telemetry.sample_ratio: is {0}, must be from 0 to 1")]
    Ratio(f64),
    /// The exporter cannot be built.
    #[error("telemetry.otlp_endpoint: {endpoint:?} cannot be used, must be like \"http://collector:4317\"")]
    Exporter {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Something else in the process set it up before.
    #[error("telemetry is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Telemetry that has been set up; [`shutdown`](Self::shutdown) sends what is still held back.
#[derive(Debug)]
#[must_use = "spans that are not flushed at the end are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    filter: LogFilter,
}

impl Telemetry {
    /// Sets up logs and traces for the process, once. `service` is the name that traces carry. To be
    /// called on a tokio runtime where an endpoint is configured.
    pub fn init(service: &str, config: &TelemetryConfig) -> Result<Self, TelemetryError> {
        let (filter, handle) = reload::Layer::new(filter::parse(&config.filter)?);
        if !(0.0..=1.0).contains(&config.sample_ratio) {
            return Err(TelemetryError::Ratio(config.sample_ratio));
        }
        let endpoint = config.otlp_endpoint.as_deref();
        let provider =
            endpoint.map(|endpoint| provider(service, endpoint, config.sample_ratio)).transpose()?;
        let colour = std::io::stderr().is_terminal();
        let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(std::io::stderr);
        let lines = match config.format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        // What is logged is one thing, and what is traced another: our own spans, whatever the filter of the log.
        let ours = filter_fn(|it| match it.is_span() {
            true => it.target().starts_with("atelier") && it.name() != PROBE,
            false => *it.level() <= tracing::Level::INFO,
        });
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer("atelier")).with_filter(ours)
        });
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces).try_init()?;
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        log_panics();
        Ok(Self { provider, filter: LogFilter::new(handle) })
    }

    /// What is logged, to be changed while the process runs.
    pub fn filter(&self) -> LogFilter {
        self.filter.clone()
    }

    /// Sends the spans that are still held back. What cannot be sent is logged and dropped.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        // Blocks until the collector has answered.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot flush traces"),
            Err(error) => tracing::warn!(%error, "cannot flush traces"),
        }
    }
}

fn provider(service: &str, endpoint: &str, sample_ratio: f64) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })?;
    let resource = Resource::builder().with_service_name(service.to_owned()).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio)));
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(sampler);
    Ok(provider.with_resource(resource).build())
}

/// Panics become log lines like any other, in the span of the request that they belong to.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(location, message, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_names_the_field() {
        let config = TelemetryConfig { filter: "atelier=loud".into(), ..TelemetryConfig::default() };
        let error = Telemetry::init("test", &config).unwrap_err();
        assert!(error.to_string().starts_with("telemetry.filter: \"atelier=loud\""), "{error}");
    }

    #[test]
    fn a_part_that_is_none_names_the_field() {
        for sample_ratio in [-0.1, 1.1, f64::NAN] {
            let config = TelemetryConfig { sample_ratio, ..TelemetryConfig::default() };
            let error = Telemetry::init("test", &config).unwrap_err().to_string();
            assert!(
                error.starts_with("telemetry.sample_ratio: is ") && error.ends_with("from 0 to 1"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_bad_endpoint_names_the_field() {
        let config =
            TelemetryConfig { otlp_endpoint: Some("not a uri".into()), ..TelemetryConfig::default() };
        let error = Telemetry::init("test", &config).unwrap_err();
        assert!(error.to_string().starts_with("telemetry.otlp_endpoint: \"not a uri\""), "{error}");
    }
}
