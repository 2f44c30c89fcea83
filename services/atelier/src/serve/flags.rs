//! The flags of `up` and `serve`, and how file, environment and flags become one configuration.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use atelier_chassis::config::{ConfigError, Layers};
use clap::ValueHint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

use super::config::{GatewayRoleConfig, RoleConfig, UpConfig};
use super::role::Domain;
use crate::cli::failure::Failure;

/// The variable that ONNX Runtime's own tools know.
const ORT_DYLIB_PATH: &str = "ORT_DYLIB_PATH";

/// Variables that begin like ours and are not of the servers: the client's, the configuration file's, the trainer's,
/// and those of `cargo xtask`.
const NOT_SERVERS: [&str; 10] = [
    "ATELIER_SERVER",
    "ATELIER_TIMEOUT",
    "ATELIER_TLS_CA",
    "ATELIER_TLS_CERT",
    "ATELIER_TLS_KEY",
    "ATELIER_API_KEY",
    "ATELIER_CONFIG",
    "ATELIER_DATA",
    "ATELIER_PYTHON",
    "ATELIER_RUNTIME",
];

/// Flags of everything that serves.
///
/// What they do not say comes from the environment (`ATELIER_DEVICE`, `ATELIER_SERVER__MAX_CONNECTIONS`
/// for `max_connections` of `[server]`), then from the file, then from defaults.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct CommonFlags {
    /// A TOML file with the configuration
    #[arg(long, env = "ATELIER_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Print the configuration, with every default and no secret, and stop
    #[arg(long)]
    pub(crate) print_config: bool,
    /// What is logged, for example warn or info,atelier_engine=debug
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Where the operator's port listens: /metrics, /debug/queues, /livez, /readyz and /log [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

/// Flags of everything that runs models.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ModelFlags {
    /// The directory of packages, NAME/VERSION/package.toml [default: models]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    models: Option<PathBuf>,
    /// Where models run: cpu, cuda or cuda:N [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The ONNX Runtime library [default: that of ORT_DYLIB_PATH]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    onnxruntime: Option<PathBuf>,
    /// How many cores to use [default: those that the process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
}

/// Flags of `atelier up`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct UpFlags {
    #[command(flatten)]
    models: ModelFlags,
    /// Where the gateway listens [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the codec role listens [default: 127.0.0.1, a free port]
    #[arg(long, value_name = "ADDRESS")]
    codec_listen: Option<SocketAddr>,
    /// Where the image role listens [default: 127.0.0.1, a free port]
    #[arg(long, value_name = "ADDRESS")]
    image_listen: Option<SocketAddr>,
    /// Where the text role listens [default: 127.0.0.1, a free port]
    #[arg(long, value_name = "ADDRESS")]
    text_listen: Option<SocketAddr>,
    /// Where the audio role listens [default: 127.0.0.1, a free port]
    #[arg(long, value_name = "ADDRESS")]
    audio_listen: Option<SocketAddr>,
    /// Where the tensor role listens [default: 127.0.0.1, a free port]
    #[arg(long, value_name = "ADDRESS")]
    tensor_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) common: CommonFlags,
}

/// Flags of `atelier serve codec`, `image`, `text`, `audio` and `tensor`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RoleFlags {
    #[command(flatten)]
    models: ModelFlags,
    /// Where it listens [default: 127.0.0.1, port 50052 for codec, 50053 for text, 50054 for image, 50055 for
    /// audio, 50056 for tensor]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) common: CommonFlags,
}

/// Flags of `atelier serve gateway`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct GatewayFlags {
    /// A role and where it listens, for example codec=http://127.0.0.1:50052; one for each role
    #[arg(long, value_name = "ROLE=URL", value_parser = route)]
    route: Vec<(Domain, String)>,
    /// Where it listens [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) common: CommonFlags,
}

fn route(text: &str) -> Result<(Domain, String), String> {
    let roles = Domain::ALL.map(Domain::name).join(", ");
    let (role, url) = text.split_once('=').ok_or("must be ROLE=URL, as in codec=http://127.0.0.1:50052")?;
    let domain = Domain::ALL.into_iter().find(|domain| domain.name() == role);
    Ok((domain.ok_or_else(|| format!("{role:?} is no role; there is: {roles}"))?, url.to_owned()))
}

