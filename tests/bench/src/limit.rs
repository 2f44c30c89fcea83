//! Against the limit: requests of one row through the service, and through gateway and service, beside the graph
//! in this process with the batch size and the sessions that suit it best.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bare::{Bare, Course, Pace};
use crate::closed::{Callers, Seen};
use crate::median::median;
use crate::raw::{Raw, Runtime};
use crate::report::Table;
use crate::server::Server;
use crate::subject::Subject;
use crate::{Settings, infer::Client};

const CONCURRENCY: [usize; 4] = [1, 8, 32, 128];
/// Rows that the raw runtime has at a time.
const ROWS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// How long few rows wait for company at the third door: about as long as a caller needs to come again.
const DELAY_US: &str = "1000";

/// How long the gateway may take to learn what its roles have.
const KNOWN: Duration = Duration::from_secs(30);

/// One way to the graph.
struct Door<'a> {
    name: &'static str,
    /// Whose processor time counts.
    servers: Vec<&'a Server>,
    callers: Callers,
}

/// One round at one door, beside the raw runtime of the same round.
struct Round {
    raw: Pace,
    seen: Seen,
    computed_us: f64,
}

/// Measures both graphs.
///
/// # Errors
/// A server does not start, answers wrongly, or fails a call.
pub(crate) async fn measure(settings: &Settings, runtime: &Runtime) -> Result<Table> {
    let models = tempfile::tempdir()?;
    let subjects = [Subject::generator(&settings.models)?, Subject::perceptron()?];
    for subject in &subjects {
        subject.install(&settings.program, models.path())?;
    }
    let tensor = settings.program.role("tensor", models.path(), &[]).await?;
    let gateway = settings.program.gateway(&[&tensor]).await?;
    let waiting = settings
        .program
        .role("tensor", models.path(), &[("ATELIER_ENGINE__MAX_QUEUE_DELAY_US", DELAY_US)])
        .await?;
    let mut table = Table::new(
        "Against the limit",
        "`ModelInfer` with one row a request, beside the raw ONNX Runtime in the benchmark's own process with as \
         many rows at a time as suit it best, no more than callers, in one session with all cores or divided among \
         sessions of one core each, whichever is faster (`raw sessions`, of `raw batch` rows each). `rate` and \
         `cpu` are those of the server over those of the raw runtime: 1 is the limit for both. CPU is that of all \
         server processes behind the door, in microseconds a request. The clients' own computing is taken from the \
         same cores, and from the rate. `service, delay`: few rows wait a millisecond for company \
         (`engine.max_queue_delay_us = 1000`), which they do not by default.",
        &[
            "graph",
            "callers",
            "door",
            "raw sessions",
            "raw batch",
            "raw rows/s",
            "raw cpu us",
            "req/s",
            "rate",
            "cpu us",
            "cpu",
            "p50 ms",
            "p99 ms",
        ],
    );
    for subject in &subjects {
        agree(subject, &mut runtime.open(&subject.onnx)?, &[&tensor, &gateway, &waiting]).await?;
        let mut bare = Bare::open(runtime, &subject.onnx, &subject.spec)?;
        for callers in CONCURRENCY.into_iter().filter(|callers| *callers <= settings.most) {
            let course = best(subject, &mut bare, callers, settings)?;
            let doors = [
                Door {
                    name: "service",
                    servers: vec![&tensor],
                    callers: Callers::connect(&tensor.address, callers).await?,
                },
                Door {
                    name: "gateway",
                    servers: vec![&gateway, &tensor],
                    callers: Callers::connect(&gateway.address, callers).await?,
                },
                Door {
                    name: "service, delay",
                    servers: vec![&waiting],
                    callers: Callers::connect(&waiting.address, callers).await?,
                },
            ];
            let rounds = interleaved(settings, subject, &mut bare, &course, &doors).await?;
            for (door, rounds) in doors.iter().zip(&rounds) {
                let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
                let rate = of(&|round| round.seen.a_second() / round.raw.a_second);
                let cpu = of(&|round| round.computed_us / round.raw.computed_us);
                eprintln!(
                    "limit: {}, {callers} callers, {}: rate {rate:.2}, cpu {cpu:.2}",
                    subject.name, door.name
                );
                table.rows.push(vec![
                    subject.name.into(),
                    callers.into(),
                    door.name.into(),
                    course.sessions().into(),
                    course.batch().into(),
                    of(&|round| round.raw.a_second).into(),
                    of(&|round| round.raw.computed_us).into(),
                    of(&|round| round.seen.a_second()).into(),
                    rate.into(),
                    of(&|round| round.computed_us).into(),
                    cpu.into(),
                    of(&|round| round.seen.percentile(0.5)).into(),
                    of(&|round| round.seen.percentile(0.99)).into(),
                ]);
            }
        }
    }
    Ok(table)
}

