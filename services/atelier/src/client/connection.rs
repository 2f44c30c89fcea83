//! The connection to a fleet, and one call over it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use atelier_chassis::tls::ClientTls;
use clap::ValueHint;
use futures_util::StreamExt;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt;

use super::status::{failure, root};
use crate::cli::failure::{Exit, Failure};

/// The header that carries the id of a request through the fleet.
const REQUEST_ID: &str = "x-request-id";
/// The header that carries the API key.
const AUTHORIZATION: &str = "authorization";
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long after the deadline the server may still answer for itself.
const GRACE: Duration = Duration::from_millis(500);
/// How often a call that an overloaded server puts off is tried in all.
const TRIES: u32 = 4;

/// Which server, and how long to wait for it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// The address of the gateway, or of a role
    #[arg(
        long,
        env = "ATELIER_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051",
        global = true
    )]
    pub(crate) server: String,
    /// How long each call may take, for example 10s or 500ms [default: 60s; no bound on what streams]
    #[arg(long, env = "ATELIER_TIMEOUT", value_name = "TIME", value_parser = timeout, global = true)]
    pub(crate) timeout: Option<Duration>,
    /// The authorities to believe, for an address with https://, as PEM [default: the system's]
    #[arg(long, env = "ATELIER_TLS_CA", value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The certificate to show, as PEM
    #[arg(long, env = "ATELIER_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM
    #[arg(long, env = "ATELIER_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    pub(crate) tls_key: Option<PathBuf>,
    /// The API key to call with; better in the environment than on a command line that others can see
    #[arg(long, env = "ATELIER_API_KEY", hide_env_values = true, value_name = "KEY", global = true)]
    pub(crate) api_key: Option<String>,
}

fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("must be more than nothing".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; right is for example 10s or 500ms")),
    }
}

/// A connection to a server.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    channel: Channel,
    timeout: Option<Duration>,
    key: Option<MetadataValue<Ascii>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// `Usage` for an address that is none, and for files and keys that cannot be used; `Unavailable` where
    /// nobody answers.
    pub(crate) async fn open(args: &ServerArgs) -> Result<Self, Failure> {
        let address = address(&args.server)?;
        let endpoint = Endpoint::from_shared(address.clone())
            .map_err(|e| Failure::usage(format!("--server: {:?} is no address: {e}", args.server)))?;
        let endpoint = with_tls(endpoint, &address, args)?;
        let key = args.api_key.as_deref().map(bearer).transpose()?;
        let channel = endpoint.connect_timeout(CONNECT).tcp_nodelay(true).connect().await.map_err(|e| {
            let message = format!(
                "cannot reach {address}: {}; start a fleet with `atelier up`, or name one with --server",
                root(&e)
            );
            Failure::new(Exit::Unavailable, message)
        })?;
        Ok(Self { channel, timeout: args.timeout, key })
    }

    /// A call with one answer. Where an overloaded server says when to try again, it is tried again.
    pub(crate) async fn unary<M: Clone, R>(
        &self,
        message: M,
        send: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let call = Call::new(Some(self.timeout.unwrap_or(Duration::from_secs(60))), self.key.clone());
        for tried in 1.. {
            let request = call.request(message.clone());
            let Some(answer) = call.bounded(send(self.channel.clone(), request)).await else { break };
            match answer {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => match call.retry_after(&status) {
                    Some(wait) if tried < TRIES => tokio::time::sleep(wait).await,
                    _ => return Err(call.failure(&status)),
                },
            }
        }
        Err(call.too_late())
    }

    /// A call whose answer is a stream.
    pub(crate) async fn stream<M, R>(
        &self,
        message: M,
        send: impl AsyncFnOnce(Channel, Request<M>) -> Result<Response<Streaming<R>>, Status>,
    ) -> Result<Events<R>, Failure> {
        let call = Call::new(self.timeout, self.key.clone());
        let request = call.request(message);
        match call.bounded(send(self.channel.clone(), request)).await {
            Some(Ok(response)) => Ok(Events { inner: response.into_inner(), call }),
            Some(Err(status)) => Err(call.failure(&status)),
            None => Err(call.too_late()),
        }
    }
}

/// What a streaming call answers.
pub(crate) struct Events<R> {
    inner: Streaming<R>,
    call: Call,
}

impl<R> Events<R> {
    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<R>, Failure> {
        match self.call.bounded(self.inner.next()).await {
            Some(None) => Ok(None),
            Some(Some(Ok(event))) => Ok(Some(event)),
            Some(Some(Err(status))) => Err(self.call.failure(&status)),
            None => Err(self.call.too_late()),
        }
    }
}

/// One call: its id and how long it may take.
struct Call {
    id: String,
    start: Instant,
    timeout: Option<Duration>,
    key: Option<MetadataValue<Ascii>>,
}

impl Call {
    fn new(timeout: Option<Duration>, key: Option<MetadataValue<Ascii>>) -> Self {
        // Ours and not the server's, so that it is known even when no answer comes.
        let id = format!("{:032x}", rand::random::<u128>());
        Self { id, start: Instant::now(), timeout, key }
    }

