//! Certificates that are replaced while a server runs.
//!
//! Their content is looked at, not their time: a mounted secret is a link that moves to another directory.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::server::Files;
use super::{TlsConfig, TlsError};

/// Opens TLS on connections, with what is newest. Clones share it.
#[derive(Clone)]
pub(crate) struct Acceptor {
    current: watch::Receiver<Arc<ServerConfig>>,
}

impl Acceptor {
    /// The handshake. How long it may take is the caller's to say.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.borrow());
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// Certificates that were read and found good.
pub(crate) struct Loaded {
    config: TlsConfig,
    seen: Result<Option<Files>, TlsError>,
    server: Arc<ServerConfig>,
}

impl Loaded {
    pub(super) fn new(config: TlsConfig, files: Files) -> Result<Self, TlsError> {
        let server = files.server()?;
        Ok(Self { config, seen: Ok(Some(files)), server })
    }

    /// Accepts connections with them, and looks after their files until the guard is dropped.
    pub(crate) fn follow(self) -> (Acceptor, DropGuard) {
        let (sender, current) = watch::channel(Arc::clone(&self.server));
        let stop = CancellationToken::new();
        let period = self.config.reload;
        if !period.is_zero() {
            let stopped = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = self.watch(period, sender) => {}
                }
            });
        }
        (Acceptor { current }, stop.drop_guard())
    }

    async fn watch(mut self, period: Duration, sender: watch::Sender<Arc<ServerConfig>>) {
        loop {
            tokio::time::sleep(period).await;
            // A file on a network's disk may take its time.
            let looked = tokio::task::spawn_blocking(move || {
                let change = self.look();
                (self, change)
            });
            let Ok((back, change)) = looked.await else {
                tracing::error!("the files for TLS can no longer be looked at, going on with what there is");
                return;
            };
            self = back;
            match change {
                None => {}
                Some(Ok(server)) => {
                    sender.send_replace(server);
                    tracing::info!("the certificates were replaced");
                }
                Some(Err(error)) => {
                    let field = format!("server.tls.{}", error.field);
                    tracing::error!(
                        field,
                        error = error.problem,
                        "the new certificates cannot be used, going on with the old ones"
                    );
                }
            }
        }
    }

    /// What has changed since it last looked; each change is told once.
    fn look(&mut self) -> Option<Result<Arc<ServerConfig>, TlsError>> {
        let read = Files::read(&self.config);
        if read == self.seen {
            return None;
        }
        self.seen = read.clone();
        read.and_then(|files| files.map(|files| files.server()).transpose()).transpose()
    }
}

#[cfg(test)]
mod tests;
