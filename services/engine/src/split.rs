//! How a graph's share of the cores is used: by one session whose threads divide each run, or by a session of one
//! thread for each core.
//!
//! A run that is divided is over sooner, but its threads wait for each other at every node of the graph; sessions of
//! one thread do more together, unless much of a run is the same however many rows it has. Which is better follows
//! from the graph and the machine, so it is tried when the graph is loaded. Both give the same bits, or the graph is
//! left as it was.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use atelier_package::Tensor;

use crate::EngineError;
use crate::runtime::session::Runner;

/// Whoever is alone waits at most so much longer for the sake of those who come in crowds,
const LONGER: Duration = Duration::from_millis(5);
/// or, since a stream waits for each of its steps, at most so many times as long.
const SLOWER: f64 = 1.25;
/// A graph that takes longer than this is divided: what its threads lose at each other is little beside it.
const SLOW: Duration = Duration::from_millis(25);
/// By how much sessions of one thread must be better.
const WORTH: f64 = 0.1;
/// How often everything is tried; the fastest counts, since others can only have slowed it down.
const TRIES: usize = 5;
/// Runs of each session in a try of several at once, so that they overlap.
const RUNS: u32 = 4;

/// How long runs take in one of the two ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// A row that comes alone.
    pub(crate) alone: Duration,
    /// Some rows that come together, with all cores at them.
    pub(crate) crowd: Duration,
}

/// Whether sessions of one thread each are better than one whose threads divide each run.
pub(crate) fn apart(divided: Pace, apart: Pace, step: bool) -> bool {
    let crowd = apart.crowd.as_secs_f64() * (1.0 + WORTH) < divided.crowd.as_secs_f64();
    let longest = if step { divided.alone.mul_f64(SLOWER) } else { divided.alone + LONGER };
    crowd && apart.alone < longest
}

/// What a graph is tried with.
#[derive(Debug)]
pub(crate) struct Trial {
    /// A row.
    pub(crate) alone: Vec<Tensor>,
    /// What each session of one thread is given.
    pub(crate) part: Vec<Tensor>,
    /// All of their rows in one run; none where requests cannot be joined.
    pub(crate) crowd: Option<Vec<Tensor>>,
    /// Whether a run is one of the many steps of a stream.
    pub(crate) step: bool,
}

/// Tries a graph in both ways: true if sessions of one thread are better. There are as many of those as
/// `divided` has threads.
pub(crate) fn try_apart(
    divided: &mut dyn Runner,
    singles: &mut [Box<dyn Runner>],
    trial: &Trial,
) -> Result<bool, EngineError> {
    let Trial { alone, part, crowd, step } = trial;
    let Some(single) = singles.first_mut() else { return Ok(false) };
    if !alike(divided, single.as_mut(), [alone, part])? {
        return Ok(false);
    }
    let lone = |runner: &mut dyn Runner| fastest(|| runner.run(alone).map(drop));
    let (divided_alone, single_alone) = (lone(divided)?, lone(single.as_mut())?);
    if divided_alone > SLOW {
        return Ok(false);
    }
    let sessions = singles.len();
    let divided_crowd = fastest(|| match crowd {
        Some(crowd) => divided.run(crowd).map(drop),
        None => (0..sessions).try_for_each(|_| divided.run(part).map(drop)),
    })?;
    let singles_crowd = together(singles, part)?;
    let (divided, singles) = (
        Pace { alone: divided_alone, crowd: divided_crowd },
        Pace { alone: single_alone, crowd: singles_crowd },
    );
    tracing::debug!(?divided, ?singles, "tried a graph with threads that divide a run, and apart");
    Ok(apart(divided, singles, *step))
}

/// Whether both give the same bits.
fn alike<const N: usize>(
    one: &mut dyn Runner,
    other: &mut dyn Runner,
    inputs: [&Vec<Tensor>; N],
) -> Result<bool, EngineError> {
    for inputs in inputs {
        let (one, other) = (one.run(inputs)?, other.run(inputs)?);
        // As bytes: bits are what is promised, and a NaN is equal to itself.
        let bytes = |outputs: &[Tensor]| outputs.iter().map(Tensor::to_le_bytes).collect::<Vec<_>>();
        if bytes(&one) != bytes(&other) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fastest(mut run: impl FnMut() -> Result<(), EngineError>) -> Result<Duration, EngineError> {
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed());
        if least > SLOW {
            break;
        }
    }
    Ok(least)
}