    fn left(&self) -> Option<Duration> {
        self.timeout.map(|timeout| timeout.saturating_sub(self.start.elapsed()))
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Ok(id) = MetadataValue::try_from(&self.id) {
            request.metadata_mut().insert(REQUEST_ID, id);
        }
        if let Some(key) = &self.key {
            request.metadata_mut().insert(AUTHORIZATION, key.clone());
        }
        if let Some(left) = self.left() {
            request.set_timeout(left);
        }
        request
    }

    /// `None` when the server let the deadline pass in silence.
    async fn bounded<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        match self.left() {
            Some(left) => tokio::time::timeout(left.saturating_add(GRACE), answer).await.ok(),
            None => Some(answer.await),
        }
    }

    fn retry_after(&self, status: &Status) -> Option<Duration> {
        if status.code() != Code::ResourceExhausted {
            return None;
        }
        let wait = status.get_details_retry_info()?.retry_delay?;
        self.left().is_none_or(|left| wait < left).then_some(wait)
    }

    fn failure(&self, status: &Status) -> Failure {
        // Tonic's channel has a timer of its own for `grpc-timeout`, and calls its end CANCELLED.
        if status.code() == Code::Cancelled && self.left().is_some_and(|left| left.is_zero()) {
            return self.too_late();
        }
        failure(status, &self.id)
    }

    fn too_late(&self) -> Failure {
        let timeout = humantime::format_duration(self.timeout.unwrap_or_default());
        let message = format!("no answer within {timeout} (DEADLINE_EXCEEDED, request {})", self.id);
        Failure::new(Exit::Deadline, message)
    }
}

/// The address as a URL; `http://` may be left out.
fn address(server: &str) -> Result<String, Failure> {
    match server.split_once("://") {
        Some(("http" | "https", _)) => Ok(server.to_owned()),
        Some((scheme, _)) => Err(Failure::usage(format!(
            "--server: {scheme}:// is not spoken; right is for example http://127.0.0.1:50051 or https://atelier.example:443"
        ))),
        None => Ok(format!("http://{server}")),
    }
}

/// The endpoint, with TLS where the address asks for it.
fn with_tls(endpoint: Endpoint, address: &str, args: &ServerArgs) -> Result<Endpoint, Failure> {
    let tls = ClientTls {
        ca: args.tls_ca.clone(),
        certificate: args.tls_cert.clone(),
        key: args.tls_key.clone(),
        domain: None,
        ..ClientTls::default()
    };
    match (address.starts_with("https://"), tls.is_set()) {
        (false, false) => Ok(endpoint),
        (false, true) => Err(Failure::usage(format!(
            "--server: {address} is plaintext, and the flags for TLS are given; right is https://"
        ))),
        (true, _) => {
            let tls = tls.load().map_err(|e| {
                // As the fields are called on the command line.
                let flag = if e.field == "certificate" { "cert" } else { e.field };
                Failure::usage(format!("--tls-{flag}: {}", e.problem))
            })?;
            endpoint.tls_config(tls).map_err(|e| Failure::usage(format!("--server: {}", root(&e))))
        }
    }
}

/// The header of a key.
fn bearer(key: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let mut value = MetadataValue::try_from(format!("Bearer {key}"))
        .map_err(|_| Failure::usage("--api-key: must be of visible ASCII characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_do_without_its_scheme() {
        assert_eq!(address("localhost:1").unwrap(), "http://localhost:1");
        assert_eq!(address("http://localhost:1").unwrap(), "http://localhost:1");
        assert_eq!(address("https://localhost:1").unwrap(), "https://localhost:1");
        let refused = address("ftp://localhost:1").unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().contains("ftp://"), "{refused}");
    }

    #[test]
    fn tonics_own_timer_is_told_from_a_cancelled_call() {
        let status = Status::cancelled("Timeout expired");
        let late = Call { id: "a".into(), start: Instant::now(), timeout: Some(Duration::ZERO), key: None };
        assert_eq!(late.failure(&status).exit(), Exit::Deadline);
        let early = Call { timeout: Some(Duration::from_secs(60)), ..late };
        assert_eq!(early.failure(&status).exit(), Exit::Other);
    }

    #[test]
    fn only_an_overload_that_ends_in_time_is_tried_again() {
        use tonic_types::ErrorDetails;
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(250)));
        let busy = Status::with_error_details(Code::ResourceExhausted, "full", details.clone());
        let away = Status::with_error_details(Code::Unavailable, "draining", details);
        let call = |timeout| Call { id: "a".into(), start: Instant::now(), timeout, key: None };
        assert_eq!(call(None).retry_after(&busy), Some(Duration::from_millis(250)));
        assert_eq!(call(Some(Duration::from_millis(200))).retry_after(&busy), None);
        assert_eq!(call(None).retry_after(&away), None);
    }
}
