//! The accept loop, and the shutdown in order (see [`crate::shutdown`]).
//!
//! Own, because tonic's transport cuts streams without GOAWAY when a connection is too old and bounds
//! concurrency by connection only.

mod age;
mod connection;
mod preface;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpConnectInfo;

use crate::drain::Drain;
use crate::tls::{Acceptor, Renewal, TlsConfig};
use crate::{Drained, Health, ServerConfig, Service};
use age::Age;
use connection::{Connection, GREETING};

/// How often a silent peer is asked whether it still lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long after the cut the last answers may take to be written.
const FLUSH: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a sender may have under way before it is read: enough for an image without a round trip.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves until `shutdown`, then drains. Plaintext without `tls`.
pub(crate) async fn run(
    listener: TcpListener,
    service: Service,
    config: &ServerConfig,
    tls: Option<Renewal<TlsConfig>>,
    health: &Health,
    drain: &Drain,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let (tls, _reloading) = tls.map(Acceptor::follow).unzip();
    let connections = Connections {
        http: builder(config),
        config: config.clone(),
        tls,
        service,
        tasks: TaskTracker::new(),
        goaway: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    {
        // Owns the listener, which closes at the end of this block.
        let accepting = std::pin::pin!(connections.accept(listener));
        let mut accepting = accepting;
        tokio::select! {
            never = &mut accepting => match never {},
            () = shutdown => {}
        }
        drain.stopping();
        health.stop();
        let wait = config.shutdown.not_ready_wait;
        tracing::info!(wait_s = wait.as_secs_f64(), in_flight = drain.in_flight(), "stopping");
        tokio::select! {
            never = &mut accepting => match never {},
            () = tokio::time::sleep(wait) => {}
        }
    }
    connections.tasks.close();
    connections.goaway.cancel();
    drain.begin();
    if tokio::time::timeout(config.shutdown.drain, connections.tasks.wait()).await.is_ok() {
        tracing::info!("drained");
        return Drained { cut: 0 };
    }
    let cut = drain.in_flight();
    tracing::warn!(cut, "the drain took too long, cutting off what is left");
    drain.cut();
    // Whether or not that is enough, the rest is dropped.
    let _ = tokio::time::timeout(FLUSH, connections.tasks.wait()).await;
    connections.abort.cancel();
    connections.tasks.wait().await;
    Drained { cut }
}

fn builder(config: &ServerConfig) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(config.streams_per_connection())
        .max_header_list_size(config.max_header_bytes);
    http
}

struct Connections {
    http: http2::Builder<TokioExecutor>,
    config: ServerConfig,
    tls: Option<Acceptor>,
    service: Service,
    tasks: TaskTracker,
    /// Tells each connection to finish what it has and take nothing more.
    goaway: CancellationToken,
    /// Tells each connection to go at once.
    abort: CancellationToken,
}

impl Connections {
    async fn accept(&self, listener: TcpListener) -> Infallible {
        let local = listener.local_addr().ok();
        let slots = Arc::new(Semaphore::new(self.config.max_connections.min(Semaphore::MAX_PERMITS)));
        loop {
            // Over the limit, connections wait in the kernel's queue.
            let slot = Arc::clone(&slots).acquire_owned().await;
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = Connection {
                http: self.http.clone(),
                service: self.service.clone(),
                goaway: self.goaway.clone(),
                age: Age::of(&self.config, rand::random()),
                greeting: GREETING,
                tls: self.tls.clone(),
                info: TcpConnectInfo { local_addr: local, remote_addr: Some(peer) },
            };
            let abort = self.abort.clone();
            self.tasks.spawn(async move {
                let _slot = slot;
                tokio::select! {
                    () = abort.cancelled() => tracing::debug!(%peer, "connection dropped"),
                    () = connection.serve(stream, peer) => {}
                }
            });
        }
    }
}
