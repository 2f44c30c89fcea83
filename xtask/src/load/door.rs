//! Where calls go in: by the gateway, or at a role itself.

use std::{
    net::{TcpStream, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};

/// The name of the gateway's door.
const GATEWAY: &str = "gateway";

/// A place to call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Door {
    name: String,
    host: String,
}

impl Door {
    /// The gateway at this address.
    pub(crate) fn gateway(host: &str) -> Self {
        Self { name: GATEWAY.into(), host: host.trim_start_matches("http://").into() }
    }

    /// "gateway", or the role.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Host and port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether a role's methods are answered here.
    pub(crate) fn serves(&self, role: &str) -> bool {
        self.name == GATEWAY || self.name == role
    }

    /// Knocks.
    ///
    /// # Errors
    /// One line: nobody listens there.
    pub(crate) fn check(&self) -> Result<()> {
        let missing =
            || format!("no fleet at {}; start one with `cargo xtask up`, or load with --up", self.host);
        let mut addresses = self.host.to_socket_addrs().with_context(missing)?;
        let address = addresses.next().ok_or_else(|| anyhow!("it has no address")).with_context(missing)?;
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).with_context(missing)?;
        Ok(())
    }
}

impl FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((role, host)) if !role.is_empty() && host.contains(':') => {
                Ok(Self { name: role.into(), host: host.trim_start_matches("http://").into() })
            }
            _ => Err("it must be ROLE=HOST:PORT, such as text=127.0.0.1:50053".into()),
        }
    }
}
