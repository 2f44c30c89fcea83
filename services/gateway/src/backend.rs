//! One role, as the gateway sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atelier_proto::models::v1::model_service_server::SERVICE_NAME as MODEL_SERVICE;
use http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::config::{GatewayConfig, GatewayError, Route};
use crate::inference;
use crate::tally::Tally;

/// How often a silent role is asked whether it still lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// As much as the roles' own listeners take (see the chassis).
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A role and the channel to it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) role: String,
    pub(crate) services: Vec<String>,
    /// Connects when first used, and again whenever it has lost its connection.
    pub(crate) channel: Channel,
    /// What was forwarded to it.
    pub(crate) tally: Tally,
}

/// The roles of a configuration, each service of one role alone.
pub(crate) fn all(config: &GatewayConfig) -> Result<Vec<Arc<Backend>>, GatewayError> {
    let own = [
        MODEL_SERVICE,
        inference::SERVICE_NAME,
        atelier_chassis::health::SERVICE,
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    let mut owners: BTreeMap<String, String> =
        own.into_iter().map(|service| (service.to_owned(), "the gateway".to_owned())).collect();
    let mut backends = Vec::with_capacity(config.routes.len());
    for route in &config.routes {
        for service in &route.services {
            if let Some(owner) = owners.insert(service.clone(), format!("role {:?}", route.role)) {
                let (service, role) = (service.clone(), route.role.clone());
                return Err(GatewayError::Taken { service, role, owner });
            }
        }
        backends.push(Arc::new(Backend {
            role: route.role.clone(),
            services: route.services.clone(),
            channel: endpoint(route, config)?.connect_lazy(),
            tally: Tally::default(),
        }));
    }
    Ok(backends)
}

fn endpoint(route: &Route, config: &GatewayConfig) -> Result<Endpoint, GatewayError> {
    let error = |source| GatewayError::Uri { role: route.role.clone(), uri: route.uri.clone(), source };
    // Checked before tonic sees it, which takes more kinds of addresses than we do.
    let uri: Uri = route.uri.parse().map_err(|source| error(Some(source)))?;
    let tls = match uri.scheme_str() {
        Some("http") => None,
        Some("https") => Some(config.upstream_tls.load()?),
        _ => return Err(error(None)),
    };
    if uri.host().is_none_or(str::is_empty) {
        return Err(error(None));
    }
    let mut endpoint = Endpoint::from(uri);
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls).map_err(|_| error(None))?;
    }
    Ok(endpoint
        .connect_timeout(config.connect_timeout())
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(routes: &[(&str, &str, &str)]) -> GatewayConfig {
        let routes = routes.iter().map(|(role, service, uri)| Route {
            role: (*role).into(),
            services: vec![(*service).into()],
            uri: (*uri).into(),
        });
        GatewayConfig { routes: routes.collect(), ..GatewayConfig::default() }
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_with_the_role_named() {
        for uri in ["", "127.0.0.1:50061", "/path", "unix:/tmp/socket", "ftp://host:1", "http://"] {
            let error = all(&config(&[("text", "a.A", uri)])).unwrap_err().to_string();
            assert!(error.contains("\"text\"") && error.contains(&format!("{uri:?}")), "{error}");
        }
        assert!(all(&config(&[("text", "a.A", "http://localhost:50061")])).is_ok());
    }

    #[tokio::test]
    async fn a_service_belongs_to_one_role() {
        let routes = [("text", "a.A", "http://localhost:1"), ("codec", "a.A", "http://localhost:2")];
        let error = all(&config(&routes)).unwrap_err().to_string();
        assert!(error.contains("\"codec\" belongs to role \"text\""), "{error}");
        let error = all(&config(&[("codec", MODEL_SERVICE, "http://localhost:2")])).unwrap_err().to_string();
        assert!(error.contains("belongs to the gateway"), "{error}");
    }
}
