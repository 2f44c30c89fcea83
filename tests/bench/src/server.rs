//! The program under measurement, as processes of their own on free ports of loopback.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::machine;

/// How long a server may take until it serves: models are measured while they are loaded.
const SERVING: Duration = Duration::from_secs(180);

/// The program `atelier` and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) onnxruntime: PathBuf,
}

impl Program {
    /// A command that sees none of our settings but the given ones.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATELIER_"))
        {
            command.env_remove(name);
        }
        command.env("ORT_DYLIB_PATH", &self.onnxruntime).stdin(Stdio::null());
        command
    }

    /// Makes a package of an ONNX file.
    ///
    /// # Errors
    /// What the program said.
    pub(crate) fn import(&self, file: &Path, name: &str, models: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(["import", "--name", name, "--models"]).arg(models).arg(file);
        let output = command.output().with_context(|| format!("cannot start {}", self.path.display()))?;
        if !output.status.success() {
            bail!("atelier import: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(())
    }

    /// A role with these packages and these settings, once it serves.
    ///
    /// # Errors
    /// It ended, or does not serve in time; its last words.
    pub(crate) async fn role(&self, role: &str, models: &Path, env: &[(&str, &str)]) -> Result<Server> {
        let mut command = self.command();
        command.args(["serve", role, "--log", "warn", "--models"]).arg(models).envs(env.iter().copied());
        Server::start(role, command).await
    }

    /// The gateway before these roles, once they serve through it.
    ///
    /// # Errors
    /// As for [`role`](Self::role).
    pub(crate) async fn gateway(&self, roles: &[&Server]) -> Result<Server> {
        let mut command = self.command();
        command.args(["serve", "gateway", "--log", "warn"]);
        for role in roles {
            command.args(["--route", &format!("{}=http://{}", role.role, role.address)]);
        }
        Server::start("gateway", command).await
    }
}

/// A process that serves, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    role: String,
    child: Child,
    pub(crate) address: String,
    log: PathBuf,
    _folder: TempDir,
}

impl Server {
    async fn start(role: &str, mut command: Command) -> Result<Self> {
        // The port may be taken by someone else before the server has it; then it says so, and we do.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        command.args(["--listen", &address]).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let mut server = Self { role: role.to_owned(), child, address, log, _folder: folder };
        let start = Instant::now();
        while !server.serves().await {
            let ended = server.child.try_wait()?;
            if ended.is_some() || start.elapsed() > SERVING {
                let log = std::fs::read_to_string(&server.log).unwrap_or_default();
                bail!("{role} does not serve ({ended:?}):\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    async fn serves(&self) -> bool {
        let Ok(endpoint) = Endpoint::from_shared(format!("http://{}", self.address)) else { return false };
        let Ok(channel) = endpoint.connect().await else { return false };
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processor time it has taken so far.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn computed(&self) -> Result<Duration> {
        machine::computed(self.id()).with_context(|| format!("{} is gone", self.role))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
