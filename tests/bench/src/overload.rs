//! More requests than can be answered: what still comes, how late, and with which codes the rest ends.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;

use crate::Settings;
use crate::closed::Callers;
use crate::infer::{Client, message};
use crate::machine::{self, Memory};
use crate::median::median;
use crate::open::{self, Outcome};
use crate::report::Table;
use crate::subject::Subject;

const MIB: f64 = (1 << 20) as f64;

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
    /// Of the server, for each request that it answered.
    computed_us: f64,
    /// Processors that this program kept busy meanwhile.
    client_cores: f64,
    memory: Memory,
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
        ensure!(capacity > 0.0, "nobody was answered within {:?}", settings.time);
        for (load, rounds) in LOADS.iter().zip(&mut rounds) {
            machine::forget_peak(server.id());
            let (before, client) = (server.computed()?, machine::computed(std::process::id())?);
            let outcome = open::send(&clients, &request, capacity * load, time, DEADLINE).await?;
            let computed = server.computed()?.saturating_sub(before);
            let computed_us = computed.as_secs_f64() * 1e6 / outcome.latency.len().max(1) as f64;
            let client = machine::computed(std::process::id())?.saturating_sub(client);
            let client_cores = client.as_secs_f64() / outcome.elapsed.as_secs_f64();
            let memory = machine::memory(server.id())?;
            if number > 0 {
                rounds.push(Round { outcome, capacity, computed_us, client_cores, memory });
            }
        }
    }
    let mut table = Table::new(
        "Overload",
        &format!(
            "`ModelInfer` of {ROWS} images a request in an open loop, at times the capacity that {CALLERS} callers \
             in a closed loop find in the same round; each request has {} ms from when it is due. `good`: \
             answered in that time. `of peak`: beside the best load of the table. CPU: microseconds of the server for \
             each request that it answers, refusing the others included. `client`: the cores that asking takes, from the \
             same machine. p50 and p99: of those answered, from when they were due. `refused`: of all requests of all rounds; what the client gives up when its time is over \
             counts as DeadlineExceeded. `MiB` and `peak MiB`: what the server holds after the load, and the most \
             while it lasts.",
            DEADLINE.as_millis()
        ),
        &[
            "load",
            "capacity/s",
            "sent/s",
            "good/s",
            "of peak",
            "cpu us",
            "client",
            "p50 ms",
            "p99 ms",
            "refused",
            "MiB",
            "peak MiB",
        ],
    );
    let good = |rounds: &[Round]| median(rounds.iter().map(Round::good));
    // At least something, or nothing would be divided by nothing.
    let peak = rounds.iter().map(|rounds| good(rounds)).fold(f64::MIN_POSITIVE, f64::max);
    for (load, rounds) in LOADS.iter().zip(&rounds) {
        let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
        let ms = |part: f64| of(&move |round| round.outcome.latency.value_at_quantile(part) as f64 / 1000.0);
        eprintln!("overload: {load} times: {:.2} of peak", good(rounds) / peak);
        table.rows.push(vec![
            (*load).into(),
            of(&|round| round.capacity).into(),
            of(&|round| round.outcome.sent as f64 / round.outcome.elapsed.as_secs_f64()).into(),
            good(rounds).into(),
            (good(rounds) / peak).into(),
            of(&|round| round.computed_us).into(),
            of(&|round| round.client_cores).into(),
            ms(0.5).into(),
            ms(0.99).into(),
            codes(rounds.iter().map(|round| &round.outcome)).into(),
            of(&|round| round.memory.resident as f64 / MIB).into(),
            of(&|round| round.memory.peak as f64 / MIB).into(),
        ]);
    }
    Ok(table)
}

/// The codes of requests that were not answered, with the part of all that ended so.
fn codes<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let (mut sent, mut refused) = (0_u64, BTreeMap::<&str, u64>::new());
    for outcome in outcomes {
        sent += outcome.sent;
        for (code, count) in &outcome.refused {
            *refused.entry(code).or_default() += count;
        }
    }
    let part = |count: u64| count as f64 * 100.0 / sent.max(1) as f64;
    let codes: Vec<String> =
        refused.iter().map(|(code, count)| format!("{code} {:.1} %", part(*count))).collect();
    if codes.is_empty() { "none".into() } else { codes.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closed::histogram;

    fn outcome(sent: u64, refused: &[(&str, u64)]) -> Outcome {
        let refused = refused.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
        let latency = histogram().unwrap();
        Outcome { sent, elapsed: Duration::from_secs(1), latency, good: 0, refused }
    }

    #[test]
    fn refusals_are_parts_of_all_that_was_sent_in_all_rounds() {
        let rounds = [outcome(150, &[("A", 30)]), outcome(50, &[("A", 10), ("B", 1)]), outcome(0, &[])];
        assert_eq!(codes(rounds.iter()), "A 20.0 %, B 0.5 %");
        assert_eq!(codes(rounds[2..].iter()), "none");
    }
}
