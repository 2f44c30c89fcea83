//! A fleet of our own, for `--up`.

use std::{
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};

use crate::{
    cargo::cargo_here,
    layout::Layout,
    runtime::{self, Flavour, ORT_DYLIB_PATH},
};

/// `atelier up` on a free port; it is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    child: Child,
    /// Where its gateway listens.
    pub(crate) address: String,
}

impl Fleet {
    /// Builds it in release, starts it, and waits until it is ready.
    ///
    /// # Errors
    /// One line: it cannot be built, or it ended before it was ready.
    pub(crate) fn start(layout: &Layout) -> Result<Self> {
        let library = runtime::onnxruntime(layout, Flavour::Cpu)?;
        let mut cargo = cargo_here();
        cargo
            .args(["run", "--release", "--package", "atelier", "--bin", "atelier", "--manifest-path"])
            .arg(layout.workspace().join("Cargo.toml"))
            .args(["--", "up", "--log", "warn", "--listen", "127.0.0.1:0", "--models"])
            .arg(layout.models())
            .env(ORT_DYLIB_PATH, library)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let child = cargo.spawn().context("cannot start cargo")?;
        // From here on it is ended, whatever happens.
        let mut fleet = Self { child, address: String::new() };
        let mut lines = BufReader::new(fleet.child.stdout.take().context("the fleet has no output")?);
        let mut line = String::new();
        lines.read_line(&mut line).context("cannot read from the fleet")?;
        let Some(address) = line.trim_end().strip_prefix("READY http://") else {
            bail!("the fleet ended before it was ready; what it said is above");
        };
        fleet.address = address.to_owned();
        // A pipe that nobody reads would block it one day.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        Ok(fleet)
    }

    /// Its process: cargo replaces itself by what it has built.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // TERM, so that it drains as in a pod; Rust's own `kill` would not let it.
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        if !told.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
