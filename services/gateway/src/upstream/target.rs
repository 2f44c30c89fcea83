//! An address of a role: a port of a host, whose name may stand for many machines.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use atelier_chassis::tls::{ClientTls, Connector, Renewal};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::config::{GatewayConfig, GatewayError, Route};

/// How often a silent endpoint is asked whether it still lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// As much as the roles' own listeners take (see the chassis).
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Keeps the certificates that roles are called with up to date.
pub(super) type Certificates = Renewal<ClientTls>;

/// Where a route leads, as it is written.
#[derive(Debug, Clone)]
pub(super) struct Target {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<Connector>,
    connect_timeout: Duration,
}

impl Target {
    /// The addresses of a route, which commas separate; and what keeps the certificates that they are called with
    /// up to date, where one of them speaks TLS.
    pub(super) fn all(
        route: &Route,
        config: &GatewayConfig,
    ) -> Result<(Vec<Self>, Option<Certificates>), GatewayError> {
        let mut certificates = None;
        let written = route.uri.split(',').map(str::trim);
        let targets = written.map(|uri| Self::new(uri, route, config, &mut certificates));
        Ok((targets.collect::<Result<_, _>>()?, certificates))
    }

    fn new(
        written: &str,
        route: &Route,
        config: &GatewayConfig,
        certificates: &mut Option<Certificates>,
    ) -> Result<Self, GatewayError> {
        let error = |source| GatewayError::Uri { role: route.role.clone(), uri: written.to_owned(), source };
        // Checked before tonic sees it, which takes more kinds of addresses than we do.
        let uri: Uri = written.parse().map_err(|source| error(Some(source)))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(error(None));
        }
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                // Read where the first address asks for them, and shared by the others.
                let certificates = match certificates {
                    Some(read) => read,
                    None => certificates.insert(config.upstream_tls.renewal()?),
                };
                (Some(certificates.connector(&host)?), 443)
            }
            _ => return Err(error(None)),
        };
        // A port that is none is no port to `Uri::port`.
        let written_port =
            uri.authority().and_then(|whole| whole.as_str().rsplit_once(':')).map(|(_, port)| port);
        let port = match written_port {
            Some(written) if !written.ends_with(']') => written.parse().map_err(|_| error(None))?,
            _ => port,
        };
        let target = Self { uri, host, port, tls, connect_timeout: config.connect_timeout() };
        // What is wrong with the rest shows here, not with the first call.
        target.endpoint(SocketAddr::from(([127, 0, 0, 1], port))).map_err(|_| error(None))?;
        Ok(target)
    }

    /// Its only address, where its host is one and no name.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// What its name stands for now.
    pub(super) async fn resolve(&self) -> std::io::Result<BTreeSet<SocketAddr>> {
        match self.literal() {
            Some(address) => Ok(BTreeSet::from([address])),
            None => Ok(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect()),
        }
    }

    /// A channel to one of its addresses, which connects when it is needed, and again when it has lost its
    /// connection. `None` where tonic refuses what was tried when this was made.
    pub(super) fn channel(&self, address: SocketAddr) -> Option<Channel> {
        let endpoint = self.endpoint(address).ok()?;
        let Some(tls) = self.tls.clone() else { return Some(endpoint.connect_lazy()) };
        // Not tonic's own TLS, which knows one certificate for good: each connection takes what is newest.
        Some(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let tls = tls.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                tls.connect(stream).await.map(TokioIo::new)
            }
        })))
    }

    fn endpoint(&self, address: SocketAddr) -> Result<Endpoint, tonic::transport::Error> {
        // Called by the name that is written, wherever that leads: certificates and proxies go by it.
        Ok(Endpoint::from_shared(format!("http://{address}"))?
            .origin(self.uri.clone())
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(uri: &str) -> Result<Vec<Target>, GatewayError> {
        let route = Route { role: "text".into(), services: vec!["a.A".into()], uri: uri.into() };
        Target::all(&route, &GatewayConfig::default()).map(|(targets, _)| targets)
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_role_named() {
        let wrong = ["", "127.0.0.1:50061", "/path", "unix:/tmp/socket", "ftp://host:1", "http://"];
        for uri in wrong.into_iter().chain(["http://a:1,", "http://a:1,b:2", "http://a:99999", "http://a:"]) {
            let error = targets(uri).unwrap_err().to_string();
            let part = uri.split(',').next_back().unwrap();
            assert!(error.contains("\"text\"") && error.contains(&format!("{part:?}")), "{error}");
        }
    }

    #[tokio::test]
    async fn an_address_may_be_several_and_a_port_may_go_without_saying() {
        let all = targets("http://127.0.0.1:5, http://[::1]:6,https://host").unwrap();
        let written: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["127.0.0.1:5", "::1:6", "host:443"]);
        assert_eq!(all[1].literal(), Some("[::1]:6".parse().unwrap()));
        assert_eq!(all[2].literal(), None);
        assert_eq!(all[0].resolve().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_name_stands_for_what_the_system_says() {
        let all = targets("http://localhost:7").unwrap()[0].resolve().await.unwrap();
        assert!(!all.is_empty() && all.iter().all(|it| it.ip().is_loopback() && it.port() == 7), "{all:?}");
        assert!(targets("http://no-such-host.invalid:7").unwrap()[0].resolve().await.is_err());
    }
}
