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
use super::preface::Opened;
use crate::Service;
use crate::tls::Acceptor;

/// A peer that has not come to terms over TLS, where that is spoken, and said the whole preface of HTTP/2 so long after
/// it connected is dropped. From then on it is asked whether it still lives.
pub(super) const GREETING: Duration = Duration::from_secs(10);

/// What a connection needs to be served.
pub(super) struct Connection {
    pub(super) http: http2::Builder<TokioExecutor>,
    pub(super) service: Service,
    /// Tells it to finish what it has and take nothing more.
    pub(super) goaway: CancellationToken,
    pub(super) age: Age,
    /// How long its peer may take to open it.
    pub(super) greeting: Duration,
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
                if let Some(stream) = self.greeted(peer, Opened::read(stream)).await {
                    self.speak(stream, peer).await;
                }
            }
            Some(tls) => {
                let opened = async { Opened::read(tls.accept(stream).await?).await };
                if let Some(stream) = self.greeted(peer, opened).await {
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
            greeted = tokio::time::timeout(self.greeting, greeting) => match greeted {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write;

    use tokio::net::TcpListener;

    use super::super::preface::PREFACE;
    use super::*;
    use crate::{Request, Response, ServerConfig};

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(600);

    /// Whether a peer that says this and nothing more is dropped in `time`.
    async fn is_dropped(said: &[u8], greeting: Duration, goaway: &CancellationToken, time: Duration) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.write_all(said).unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let service = tower::service_fn(|_: Request| async { Ok::<_, Infallible>(Response::default()) });
        let connection = Connection {
            http: http2::Builder::new(TokioExecutor::new()),
            service: Service::new(service),
            goaway: goaway.clone(),
            age: Age::of(&ServerConfig::default(), 0.5),
            greeting,
            tls: None,
            info: TcpConnectInfo { local_addr: None, remote_addr: Some(address) },
        };
        tokio::time::timeout(time, connection.serve(stream, address)).await.is_ok()
    }

    #[tokio::test]
    async fn a_peer_that_does_not_say_the_whole_preface_in_time_is_dropped() {
        let none = CancellationToken::new();
        for said in [&b""[..], b"P", &PREFACE[..23]] {
            assert!(is_dropped(said, SHORT, &none, Duration::from_secs(10)).await, "{said:?}");
        }
        assert!(!is_dropped(PREFACE, SHORT, &none, SHORT * 10).await, "it is served");
    }

    #[tokio::test]
    async fn a_peer_that_says_something_else_is_dropped_at_once() {
        let none = CancellationToken::new();
        for said in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"PRI * HTTP/1.1", b"\x16\x03\x01"] {
            assert!(is_dropped(said, LONG, &none, Duration::from_secs(10)).await, "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_not_through_with_its_greeting_holds_up_no_shutdown() {
        let goaway = CancellationToken::new();
        goaway.cancel();
        assert!(is_dropped(b"PRI", LONG, &goaway, Duration::from_secs(10)).await);
    }
}
