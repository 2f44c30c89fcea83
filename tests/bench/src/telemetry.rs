//! What metrics cost: what is recorded for one request, again and again by as many threads as there are cores and in
//! the same places, beside the processor time that a request takes; and what a scrape takes.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use atelier_chassis::metrics::Meters;
use atelier_engine::measure::{Counter, Elapsed, Gauge, Histogram, Last};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::Settings;
use crate::closed::Callers;
use crate::limit::{agree, computed};
use crate::machine;
use crate::median::median;
use crate::raw::Runtime;
use crate::report::Table;
use crate::subject::Subject;

const CALLERS: usize = 32;

/// Requests that one thread records in a round.
const RECORDED: u32 = 200_000;

/// Scrapes in a round: enough that hundredths of a second can be divided by them.
const SCRAPES: u32 = 100;

/// What Prometheus is set to in `deploy/compose/prometheus.yaml`.
const INTERVAL: Duration = Duration::from_secs(5);

const SERVICE: &str = "inference.GRPCInferenceService";
const METHODS: [&str; 3] = ["ModelInfer", "ModelReady", "ModelStreamInfer"];
const PATH: &str = "/inference.GRPCInferenceService/ModelInfer";

/// What gateway and role keep of their requests.
struct Kept {
    gateway: Meters,
    role: Meters,
    held: [Gauge; 2],
    /// Forwarded, and over; answered, batches, rows and padding.
    counts: [Counter; 6],
    /// Queued, computed, answered.
    times: [Elapsed; 3],
    last: Last,
    queue: Histogram,
    compute: Histogram,
    rows: Histogram,
}

impl Kept {
    fn new() -> Self {
        let methods = || vec![(SERVICE.to_owned(), METHODS.map(str::to_owned).to_vec())];
        Self {
            gateway: Meters::new("gateway", methods()),
            role: Meters::new("tensor", methods()),
            held: Default::default(),
            counts: Default::default(),
            times: Default::default(),
            last: Last::default(),
            queue: Histogram::seconds(),
            compute: Histogram::seconds(),
            rows: Histogram::rows(),
        }
    }

    /// All that is recorded for a request that makes a batch of its own, which is more than for one that shares
    /// its batch, on its way through gateway, role and engine.
    fn request(&self) {
        let (gateway, role) = (self.gateway.begin(PATH), self.role.begin(PATH));
        let submitted = Instant::now();
        let held = self.held.each_ref().map(|gauge| gauge.hold(1));
        let waited = submitted.elapsed();
        self.queue.time(waited);
        let ran = Instant::now();
        self.compute.time(ran.elapsed());
        self.rows.count(1);
        self.last.now();
        for time in &self.times {
            time.add(submitted.elapsed());
        }
        for count in &self.counts {
            count.add(1);
        }
        drop(held);
        role.ended(Code::Ok);
        gateway.ended(Code::Ok);
    }

    /// Nanoseconds of a core for one request, while all cores record in the same places.
    fn cost(&self) -> f64 {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..machine::cores() {
                scope.spawn(|| (0..RECORDED).for_each(|_| self.request()));
            }
        });
        start.elapsed().as_secs_f64() * 1e9 / f64::from(RECORDED)
    }
}

/// Measures both.
///
/// # Errors
/// A server does not start, answers wrongly, or fails a call.
pub(crate) async fn measure(settings: &Settings, runtime: &Runtime) -> Result<Table> {
    let models = tempfile::tempdir()?;
    let subjects = [Subject::generator(&settings.models)?, Subject::perceptron()?];
    for subject in &subjects {
        subject.install(&settings.program, models.path())?;
    }
    // The port may be taken by someone else before the server has it; then it says so, and we do.
    let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let env = [("ATELIER_ADMIN__LISTEN", &*admin.to_string())];
    let tensor = settings.program.role("tensor", models.path(), &env).await?;
    let gateway = settings.program.gateway(&[&tensor]).await?;
    let mut table = Table::new(
        "Metrics",
        "What metrics take of the processor time of a request with one row, 32 callers, through gateway and \
         service (`percent`, of their time together). Recording: all counts, gauges and histograms of a request \
         that is a batch of its own, while every core records in the same places. Scraping: `/metrics` of the \
         service every 5 seconds, of one core.",
        &["what", "graph", "cost us", "of us", "percent"],
    );
    let kept = Kept::new();
    for subject in &subjects {
        let mut raw = runtime.open(&subject.onnx)?;
        agree(subject, &mut raw, &[&tensor, &gateway]).await?;
        let callers = Callers::connect(&gateway.address, CALLERS).await?;
        let (mut costs, mut requests) = (Vec::new(), Vec::new());
        for number in 0..=settings.rounds {
            let before = computed(&[&gateway, &tensor])?;
            let seen = callers.call(&subject.messages, settings.time).await?;
            let taken = computed(&[&gateway, &tensor])?.saturating_sub(before);
            let cost = kept.cost() / 1e3;
            // The first warms up.
            if number > 0 {
                costs.push(cost);
                requests.push(taken.as_secs_f64() * 1e6 / seen.calls.max(1) as f64);
            }
        }
        let percent = costs.iter().zip(&requests).map(|(cost, request)| 100.0 * cost / request);
        let percent = median(percent);
        eprintln!("telemetry: recording, {}: {percent:.3} %", subject.name);
        let of = |values: &[f64]| median(values.iter().copied()).into();
        let row = ["recording".into(), subject.name.into(), of(&costs), of(&requests), percent.into()];
        table.rows.push(row.into());
    }
    let mut scrapes = Vec::new();
    for _ in 0..settings.rounds {
        let before = tensor.computed()?;
        for _ in 0..SCRAPES {
            scrape(admin).await?;
        }
        let taken = tensor.computed()?.saturating_sub(before);
        scrapes.push(taken.as_secs_f64() * 1e6 / f64::from(SCRAPES));
    }
    let (cost, interval) = (median(scrapes), INTERVAL.as_secs_f64() * 1e6);
    table.rows.push(vec![
        "scraping".into(),
        "both".into(),
        cost.into(),
        interval.into(),
        (100.0 * cost / interval).into(),
    ]);
    Ok(table)
}

/// Asks for `/metrics` as Prometheus does, and reads all of it.
async fn scrape(admin: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(admin).await?;
    stream
        .write_all(format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.context("/metrics")?;
    ensure!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("atelier_request_duration_seconds"),
        "{answer}"
    );
    Ok(())
}