/// How long it takes all of these sessions to run this once each, at the same time.
fn together(sessions: &mut [Box<dyn Runner>], inputs: &[Tensor]) -> Result<Duration, EngineError> {
    let barrier = Barrier::new(sessions.len());
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        let took = std::thread::scope(|scope| {
            let one = |session| scope.spawn(|| several(session, inputs, &barrier));
            let threads: Vec<_> = sessions.iter_mut().map(one).collect();
            let gone = |_| EngineError::Runtime("a trial of several sessions ended in panic".into());
            let took = threads.into_iter().map(|thread| thread.join().map_err(gone)?);
            took.collect::<Result<Vec<Duration>, EngineError>>()
        })?;
        least = least.min(took.into_iter().max().unwrap_or_default());
    }
    Ok(least / RUNS)
}

fn several(
    session: &mut Box<dyn Runner>,
    inputs: &[Tensor],
    barrier: &Barrier,
) -> Result<Duration, EngineError> {
    barrier.wait();
    let start = Instant::now();
    for _ in 0..RUNS {
        session.run(inputs)?;
    }
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(alone_ms: f64, crowd_ms: f64) -> Pace {
        let time = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        Pace { alone: time(alone_ms), crowd: time(crowd_ms) }
    }

    #[test]
    fn sessions_are_apart_where_they_do_clearly_more_and_a_lone_row_waits_little() {
        assert!(apart(pace(0.4, 2.5), pace(0.6, 2.0), false));
        assert!(!apart(pace(0.4, 2.5), pace(0.6, 2.4), false), "hardly better");
        assert!(!apart(pace(0.9, 1.6), pace(1.2, 2.3), false), "worse");
        assert!(!apart(pace(20.0, 80.0), pace(38.0, 60.0), false), "a lone row waits 18 ms longer");
        assert!(apart(pace(0.2, 1.0), pace(0.24, 0.7), true));
        assert!(!apart(pace(0.2, 1.0), pace(0.3, 0.7), true), "a lone stream takes half as long again");
    }

    /// Takes so long for a run and so long for each row in it, and adds something to each.
    struct Timed {
        run: Duration,
        row: Duration,
        add: f32,
    }

    impl Runner for Timed {
        fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
            let x = inputs[0].as_f32().unwrap();
            std::thread::sleep(self.run + self.row * u32::try_from(x.len()).unwrap());
            Ok(vec![Tensor::f32([x.len()], x.iter().map(|x| x + self.add).collect()).unwrap()])
        }
    }

    fn timed(run_us: u64, row_us: u64, add: f32) -> Box<dyn Runner> {
        Box::new(Timed { run: Duration::from_micros(run_us), row: Duration::from_micros(row_us), add })
    }

    fn rows(n: usize) -> Vec<Tensor> {
        vec![Tensor::f32([n], vec![1.0; n]).unwrap()]
    }

    fn trial() -> Trial {
        Trial { alone: rows(1), part: rows(4), crowd: Some(rows(8)), step: false }
    }

    #[test]
    fn what_loses_most_of_the_second_thread_is_run_apart_and_what_costs_the_same_for_any_rows_is_not() {
        let mut singles = vec![timed(0, 1000, 0.0), timed(0, 1000, 0.0)];
        assert!(try_apart(timed(0, 900, 0.0).as_mut(), &mut singles, &trial()).unwrap());
        let mut singles = vec![timed(9000, 0, 0.0), timed(9000, 0, 0.0)];
        assert!(!try_apart(timed(5000, 0, 0.0).as_mut(), &mut singles, &trial()).unwrap());
    }

    #[test]
    fn what_cannot_be_joined_is_tried_one_request_after_the_other() {
        let alone = Trial { alone: rows(1), part: rows(1), crowd: None, step: false };
        let mut singles = vec![timed(4000, 0, 0.0), timed(4000, 0, 0.0)];
        assert!(try_apart(timed(3000, 0, 0.0).as_mut(), &mut singles, &alone).unwrap());
    }

    #[test]
    fn what_gives_other_bits_is_never_used() {
        let mut singles = vec![timed(0, 100, f32::EPSILON), timed(0, 100, f32::EPSILON)];
        assert!(!try_apart(timed(0, 2000, 0.0).as_mut(), &mut singles, &trial()).unwrap());
    }
}
