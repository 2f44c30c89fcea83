//! `atelier up` and `atelier serve`: the fleet, whole or one role of it.

mod admin;
mod config;
mod flags;
mod gateway;
mod late;
mod listen;
mod own_models;
mod packages;
mod ready;
mod reload;
mod role;
mod stop;
mod up;
mod watch;

use std::time::Duration;

use atelier_chassis::config::print_config;
use atelier_chassis::telemetry::{Telemetry, TelemetryConfig};
use atelier_chassis::{Admin, AdminConfig, ServerConfig};
use clap::Subcommand;

use crate::cli::failure::{Exit, Failure};
use crate::files::stdout;

pub(crate) use flags::UpFlags;
use flags::{GatewayFlags, RoleFlags};
use role::Domain;

/// The roles of the fleet.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ServeCommand {
    /// The one door: forwards each call to the role that owns it
    Gateway(GatewayFlags),
    /// Images to codes and back
    Codec(RoleFlags),
    /// New images, and faces at other ages
    Image(RoleFlags),
    /// Text, character by character
    Text(RoleFlags),
    /// Speech, sample by sample
    Audio(RoleFlags),
    /// Raw tensors of any ONNX graph
    Tensor(RoleFlags),
}

/// Serves the whole fleet in this process, until it is told to stop.
///
/// # Errors
/// `Usage` for a wrong configuration, `CannotServe` where it cannot start.
pub(crate) fn up(flags: &UpFlags) -> Result<(), Failure> {
    let config = flags.config()?;
    if flags.common.print_config {
        return show(&config);
    }
    let (telemetry, admin) = (config.telemetry.clone(), config.admin.clone());
    run("atelier", &telemetry, &admin, |admin| up::run(config, admin))
}

/// Serves one role, until it is told to stop.
///
/// # Errors
/// As [`up()`].
pub(crate) fn serve(command: &ServeCommand) -> Result<(), Failure> {
    let (flags, domain) = match command {
        ServeCommand::Gateway(flags) => {
            let config = flags.config()?;
            if flags.common.print_config {
                return show(&config);
            }
            let (telemetry, admin) = (config.telemetry.clone(), config.admin.clone());
            return run("atelier-gateway", &telemetry, &admin, |admin| gateway::run(config, admin));
        }
        ServeCommand::Codec(flags) => (flags, Domain::Codec),
        ServeCommand::Image(flags) => (flags, Domain::Image),
        ServeCommand::Text(flags) => (flags, Domain::Text),
        ServeCommand::Audio(flags) => (flags, Domain::Audio),
        ServeCommand::Tensor(flags) => (flags, Domain::Tensor),
    };
    let config = flags.config(domain.default_listen())?;
    if flags.common.print_config {
        return show(&config);
    }
    let (telemetry, admin) = (config.telemetry.clone(), config.admin.clone());
    let service = format!("atelier-{}", domain.name());
    run(&service, &telemetry, &admin, |admin| role::run(domain, config, admin))
}

/// Refuses what a server could not start with, before anything else is.
///
/// # Errors
/// `Usage`, naming the field.
fn check(server: &ServerConfig) -> Result<(), Failure> {
    server.check().map_err(|e| Failure::usage(e.to_string()))
}

fn show<T: serde::Serialize>(config: &T) -> Result<(), Failure> {
    stdout::text(&print_config(config).map_err(|e| Failure::usage(e.to_string()))?)
}

/// Runs a server with its logs and traces, and within its operator's door: that opens before anything else
/// is started and closes when all of it has ended.
fn run<S: Future<Output = Result<(), Failure>>>(
    service: &str,
    telemetry: &TelemetryConfig,
    admin: &AdminConfig,
    server: impl FnOnce(Admin) -> S,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::CannotServe, format!("cannot start threads: {e}")))?;
    let ended = runtime.block_on(async {
        let telemetry = Telemetry::init(service, telemetry).map_err(|e| Failure::usage(e.to_string()))?;
        let ended = admin::within(admin, Admin::of_process(telemetry.filter()), server).await;
        telemetry.shutdown().await;
        ended
    });
    // Nothing of ours is left; what still blocks must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
