//! Other servers of the Open Inference Protocol, as processes of their own on free ports of loopback.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use crate::infer::Client;
use crate::machine;

/// How long a peer may take until it answers.
const ANSWERS: Duration = Duration::from_secs(120);
/// How long a peer may take to end once it is asked to.
const ENDS: Duration = Duration::from_secs(15);

/// Where the peers are installed.
#[derive(Debug)]
pub(crate) struct Pythons {
    pub(crate) mlserver: Option<PathBuf>,
    pub(crate) triton: Option<PathBuf>,
}

/// Graphs that a peer is to serve: name and file.
pub(crate) type Files<'a> = [(&'a str, PathBuf)];

/// A running peer, ended with all its processes when this is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: String,
    folder: TempDir,
}

impl Peer {
    /// MLServer in one process, its batching on.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn mlserver(python: &Path, files: &Files<'_>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [grpc, http, metrics] = ports()?;
        let settings = json!({
            "debug": false, "host": "127.0.0.1", "grpc_port": grpc, "http_port": http, "metrics_port": metrics,
            // With workers of its own each request is pickled twice, which costs more than it gains here.
            "parallel_workers": 0,
        });
        fs::write(folder.path().join("settings.json"), settings.to_string())?;
        fs::write(folder.path().join("onnx_model.py"), include_str!("../peers/onnx_model.py"))?;
        for (name, file) in files {
            let settings = json!({
                "name": name, "implementation": "onnx_model.OnnxModel", "parameters": {"uri": file},
                "max_batch_size": 32, "max_batch_time": 0.001,
            });
            fs::create_dir(folder.path().join(name))?;
            fs::write(folder.path().join(name).join("model-settings.json"), settings.to_string())?;
        }
        let mut command = Command::new(python);
        command
            .args(["-c", "import mlserver.cli; mlserver.cli.main()", "start", "."])
            .env("PYTHONPATH", folder.path());
        Self::start(command, grpc, folder)
    }

    /// Triton with its Python backend, its dynamic batching on.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn triton(python: &Path, files: &Files<'_>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [grpc, http, metrics] = ports()?;
        let script = folder.path().join("triton.py");
        fs::write(&script, include_str!("../peers/triton.py"))?;
        let mut command = Command::new(python);
        command.arg(script);
        for (name, port) in [("--grpc", grpc), ("--http", http), ("--metrics", metrics)] {
            command.args([name, &port.to_string()]);
        }
        command.args(files.iter().map(|(name, file)| format!("{name}={}", file.display())));
        // It keeps files of its own where this says.
        command.env("PYTRITON_HOME", folder.path());
        Self::start(command, grpc, folder)
    }

    fn start(mut command: Command, port: u16, folder: TempDir) -> Result<Self> {
        let log = File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(folder.path());
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, address: format!("127.0.0.1:{port}"), folder })
    }

    /// Waits until it answers this.
    ///
    /// # Errors
    /// It ended, or does not answer in time; what it said.
    pub(crate) async fn answers(&mut self, message: &Bytes) -> Result<Client> {
        let start = Instant::now();
        loop {
            let refused = match Client::connect(&self.address).await {
                Ok(mut client) => match client.call(message.clone(), None).await {
                    Ok(_) => return Ok(client),
                    Err(status) => format!("{:?}: {}", status.code(), status.message()),
                },
                Err(error) => format!("{error:#}"),
            };
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > ANSWERS {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("it does not answer ({ended:?}, {refused}):\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The processor time that all its processes have taken so far.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn computed(&self) -> Result<Duration> {
        machine::computed_by_all(self.child.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked first, so that it can take down what it started and the memory that it shares with it.
        let family = machine::family(self.child.id());
        let signal = |name: &str, processes: &[u32]| {
            let processes = processes.iter().map(u32::to_string);
            let quiet = Stdio::null;
            let _ = Command::new("kill").arg(name).args(processes).stdout(quiet()).stderr(quiet()).status();
        };
        signal("-TERM", &family[..1.min(family.len())]);
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < ENDS {
            std::thread::sleep(Duration::from_millis(50));
        }
        let left: Vec<u32> =
            family.into_iter().filter(|process| machine::computed(*process).is_ok()).collect();
        if !left.is_empty() {
            signal("-KILL", &left);
        }
        let _ = self.child.wait();
    }
}

/// Ports that are free now.
fn ports() -> Result<[u16; 3]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