impl UpFlags {
    /// The configuration: file < environment < these flags.
    ///
    /// # Errors
    /// `Usage`, naming the file, variable or flag.
    pub(crate) fn config(&self) -> Result<UpConfig, Failure> {
        let mut layers = self.common.lower(Layers::new(), true, environment())?;
        self.models.lay(&mut layers)?;
        lay(&mut layers, "listen.gateway", self.listen)?;
        lay(&mut layers, "listen.codec", self.codec_listen)?;
        lay(&mut layers, "listen.image", self.image_listen)?;
        lay(&mut layers, "listen.text", self.text_listen)?;
        lay(&mut layers, "listen.audio", self.audio_listen)?;
        lay(&mut layers, "listen.tensor", self.tensor_listen)?;
        self.common.finish(layers)
    }
}

impl RoleFlags {
    /// The configuration of a role that listens here where nothing else is said.
    ///
    /// # Errors
    /// As for [`UpFlags::config`].
    pub(crate) fn config(&self, default: SocketAddr) -> Result<RoleConfig, Failure> {
        let mut layers = Layers::new();
        lay(&mut layers, "listen", Some(default))?;
        let mut layers = self.common.lower(layers, true, environment())?;
        self.models.lay(&mut layers)?;
        lay(&mut layers, "listen", self.listen)?;
        self.common.finish(layers)
    }
}

impl GatewayFlags {
    /// The configuration of the gateway.
    ///
    /// # Errors
    /// As for [`UpFlags::config`].
    pub(crate) fn config(&self) -> Result<GatewayRoleConfig, Failure> {
        let mut layers = self.common.lower(Layers::<GatewayRoleConfig>::new(), false, environment())?;
        lay(&mut layers, "listen", self.listen)?;
        if !self.route.is_empty() {
            let routes = self.route.iter().map(|(domain, url)| domain.route(url.clone()));
            let routes = Value::try_from(routes.collect::<Vec<_>>())
                .map_err(|e| Failure::usage(format!("--route: {e}")))?;
            layers.flag("routes", routes).map_err(wrong)?;
        }
        self.common.finish(layers)
    }
}

impl ModelFlags {
    fn lay<T: DeserializeOwned + Serialize + Default>(&self, layers: &mut Layers<T>) -> Result<(), Failure> {
        lay_path(layers, "models", self.models.as_deref())?;
        lay(layers, "device", self.device.as_ref())?;
        lay_path(layers, "onnxruntime", self.onnxruntime.as_deref())?;
        if let Some(threads) = self.threads {
            layers.flag("engine.parallelism", i64::from(threads)).map_err(wrong)?;
        }
        Ok(())
    }
}

impl CommonFlags {
    /// File and environment over what there is.
    fn lower<T: DeserializeOwned + Serialize + Default>(
        &self,
        mut layers: Layers<T>,
        runs_models: bool,
        environment: Vec<(String, String)>,
    ) -> Result<Layers<T>, Failure> {
        if let Some(path) = &self.config {
            layers.file(path).map_err(wrong)?;
        }
        let library = environment.iter().find(|(name, value)| name == ORT_DYLIB_PATH && !value.is_empty());
        if let (true, Some((_, path))) = (runs_models, library) {
            layers.flag("onnxruntime", path.as_str()).map_err(wrong)?;
        }
        let ours = environment.into_iter().filter(|(name, _)| !NOT_SERVERS.contains(&name.as_str()));
        layers.environment(ours).map_err(wrong)?;
        Ok(layers)
    }

    /// The flags for logs and the operator's port over what there is, and the end of it.
    fn finish<T: DeserializeOwned + Serialize + Default>(&self, mut layers: Layers<T>) -> Result<T, Failure> {
        lay(&mut layers, "telemetry.filter", self.log.as_ref())?;
        lay(&mut layers, "telemetry.format", self.log_format.as_ref())?;
        lay(&mut layers, "admin.listen", self.admin_listen)?;
        layers.build().map_err(wrong)
    }
}

/// The environment, less what is no text: none of ours is.
fn environment() -> Vec<(String, String)> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

fn lay<T: DeserializeOwned + Serialize + Default>(
    layers: &mut Layers<T>,
    path: &str,
    value: Option<impl ToString>,
) -> Result<(), Failure> {
    if let Some(value) = value {
        layers.flag(path, value.to_string()).map_err(wrong)?;
    }
    Ok(())
}

fn lay_path<T: DeserializeOwned + Serialize + Default>(
    layers: &mut Layers<T>,
    path: &str,
    value: Option<&Path>,
) -> Result<(), Failure> {
    let Some(value) = value else { return Ok(()) };
    let text = value.to_str().ok_or_else(|| {
        Failure::usage(format!("--{path}: {} is not UTF-8, as the configuration must be", value.display()))
    })?;
    lay(layers, path, Some(text))
}

/// A wrong configuration, with what lies behind it.
fn wrong(error: ConfigError) -> Failure {
    let behind = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure::usage(format!("{error}{behind}"))
}

#[cfg(test)]
mod tests;
