//! Sockets, bound before anything is started.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::cli::failure::{Exit, Failure};

/// Binds a socket for a role.
///
/// # Errors
/// `CannotServe`, naming the role and the address.
pub(super) async fn bind(role: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let wrong = |error: std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the port is in use; stop what uses it or listen elsewhere".into()
            }
            _ => error.to_string(),
        };
        Failure::new(Exit::CannotServe, format!("the {role} cannot listen on {address}: {why}"))
    };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let bound = listener.local_addr().map_err(wrong)?;
    Ok((listener, bound))
}

/// How to reach what listens here from this machine: 0.0.0.0 is no address to call.
pub(super) fn url(bound: SocketAddr) -> String {
    let mut reachable = bound;
    if bound.ip().is_unspecified() {
        reachable.set_ip(match bound {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{reachable}")
}

/// The same of a gateway that may speak TLS.
pub(super) fn public_url(bound: SocketAddr, tls: bool) -> String {
    let url = url(bound);
    if tls { url.replacen("http", "https", 1) } else { url }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_said_with_role_and_address() {
        let (_taken, address) = bind("gateway", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let refused = bind("text role", address).await.unwrap_err();
        assert_eq!(refused.exit(), Exit::CannotServe);
        let expected = format!("the text role cannot listen on {address}: the port is in use");
        assert!(refused.to_string().starts_with(&expected), "{refused}");
    }

    #[test]
    fn everywhere_is_reached_by_loopback() {
        assert_eq!(url("0.0.0.0:7".parse().unwrap()), "http://127.0.0.1:7");
        assert_eq!(url("[::]:7".parse().unwrap()), "http://[::1]:7");
        assert_eq!(url("10.0.0.1:7".parse().unwrap()), "http://10.0.0.1:7");
    }
}
