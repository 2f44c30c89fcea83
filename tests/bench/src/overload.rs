//! More requests than can be answered: what still comes, how late, and with which codes the rest ends.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::closed::Callers;
use crate::infer::{Client, message};
use crate::median::median;
use crate::open::{self, Outcome};
use crate::report::Table;
use crate::subject::Subject;
use crate::{Settings, machine};

/// Times the capacity.
const LOADS: [f64; 4] = [0.5, 1.0, 2.0, 5.0];

/// Rows of a request: so much to compute that the client, on the same cores, can ask for five times of it.
const ROWS: usize = 16;

/// What callers give a request.
const DEADLINE: Duration = Duration::from_millis(250);

/// Callers by which the capacity is found.
const CALLERS: usize = 16;

const CONNECTIONS: usize = 16;

struct Round {
    outcome: Outcome,
    capacity: f64,
    resident: f64,
}

impl Round {
    fn good(&self) -> f64 {
        self.outcome.good as f64 / self.outcome.elapsed.as_secs_f64()
    }
}

/// Measures the service with the shipped generator.
///
/// # Errors
/// The server does not start, or fails where it is not overloaded.
pub(crate) async fn measure(settings: &Settings) -> Result<Table> {
    let models = tempfile::tempdir()?;
    let subject = Subject::generator(&settings.models)?;
    subject.install(&settings.program, models.path())?;
    let server = settings.program.role("tensor", models.path(), &[]).await?;
    let request: Vec<Bytes> = vec![message(subject.name, &subject.spec, &subject.batch(ROWS)?)];
    let callers = Callers::connect(&server.address, CALLERS).await?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(&server.address).await?);
    }
    let time = settings.time * 2;
    let mut rounds: Vec<Vec<Round>> = LOADS.iter().map(|_| Vec::new()).collect();
    for number in 0..=settings.rounds {
        let capacity = callers.call(&request, settings.time).await?.a_second();
        for (load, rounds) in LOADS.iter().zip(&mut rounds) {
            let outcome = open::send(&clients, &request, capacity * load, time, DEADLINE).await?;
            let resident = machine::resident(server.id())? as f64 / f64::from(1 << 20);
            if number > 0 {
                rounds.push(Round { outcome, capacity, resident });
            }
        }
    }
    let mut table = Table::new(
        "Overload",
        &format!(
            "`ModelInfer` of {ROWS} images a request in an open loop, at times the capacity that {CALLERS} callers \
             in a closed loop find in the same round; each request has {} ms from when it is due. `good`: \
             answered in that time. `of peak`: beside the best load of the table. p50 and p99: of those \
             answered, from when they were due. The client shares the cores, and takes more of them the more it asks for.",
            DEADLINE.as_millis()
        ),
        &["load", "capacity/s", "sent/s", "good/s", "of peak", "p50 ms", "p99 ms", "refused", "MiB"],
    );
    let good = |rounds: &[Round]| median(rounds.iter().map(Round::good));
    let peak = rounds.iter().map(|rounds| good(rounds)).fold(0.0, f64::max);
    for (load, rounds) in LOADS.iter().zip(&rounds) {
        let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
        let ms = |part: f64| of(&move |round| round.outcome.latency.value_at_quantile(part) as f64 / 1000.0);
        let last = rounds.last().context("no round")?;
        eprintln!("overload: {load} times: {:.2} of peak", good(rounds) / peak);
        table.rows.push(vec![
            (*load).into(),
            of(&|round| round.capacity).into(),
            of(&|round| round.outcome.sent as f64 / round.outcome.elapsed.as_secs_f64()).into(),
            good(rounds).into(),
            (good(rounds) / peak).into(),
            ms(0.5).into(),
            ms(0.99).into(),
            codes(last).into(),
            of(&|round| round.resident).into(),
        ]);
    }
    Ok(table)
}

/// The codes of the last round, with the part of requests that ended so.
fn codes(round: &Round) -> String {
    let part = |count: &u64| *count as f64 * 100.0 / round.outcome.sent.max(1) as f64;
    let codes = round.outcome.refused.iter().map(|(code, count)| format!("{code} {:.0} %", part(count)));
    let codes: Vec<String> = codes.collect();
    if codes.is_empty() { "none".into() } else { codes.join(", ") }
}
