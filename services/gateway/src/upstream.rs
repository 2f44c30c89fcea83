//! A role as a whole: its endpoints, and calls that go to whichever is best.
//!
//! A call goes to the less busy of two endpoints that say that they serve (`pick`), and again to another where it was
//! not taken (`verdict`), as long as its body can be sent again (`replay`) and not too many calls are (the budget).
//! Its deadline bounds how long that may take, and where nothing can be reached so does the time to connect.
//! Endpoints that keep failing are left alone for a while (`outlier`). Names are looked up again and again
//! (`discover`).

mod discover;
mod endpoint;
mod outlier;
mod pick;
mod replay;
mod target;
mod verdict;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atelier_chassis::deadline::{GRPC_TIMEOUT, format_timeout};
use atelier_chassis::{Deadline, Request, Response, ServiceError};
use futures_util::future::BoxFuture;
use http::HeaderValue;
use http_body_util::BodyExt;
use rand::RngExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt;
use tower::retry::budget::{Budget, TpsBudget};

use crate::config::{GatewayConfig, GatewayError, Route};
use discover::Discovery;
pub(crate) use discover::Endpoints;
pub(crate) use endpoint::{Endpoint, Visit};
use pick::Candidate;
pub(crate) use replay::{Allowance, Replay};
pub(crate) use verdict::Again;
use verdict::Verdict;

/// A call is sent so often at most, however long that takes: how long it may take is its deadline's to say.
const ATTEMPTS: u32 = 3;
/// But where an endpoint could not be reached, only within so many times to connect of the call's beginning: of machines
/// that are gone without a word, each costs one.
const CONNECTS: u32 = 2;
/// How much of a call's body is kept to be sent again, while there is something left of the [`Allowance`].
const KEPT_BYTES: usize = 1 << 20;
/// Calls that are sent again, as a part of all: so many that a role which is restarted is not noticed, and so few
/// that one which is overloaded is not brought down. For this window, with a few a second in any case.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
const BUDGET_RATIO: f32 = 0.2;
const BUDGET_A_SECOND: u32 = 10;
/// How long to wait before a call goes to an endpoint where it broke off, doubled each time.
const PAUSE: Duration = Duration::from_millis(25);

/// A role's endpoints. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Upstream(Arc<Inner>);

struct Inner {
    role: String,
    endpoints: watch::Receiver<Endpoints>,
    discovery: Mutex<Option<Discovery>>,
    sooner: Arc<Notify>,
    /// How long connecting may take, and how long a call waits for the first endpoints to be found.
    patience: Duration,
    budget: TpsBudget,
    allowance: Allowance,
    counts: Counts,
}

/// What was done beyond forwarding each call once.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    again: [AtomicU64; Again::ALL.len()],
    over_budget: AtomicU64,
    left_alone: AtomicU64,
}

