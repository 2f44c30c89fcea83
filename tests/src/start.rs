//! How a fleet is started.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::program::atelier;
use crate::{Fleet, Log};

/// How long a process may take until it is ready. A busy machine takes its time.
const READY: Duration = Duration::from_secs(120);

/// A server that is yet to be started.
#[derive(Debug)]
pub struct Start {
    command: Command,
    role: Option<&'static str>,
}

impl Start {
    /// `atelier up` with these packages, the gateway on a free port.
    pub fn up(models: &Path) -> Self {
        let mut command = atelier();
        command.args(["up", "--listen", "127.0.0.1:0", "--models"]).arg(models);
        Self { command, role: None }.logged()
    }

    /// `atelier serve ROLE` with these packages, on this address.
    pub fn role(role: &'static str, models: &Path, listen: &str) -> Self {
        let mut command = atelier();
        command.args(["serve", role, "--listen", listen, "--models"]).arg(models);
        Self { command, role: Some(role) }.logged()
    }

    /// `atelier serve gateway` before these roles, on a free port.
    pub fn gateway<'a>(routes: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> Self {
        let routes: Vec<_> = routes.into_iter().map(|(role, address)| (role, vec![address])).collect();
        Self::balanced("127.0.0.1:0", &routes)
    }

    /// `atelier serve gateway` before roles of several processes each, on this address.
    pub fn balanced(listen: &str, routes: &[(&str, Vec<SocketAddr>)]) -> Self {
        let mut command = atelier();
        command.args(["serve", "gateway", "--listen", listen]);
        for (role, addresses) in routes {
            let uris: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
            command.args(["--route", &format!("{role}={}", uris.join(","))]);
        }
        Self { command, role: Some("gateway") }.logged()
    }

    fn logged(mut self) -> Self {
        self.command.args(["--log-format", "json", "--log", "info,atelier_engine=debug"]);
        self
    }

    /// With this configuration, `ATELIER_ENGINE__SLOTS` for `slots` of `[engine]`.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it, and waits until it is ready.
    pub fn start(mut self) -> Fleet {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        // A file and no pipe: one that is full would block the fleet.
        self.command.stdout(Stdio::piped()).stderr(std::fs::File::create(&path).unwrap());
        let mut child = self.command.spawn().unwrap();
        let log = Log::new(&path);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // From here on, what panics kills the process.
        let mut fleet = Fleet::new(child, directory, log.clone());
        let address = match self.role {
            None => ready(stdout, &log),
            Some(role) => listening(role, &log),
        };
        fleet.set_address(address);
        fleet
    }

    /// Starts it where it must not start; what it said.
    pub fn fails(mut self) -> Output {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.command.output().unwrap();
        assert!(!output.status.success(), "it started and ended well: {output:?}");
        output
    }
}

/// The address of READY, the first line that `up` prints.
fn ready(mut stdout: impl BufRead + Send + 'static, log: &Log) -> SocketAddr {
    let (first, line) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = stdout.read_line(&mut line).map(|_| line);
        // Nobody waits any more where the test has failed.
        let _ = first.send(read);
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    let line = match line.recv_timeout(READY) {
        Ok(line) => line.unwrap(),
        Err(_) => panic!("not ready after {READY:?}:\n{}", log.text()),
    };
    let address = line.trim_end().strip_prefix("READY http://").and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("{line:?} is not READY:\n{}", log.text()))
}

/// The address of a role that says in its log that it serves.
fn listening(role: &str, log: &Log) -> SocketAddr {
    let says = |message: &'static str| {
        move |line: &serde_json::Value| line["message"] == message && line["role"] == role
    };
    let line = log.wait("listening", says("listening"));
    if role != "gateway" {
        log.wait("serving", says("serving"));
    }
    line["address"].as_str().unwrap().parse().unwrap()
}
