//! One connection, from its first byte to its end.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use super::age::Age;
use crate::Service;
use crate::tls::Acceptor;

/// A peer that has not said anything, or not come to terms over TLS, so long after it connected is dropped.
const GREETING: Duration = Duration::from_secs(10);

/// What a connection needs to be served.
pub(super) struct Connection {
    pub(super) http: http2::Builder<TokioExecutor>,
    pub(super) service: Service,
    /// Tells it to finish what it has and take nothing more.
    pub(super) goaway: CancellationToken,
    pub(super) age: Age,
    /// `None` where it is plaintext.
    pub(super) tls: Option<Acceptor>,
    pub(super) info: TcpConnectInfo,
}

impl Connection {
    /// Serves it until its peer, its age or a shutdown ends it.
    pub(super) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        match &self.tls {
            None => {
                let mut first_byte = [0];
                if let Some(1..) = self.greeted(peer, stream.peek(&mut first_byte)).await {
                    self.speak(stream, peer).await;
                }
            }
            Some(tls) => {
                if let Some(stream) = self.greeted(peer, tls.accept(stream)).await {
                    self.speak(stream, peer).await;
                }
            }
        }
    }

    /// What the peer opens with; `None` where it takes too long, fails, or a shutdown comes first.
    async fn greeted<T>(
        &self,
        peer: SocketAddr,
        greeting: impl Future<Output = std::io::Result<T>>,
    ) -> Option<T> {
        tokio::select! {
            greeted = tokio::time::timeout(GREETING, greeting) => match greeted {
                Ok(Ok(greeted)) => return Some(greeted),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "the peer did not open a connection"),
                Err(_) => tracing::debug!(%peer, "the peer took too long to open a connection"),
            },
            () = self.goaway.cancelled() => {}
        }
        None
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        let Self { http, service, goaway, age, info, .. } = self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(info.clone());
            service.clone().oneshot(request)
        });
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = goaway.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = age.reached() => {
                tracing::debug!(%peer, "connection is old, telling its peer to make a new one");
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = age.over() => {
                        tracing::info!(%peer, "connection is too old, cutting off what is left on it");
                        return;
                    }
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "connection ended with an error");
        }
    }
}
