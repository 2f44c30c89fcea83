//! A fleet with its operator's port open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use atelier_proto::text::v1::GenerateRequest;
use atelier_proto::text::v1::text_service_client::TextServiceClient;

use crate::scrape::Scrape;

/// With a `char-rnn` among them.
const STREAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/models");
/// With a `variational-autoencoder` among them.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../codec/tests/models");
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// `atelier up`, killed when this is dropped.
pub(crate) struct Door {
    child: Child,
    server: String,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

/// How a client ended.
pub(crate) struct Ended(Output);

/// A client in the midst of a stream, killed when this is dropped.
pub(crate) struct Held {
    client: Child,
    /// Kept open and not read.
    _text: ChildStdout,
}

fn atelier() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atelier"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ATELIER_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

impl Door {
    /// With a model of text.
    pub(crate) fn up(env: &[(&str, &str)]) -> Self {
        Self::serving(STREAMS, env)
    }

    /// With models of pictures.
    pub(crate) fn with_pictures() -> Self {
        Self::serving(PICTURES, &[])
    }

    /// Waits for READY, and finds the port in the log.
    fn serving(models: &str, env: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut command = atelier();
        command.args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(["--log-format", "json", "--models", models]).envs(env.iter().copied());
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let logged = std::fs::read_to_string(&log).unwrap();
        let server = first.trim_end().strip_prefix("READY ").map(str::to_owned);
        let server = server.unwrap_or_else(|| panic!("{first:?}: {logged}"));
        let lines = logged.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut open = lines.filter(|line| line["message"] == "the admin port is open");
        let address = open.next().unwrap_or_else(|| panic!("{logged}"))["address"].as_str().unwrap().parse();
        Self { child, server, address: address.unwrap(), directory }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// A text of so many characters.
    pub(crate) fn text(&self, chars: &str, more: &[&str]) -> Ended {
        let mut client = atelier();
        client.args(["text", "generate", "--seed", "1", "--max-chars", chars, "--server", &self.server]);
        Ended(client.args(more).output().unwrap())
    }

    /// A picture out of nothing.
    pub(crate) fn picture(&self) -> Ended {
        let output = self.directory.path().join("picture.png");
        let mut client = atelier();
        client.args(["codec", "sample", "--seed", "7", "--server", &self.server, "--output"]).arg(output);
        Ended(client.output().unwrap())
    }

    /// A text without end of which nothing is read but its first character.
    pub(crate) fn stream(&self) -> Held {
        let mut client = atelier();
        client.args(["text", "generate", "--seed", "1", "--max-chars", "100000", "--server", &self.server]);
        let mut client = client.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut text = client.stdout.take().unwrap();
        text.read_exact(&mut [0]).unwrap();
        Held { client, _text: text }
    }

    /// Calls the text role itself, with a deadline that passes in the midst of the stream; the code it ends with.
    /// Not by the program, whose own clock is a little ahead of the server's.
    pub(crate) fn expire(&self) -> tonic::Code {
        let logged = std::fs::read_to_string(self.log()).unwrap();
        let lines = logged.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut listening = lines.filter(|line| line["message"] == "listening" && line["role"] == "text");
        let address = format!("http://{}", listening.next().unwrap()["address"].as_str().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = TextServiceClient::connect(address).await.unwrap();
            let request = GenerateRequest { max_chars: Some(100_000), seed: 1, ..GenerateRequest::default() };
            let mut request = tonic::Request::new(request);
            request.set_timeout(Duration::from_millis(100));
            let mut stream = client.generate(request).await.unwrap().into_inner();
            loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return tonic::Code::Ok,
                    Err(status) => return status.code(),
                }
            }
        })
    }

    pub(crate) fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        Scrape::new(text)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "")
    }

    /// Status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        socket.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn() -> bool) {
        let start = Instant::now();
        while !so() {
            let log = || std::fs::read_to_string(self.log()).unwrap();
            assert!(start.elapsed() < PATIENCE, "never: {what}\n{}\n{}", self.scrape().text(), log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits for its end; the exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the fleet did not stop");
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub(crate) fn ok(&self) {
        assert!(self.success(), "{}", self.error());
    }

    pub(crate) fn success(&self) -> bool {
        self.0.status.success()
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn error(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