impl Counts {
    /// Calls that were sent again.
    pub(crate) fn again(&self) -> impl Iterator<Item = (Again, u64)> + '_ {
        Again::ALL.into_iter().zip(self.again.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Calls that were not sent again because too many others were.
    pub(crate) fn over_budget(&self) -> u64 {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// How often an endpoint was left alone.
    pub(crate) fn left_alone(&self) -> u64 {
        self.left_alone.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Of a route. Connections are made when they are needed. The allowance is for the bodies of calls.
    pub(crate) fn new(
        route: &Route,
        config: &GatewayConfig,
        allowance: Allowance,
    ) -> Result<Self, GatewayError> {
        let targets = target::Target::all(route, config)?;
        let sooner = Arc::new(Notify::new());
        let (discovery, endpoints) =
            Discovery::new(route.role.clone(), targets, config.resolve_interval, Arc::clone(&sooner));
        Ok(Self(Arc::new(Inner {
            role: route.role.clone(),
            endpoints,
            discovery: Mutex::new(Some(discovery)),
            sooner,
            patience: config.connect_timeout(),
            budget: TpsBudget::new(BUDGET_WINDOW, BUDGET_A_SECOND, BUDGET_RATIO),
            allowance,
            counts: Counts::default(),
        })))
    }

    /// Keeps the endpoints up to date until it is dropped. To be run once.
    pub(crate) async fn discover(self) {
        let discovery = self.0.discovery.lock().unwrap_or_else(PoisonError::into_inner).take();
        match discovery {
            Some(discovery) => discovery.run().await,
            None => std::future::pending().await,
        }
    }

    /// The endpoints, now and whenever they change.
    pub(crate) fn endpoints(&self) -> watch::Receiver<Endpoints> {
        self.0.endpoints.clone()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Sends a call; its answer, and what counts it as under way until the answer is over.
    ///
    /// # Errors
    /// UNAVAILABLE where no endpoint can be reached, DEADLINE_EXCEEDED where the call's time is over.
    pub(crate) async fn send(&self, request: Request) -> Result<(Response, Visit), ServiceError> {
        let inner = &*self.0;
        let (mut parts, body) = request.into_parts();
        let service = service_of(parts.uri.path()).unwrap_or_default().to_owned();
        let deadline = Deadline::from_extensions(&parts.extensions);
        parts.extensions.clear();
        let (replay, mut body) = Replay::new(body, KEPT_BYTES, Some(&inner.allowance));
        let (begun, mut tried, mut before, mut lost) = (Instant::now(), Vec::new(), None, false);
        inner.budget.deposit();
        for attempt in 1.. {
            let endpoint = inner.pick(&service, &tried).await.ok_or_else(|| inner.unreachable())?;
            // What was not taken, because its connection was at its end, the next connection takes at once.
            if tried.contains(&endpoint.id()) && before != Some(Again::NotTaken) {
                tokio::time::sleep(pause(attempt)).await;
            }
            tried.push(endpoint.id());
            let visit = Visit::begin(endpoint);
            let mut request = Request::from_parts(parts.clone(), body);
            // Less what was used here.
            if let Some(deadline) = deadline
                && let Ok(left) = HeaderValue::try_from(format_timeout(deadline.remaining()))
            {
                request.headers_mut().insert(GRPC_TIMEOUT, left);
            }
            let outcome = visit.endpoint().channel.clone().oneshot(request).await;
            let verdict = match &outcome {
                Ok(answer) => Verdict::of_answer(answer.headers()),
                Err(error) => Verdict::of_error(error),
            };
            inner.note(&visit, verdict);
            let again = verdict.again().filter(|again| {
                let in_time = verdict != Verdict::Unreachable || begun.elapsed() < inner.patience * CONNECTS;
                // A call that kills whoever takes it must not go round.
                let first_loss = verdict != Verdict::Lost || !lost;
                attempt < ATTEMPTS && in_time && first_loss && inner.helps(*again, &tried)
            });
            // The body last: giving it out again cuts off whoever reads it still.
            if let Some(again) = again
                && replay.is_whole()
                && inner.may(again)
                && let Some(whole) = replay.again()
            {
                tracing::debug!(role = inner.role, attempt, why = again.name(), "sending a call again");
                (body, before) = (whole, Some(again));
                lost |= again == Again::Lost;
                continue;
            }
            replay.release();
            return match outcome {
                Ok(answer) => Ok((answer, visit)),
                Err(_) if verdict == Verdict::Expired => Err(ServiceError::deadline_passed()),
                Err(error) => {
                    inner.warn(&visit, &error);
                    Err(inner.unreachable())
                }
            };
        }
        Err(inner.unreachable())
    }
}

impl Inner {
    /// The endpoint for a call. Waits for the first ones to be found, where none has been yet.
    async fn pick(&self, service: &str, tried: &[endpoint::Id]) -> Option<Arc<Endpoint>> {
        let now = self.endpoints.borrow().clone();
        let endpoints = if now.is_empty() {
            let mut changes = self.endpoints.clone();
            self.sooner.notify_one();
            let found = changes.wait_for(|endpoints| !endpoints.is_empty());
            tokio::time::timeout(self.patience, found).await.ok()?.ok()?.clone()
        } else {
            now
        };
        if let [only] = &*endpoints {
            return Some(Arc::clone(only));
        }
        let candidates = endpoints.iter().map(|endpoint| Candidate {
            standing: endpoint.standing(service),
            tried: tried.contains(&endpoint.id()),
            in_flight: endpoint.in_flight(),
        });
        let candidates: Vec<Candidate> = candidates.collect();
        let place = pick::pick(&candidates, |end| rand::rng().random_range(0..end))?;
        endpoints.get(place).cloned()
    }

    /// Whether sending a call again may come to more than it did.
    fn helps(&self, again: Again, tried: &[endpoint::Id]) -> bool {
        match again {
            // The next connection takes it.
            Again::NotTaken | Again::Lost => true,
            // The same endpoint says the same.
            Again::Unreachable | Again::Declined => {
                self.endpoints.borrow().iter().any(|endpoint| !tried.contains(&endpoint.id()))
            }
        }
    }

    /// Whether a call may be sent again. One that was not taken costs nobody anything.
    fn may(&self, again: Again) -> bool {
        let may = again == Again::NotTaken || self.budget.withdraw();
        let count =
            match Again::ALL.iter().position(|it| *it == again).and_then(|at| self.counts.again.get(at)) {
                Some(count) if may => count,
                _ => &self.counts.over_budget,
            };
        count.fetch_add(1, Ordering::Relaxed);
        may
    }

    fn note(&self, visit: &Visit, verdict: Verdict) {
        if verdict == Verdict::Unreachable {
            // It may have moved.
            self.sooner.notify_one();
        }
        if visit.endpoint().note(verdict.is_failure()) {
            self.counts.left_alone.fetch_add(1, Ordering::Relaxed);
            let endpoint = visit.endpoint().id().address;
            tracing::warn!(role = self.role, %endpoint, "an endpoint that keeps failing is left alone for a while");
        }
    }

    fn warn(&self, visit: &Visit, error: &(dyn Error + 'static)) {
        let error = verdict::chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let endpoint = visit.endpoint().id().address;
        tracing::warn!(role = self.role, %endpoint, error, "cannot forward");
    }

    fn unreachable(&self) -> ServiceError {
        ServiceError::unavailable(format!("the {} role cannot be reached", self.role))
    }
}

/// As a channel, for clients. Always ready: which endpoint has to be is known with the call only.
impl tower::Service<Request> for Upstream {
    type Response = Response;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let upstream = self.clone();
        Box::pin(async move {
            let (answer, visit) = upstream.send(request).await?;
            // A stream is under way until its end.
            Ok(answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &visit;
                    frame
                }))
            }))
        })
    }
}

/// The name of the service in a gRPC path.
pub(crate) fn service_of(path: &str) -> Option<&str> {
    path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service)
}

/// Before the second attempt and those after it: up to half of it less, so that calls that failed together do not come
/// back together.
fn pause(attempt: u32) -> Duration {
    (PAUSE * (1 << attempt.saturating_sub(2).min(4))).mul_f64(rand::rng().random_range(0.5..1.0))
}
