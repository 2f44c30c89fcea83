//! `atelier serve gateway`.

use atelier_chassis::Admin;
use atelier_gateway::{Gateway, GatewayConfig};

use super::config::GatewayRoleConfig;
use super::role::ended;
use super::{listen, stop};
use crate::cli::failure::Failure;

/// Serves the gateway alone.
///
/// # Errors
/// `Usage` for routes that cannot be, `CannotServe` where it cannot start.
pub(super) async fn run(config: GatewayRoleConfig, admin: Admin) -> Result<(), Failure> {
    let stop = stop::on_signal();
    if config.routes.is_empty() {
        return Err(Failure::usage(
            "the gateway has no role to forward to: name each with --route ROLE=URL, or as [[routes]] in the file",
        ));
    }
    let GatewayRoleConfig {
        connect_timeout_ms, resolve_interval, upstream_tls, access, server, routes, ..
    } = config;
    super::check(&server)?;
    let gateway = Gateway::new(GatewayConfig {
        routes,
        connect_timeout_ms,
        resolve_interval,
        upstream_tls,
        access,
        server,
    })
    .map_err(|e| Failure::usage(e.to_string()))?
    .metrics(&admin.metrics);
    admin.probes.follow(gateway.health());
    let (listener, _) = listen::bind("gateway", config.listen).await?;
    ended("gateway", tokio::spawn(gateway.serve(listener, stop.cancelled_owned())).await)
}
