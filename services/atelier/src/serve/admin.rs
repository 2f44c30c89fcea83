//! The operator's door of a process.

use atelier_chassis::{Admin, AdminConfig};
use atelier_engine::Engine;

use super::listen;
use crate::cli::failure::Failure;

/// Runs a server with the door open, where there is to be one.
///
/// # Errors
/// `CannotServe` where the port cannot be had; nothing was started then. Else as the server ends.
pub(super) async fn within<S: Future<Output = Result<(), Failure>>>(
    config: &AdminConfig,
    admin: Admin,
    server: impl FnOnce(Admin) -> S,
) -> Result<(), Failure> {
    let Some(address) = config.listen else { return server(admin).await };
    let (listener, address) = listen::bind("admin port", address).await?;
    tracing::info!(%address, "the admin port is open");
    // On a task of its own, so that it answers whatever the server is about; it ends with this future.
    let mut door = tokio::task::JoinSet::new();
    door.spawn(admin.clone().serve(listener));
    server(admin).await
}

/// Shows what the models do, from now on.
pub(super) fn show(admin: &Admin, engine: &Engine) {
    atelier_chassis::metrics::engine::watch(&admin.metrics, engine.clone());
    admin.queues.watch(engine.clone());
}
