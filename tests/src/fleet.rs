//! A fleet under way.

use std::net::SocketAddr;
use std::process::{Child, Command, Output};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::atelier;
use crate::{Log, Start, shipped};

/// How long a process may take to end. Longer than its own bound on draining.
const END: Duration = Duration::from_secs(60);

/// How many lines of its log a test that fails shows.
const SHOWN: usize = 100;

/// A process of the program, killed where it still runs when this is dropped.
#[derive(Debug)]
pub struct Fleet {
    child: Child,
    address: Option<SocketAddr>,
    log: Log,
    _directory: TempDir,
}

impl Fleet {
    pub(crate) fn new(child: Child, directory: TempDir, log: Log) -> Self {
        Self { child, address: None, log, _directory: directory }
    }

    pub(crate) fn set_address(&mut self, address: SocketAddr) {
        self.address = Some(address);
    }

    /// The shipped models, shared by all tests that run at the time. Not for tests that change what others see.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Fleet>> = Mutex::new(Weak::new());
        // A fleet that did not start leaves nothing half-made behind.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fleet) = shared.upgrade() {
            return fleet;
        }
        let fleet = Arc::new(Start::up(&shipped()).start());
        *shared = Arc::downgrade(&fleet);
        fleet
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it is ready")
    }

    /// What it has logged.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client command of the program, against this fleet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = atelier();
        command.args(args).env("ATELIER_SERVER", format!("http://{}", self.address()));
        command
    }

    /// What a client command printed. It must end well.
    pub fn ok(&self, args: &[&str]) -> String {
        crate::program::stdout(&self.output(args))
    }

    /// How a client command ends.
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Sends a signal, such as "TERM".
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for its end; the exit code, if no signal ended it.
    pub fn wait(mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < END {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the process did not end:\n{}", self.log.text());
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It may have ended already; a failed test must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log.text();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!("the end of the fleet's log:\n{}", last.join("\n"));
        }
    }
}
