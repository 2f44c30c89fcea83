//! One role, as the gateway sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use atelier_proto::models::v1::model_service_server::SERVICE_NAME as MODEL_SERVICE;

use crate::config::{GatewayConfig, GatewayError};
use crate::inference;
use crate::tally::Tally;
use crate::upstream::{Allowance, Upstream};

/// A role and the way to it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) role: String,
    pub(crate) services: Vec<String>,
    pub(crate) upstream: Upstream,
    /// What was forwarded to it.
    pub(crate) tally: Tally,
}

impl Backend {
    /// The name under which health says whether this very role serves raw tensors: their own service is served where any
    /// role serves it.
    pub(crate) fn tensors(&self) -> String {
        format!("inference/{}", self.role)
    }
}

/// The services that the gateway answers itself, or finds the role for by more than their name.
pub(crate) const OWN: [&str; 5] = [
    MODEL_SERVICE,
    inference::SERVICE_NAME,
    atelier_chassis::health::SERVICE,
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The roles of a configuration, each service of one role alone.
pub(crate) fn all(config: &GatewayConfig) -> Result<Vec<Arc<Backend>>, GatewayError> {
    let mut owners: BTreeMap<String, String> =
        OWN.into_iter().map(|service| (service.to_owned(), "the gateway".to_owned())).collect();
    let mut backends = Vec::with_capacity(config.routes.len());
    // One for the process: what it bounds is memory.
    let allowance = Allowance::default();
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
            upstream: Upstream::new(route, config, allowance.clone())?,
            tally: Tally::default(),
        }));
    }
    Ok(backends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;

    fn config(routes: &[(&str, &str, &str)]) -> GatewayConfig {
        let routes = routes.iter().map(|(role, service, uri)| Route {
            role: (*role).into(),
            services: vec![(*service).into()],
            uri: (*uri).into(),
        });
        GatewayConfig { routes: routes.collect(), ..GatewayConfig::default() }
    }

    #[tokio::test]
    async fn a_service_belongs_to_one_role() {
        let routes = [("text", "a.A", "http://localhost:1"), ("codec", "a.A", "http://localhost:2")];
        let error = all(&config(&routes)).unwrap_err().to_string();
        assert!(error.contains("\"codec\" belongs to role \"text\""), "{error}");
        let error = all(&config(&[("codec", MODEL_SERVICE, "http://localhost:2")])).unwrap_err().to_string();
        assert!(error.contains("belongs to the gateway"), "{error}");
        assert!(all(&config(&[("text", "a.A", "http://localhost:50061")])).is_ok());
    }
}