/// Rounds of: the raw runtime, then each door. The first of them warms up and is not counted.
async fn interleaved(
    settings: &Settings,
    subject: &Subject,
    bare: &mut Bare<'_>,
    course: &Course,
    doors: &[Door<'_>],
) -> Result<Vec<Vec<Round>>> {
    let mut rounds: Vec<Vec<Round>> = doors.iter().map(|_| Vec::new()).collect();
    for number in 0..=settings.rounds {
        let raw = bare.pace(course, settings.time)?;
        for (door, rounds) in doors.iter().zip(&mut rounds) {
            let before = computed(&door.servers)?;
            let seen = door.callers.call(&subject.messages, settings.time).await?;
            let computed = computed(&door.servers)?.saturating_sub(before);
            let computed_us = computed.as_secs_f64() * 1e6 / seen.calls.max(1) as f64;
            if number > 0 {
                rounds.push(Round { raw, seen, computed_us });
            }
        }
    }
    Ok(rounds)
}

/// The processor time that these have taken so far.
///
/// # Errors
/// One is gone.
pub(crate) fn computed(servers: &[&Server]) -> Result<Duration> {
    servers.iter().map(|server| server.computed()).sum()
}

/// The rows at a time, no more than the callers, of which the raw runtime makes most a second.
fn best(subject: &Subject, bare: &mut Bare<'_>, callers: usize, settings: &Settings) -> Result<Course> {
    let mut best: Option<(Course, f64)> = None;
    for rows in ROWS.into_iter().filter(|rows| *rows <= callers) {
        let rows = subject.rows.get(..rows).context("too few rows")?;
        let (course, a_second) = bare.best(rows, settings.time / 3)?;
        if best.as_ref().is_none_or(|(_, most)| a_second > *most) {
            best = Some((course, a_second));
        }
    }
    best.map(|(course, _)| course).context("no rows")
}

/// What is fast must be right first: every door answers as the raw runtime does.
///
/// # Errors
/// One does not, or fails the call.
pub(crate) async fn agree(subject: &Subject, raw: &mut Raw, servers: &[&Server]) -> Result<()> {
    let (row, message) = (subject.rows.first().context("no row")?, subject.messages.first().context("none")?);
    let expected = raw.outputs(&subject.spec, row)?;
    for server in servers {
        let mut client = Client::connect(&server.address).await?;
        let answer = tokio::time::timeout(KNOWN, async {
            loop {
                let status = match client.outputs(&subject.spec, message.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let code = status.downcast_ref::<tonic::Status>().map(tonic::Status::code);
                if !matches!(code, Some(tonic::Code::NotFound | tonic::Code::Unavailable)) {
                    return Err(status);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let answer = answer.await.context("the gateway does not come to know the model")??;
        let differ = expected.iter().flatten().zip(answer.iter().flatten());
        let most = differ.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        ensure!(most < 1e-4, "{}: the answer is off by {most}", subject.name);
    }
    Ok(())
}
