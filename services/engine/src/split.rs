//! How a graph's share of the cores is used: by one session whose threads divide each run, or by a session of one
//! thread for each core.
//!
//! A run that is divided is over sooner, but its threads wait for each other at every node of the graph; sessions of
//! one thread do more together, unless much of a run is the same however many rows it has. Which is better follows
//! from the graph and the machine, so it is tried when the graph is loaded. Both give the same bits, or the graph is
//! left as it was. Where sessions of one thread do more for many streams, but a lone stream would wait much longer for
//! each of its steps, both are kept.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use atelier_package::Tensor;

use crate::EngineError;
use crate::runtime::session::Runner;
use crate::sizes::{Samples, Sizes};

/// Whoever is alone waits at most so much longer for the sake of those who come in crowds,
const LONGER: Duration = Duration::from_millis(5);
/// or, since a stream waits for each of its steps, at most so many times as long.
const SLOWER: f64 = 1.25;
/// A graph that takes longer than this is divided: what its threads lose at each other is little beside it.
const SLOW: Duration = Duration::from_millis(25);
/// By how much sessions of one thread must be better.
const WORTH: f64 = 0.1;
/// The fastest of some tries counts, since others can only have slowed it down; what is compared is tried in turn, so
/// that others slow down both. Tries end once the second fastest is at most so many times the fastest, of both: while
/// the machine has other work, the first few tell little.
const SURE: f64 = 1.03;
/// How often everything is tried at least
const LEAST_TRIES: usize = 5;
/// and at most.
const MOST_TRIES: usize = 40;
/// But after this much time twice is enough: whoever starts a service waits for it.
const PATIENCE: Duration = Duration::from_millis(400);
/// Runs in a try, so that those of several sessions overlap.
const RUNS: u32 = 4;

/// How long runs take in one of the two ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// A row that comes alone.
    pub(crate) alone: Duration,
    /// Some rows that come together, with all cores at them.
    pub(crate) crowd: Duration,
}

/// How a graph's share of the cores is used best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// By a session whose threads divide each run.
    Divided,
    /// By sessions of one thread each.
    Apart,
    /// By the first for few streams, by the second for more.
    Both,
}

/// Which of them.
pub(crate) fn better(divided: Pace, apart: Pace, step: bool) -> Split {
    let worth = apart.crowd.mul_f64(1.0 + WORTH) < divided.crowd;
    let longest = if step { divided.alone.mul_f64(SLOWER) } else { divided.alone + LONGER };
    if worth && apart.alone < longest {
        Split::Apart
    } else if step && apart.crowd < divided.crowd.mul_f64(1.0 + WORTH) {
        // Whoever is alone loses nothing. For many streams sessions apart are worth it even where they are no faster:
        // a divided step takes as long as its slowest thread, and while serving, messages take a core now and then.
        Split::Both
    } else {
        Split::Divided
    }
}

/// What a graph is tried with.
#[derive(Debug)]
pub(crate) struct Trial {
    /// A row.
    pub(crate) alone: Vec<Tensor>,
    /// What each session of one thread is given.
    pub(crate) part: Vec<Tensor>,
    /// All of their rows in one run; none where they cannot be joined.
    pub(crate) crowd: Option<Vec<Tensor>>,
    /// Whether a run is one of the many steps of a stream.
    pub(crate) step: bool,
}

/// Tries a graph in both ways. There are as many sessions of one thread as `divided` has threads.
pub(crate) fn try_apart(
    divided: &mut dyn Runner,
    singles: &mut [Box<dyn Runner>],
    trial: &Trial,
) -> Result<Split, EngineError> {
    let Trial { alone, part, crowd, step } = trial;
    let Some(single) = singles.first_mut() else { return Ok(Split::Divided) };
    if !alike(divided, single.as_mut(), alone)? || !alike(divided, single.as_mut(), part)? {
        return Ok(Split::Divided);
    }
    let start = Instant::now();
    divided.run(alone)?;
    if start.elapsed() > SLOW {
        return Ok(Split::Divided);
    }
    let (divided_alone, single_alone) =
        race(|| timed(|| divided.run(alone)), || timed(|| single.run(alone)))?;
    let sessions = singles.len();
    let all_at_once = || match crowd {
        Some(crowd) => timed(|| divided.run(crowd)),
        None => (0..sessions).try_fold(Duration::ZERO, |sum, _| Ok(sum + timed(|| divided.run(part))?)),
    };
    let (divided_crowd, singles_crowd) = race(all_at_once, || together(singles, part))?;
    let (divided, singles) = (
        Pace { alone: divided_alone, crowd: divided_crowd },
        Pace { alone: single_alone, crowd: singles_crowd },
    );
    let split = better(divided, singles, *step);
    tracing::debug!(?divided, ?singles, ?split, "tried a graph with threads that divide a run, and apart");
    Ok(split)
}

/// Up to how many streams the divided session does much better than those side by side, of which each takes a part of
/// them: 1 or more. `sizes` are those that runs have.
pub(crate) fn few(
    divided: &mut dyn Runner,
    singles: &mut [Box<dyn Runner>],
    sizes: &Sizes,
    samples: &Samples,
) -> Result<usize, EngineError> {
    let mut few = 1;
    for streams in sizes.as_slice().iter().copied().filter(|n| *n > 1 && n.is_power_of_two()) {
        let part = sizes.fit(streams.div_ceil(singles.len().max(1)));
        let (all, part) = (samples.batch(0, streams)?, samples.batch(0, part)?);
        let (whole, apart) = race(|| timed(|| divided.run(&all)), || together(singles, &part))?;
        tracing::debug!(streams, ?whole, ?apart, "tried streams with threads that divide a step, and apart");
        if apart < whole.mul_f64(SLOWER) {
            break;
        }
        few = streams;
    }
    Ok(few)
}

/// Whether both give the same bits.
pub(crate) fn alike(
    one: &mut dyn Runner,
    other: &mut dyn Runner,
    inputs: &[Tensor],
) -> Result<bool, EngineError> {
    let (one, other) = (one.run(inputs)?, other.run(inputs)?);
    // As bytes: bits are what is promised, and a NaN is equal to itself.
    let bytes = |outputs: &[Tensor]| outputs.iter().map(Tensor::to_le_bytes).collect::<Vec<_>>();
    Ok(bytes(&one) == bytes(&other))
}

/// The least that each of two takes.
fn race(
    mut one: impl FnMut() -> Result<Duration, EngineError>,
    mut other: impl FnMut() -> Result<Duration, EngineError>,
) -> Result<(Duration, Duration), EngineError> {
    let (start, mut first, mut second) = (Instant::now(), Fastest::default(), Fastest::default());
    for tries in 1..=MOST_TRIES {
        first.add(one()?);
        second.add(other()?);
        let sure = tries >= LEAST_TRIES && first.sure() && second.sure();
        if sure || tries > 1 && start.elapsed() > PATIENCE {
            break;
        }
    }
    Ok((first.fastest, second.fastest))
}

/// The two fastest of some tries.
struct Fastest {
    fastest: Duration,
    next: Duration,
}

impl Default for Fastest {
    fn default() -> Self {
        Self { fastest: Duration::MAX, next: Duration::MAX }
    }
}

impl Fastest {
    fn add(&mut self, took: Duration) {
        self.next = self.next.min(took.max(self.fastest));
        self.fastest = self.fastest.min(took);
    }

    /// Whether one more try would hardly be faster.
    fn sure(&self) -> bool {
        self.next <= self.fastest.mul_f64(SURE)
    }
}

/// How long a run takes.
fn timed<T>(mut run: impl FnMut() -> Result<T, EngineError>) -> Result<Duration, EngineError> {
    let start = Instant::now();
    for _ in 0..RUNS {
        run()?;
    }
    Ok(start.elapsed() / RUNS)
}

/// How long it takes all of these sessions to run this once each, at the same time.
fn together(sessions: &mut [Box<dyn Runner>], inputs: &[Tensor]) -> Result<Duration, EngineError> {
    let barrier = Barrier::new(sessions.len());
    let took = std::thread::scope(|scope| {
        let one = |session| scope.spawn(|| several(session, inputs, &barrier));
        let threads: Vec<_> = sessions.iter_mut().map(one).collect();
        let gone = |_| EngineError::Runtime("a trial of several sessions ended in panic".into());
        let took = threads.into_iter().map(|thread| thread.join().map_err(gone)?);
        took.collect::<Result<Vec<Duration>, EngineError>>()
    })?;
    Ok(took.into_iter().max().unwrap_or_default())
}

fn several(
    session: &mut Box<dyn Runner>,
    inputs: &[Tensor],
    barrier: &Barrier,
) -> Result<Duration, EngineError> {
    barrier.wait();
    timed(|| session.run(inputs))
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
        use Split::{Apart, Both, Divided};
        assert_eq!(better(pace(0.4, 2.5), pace(0.6, 2.0), false), Apart);
        assert_eq!(better(pace(0.4, 2.5), pace(0.6, 2.4), false), Divided, "hardly better");
        assert_eq!(better(pace(0.9, 1.6), pace(1.2, 2.3), false), Divided, "worse");
        assert_eq!(
            better(pace(20.0, 80.0), pace(38.0, 60.0), false),
            Divided,
            "a lone row waits 18 ms longer"
        );
        assert_eq!(better(pace(0.2, 1.0), pace(0.24, 0.7), true), Apart);
        assert_eq!(
            better(pace(0.2, 1.0), pace(0.3, 0.7), true),
            Both,
            "a lone stream takes half as long again"
        );
        assert_eq!(
            better(pace(0.2, 1.0), pace(0.21, 0.98), true),
            Both,
            "hardly better, and nobody waits longer"
        );
        assert_eq!(better(pace(0.2, 1.0), pace(0.3, 1.05), true), Both, "as good for many");
        assert_eq!(better(pace(0.2, 1.0), pace(0.3, 1.2), true), Divided);
    }

    #[test]
    fn tries_go_on_until_the_fastest_of_both_was_met_twice() {
        let ms = Duration::from_millis;
        let slowed = std::cell::Cell::new(0);
        // Others take the core for the first 20 tries, by and by less of it.
        let one = || {
            slowed.set(slowed.get() + 1);
            Ok(if slowed.get() <= 20 { ms(1000 / slowed.get()) } else { ms(30) })
        };
        assert_eq!(race(one, || Ok(ms(40))).unwrap(), (ms(30), ms(40)));
        assert_eq!(slowed.get(), 22);
        let mut quiet = 0;
        let alike = || {
            quiet += 1;
            Ok(ms(30))
        };
        assert_eq!(race(alike, || Ok(ms(40))).unwrap(), (ms(30), ms(40)));
        assert_eq!(quiet, 5, "a quiet machine is asked no more than it takes");
        let mut restless = 0;
        let faster = || {
            restless += 1;
            Ok(ms(10_000 >> restless.min(12)))
        };
        assert_eq!(race(faster, || Ok(ms(40))).unwrap().1, ms(40));
        assert!(restless <= 40, "nobody waits for what is never sure");
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

    fn taking(run_us: u64, row_us: u64, add: f32) -> Box<dyn Runner> {
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
        let mut singles = vec![taking(0, 1000, 0.0), taking(0, 1000, 0.0)];
        let split = try_apart(taking(0, 900, 0.0).as_mut(), &mut singles, &trial()).unwrap();
        assert_eq!(split, Split::Apart);
        let mut singles = vec![taking(9000, 0, 0.0), taking(9000, 0, 0.0)];
        let split = try_apart(taking(5000, 0, 0.0).as_mut(), &mut singles, &trial()).unwrap();
        assert_eq!(split, Split::Divided);
    }

    #[test]
    fn what_cannot_be_joined_is_tried_one_request_after_the_other() {
        let alone = Trial { alone: rows(1), part: rows(1), crowd: None, step: false };
        let mut singles = vec![taking(4000, 0, 0.0), taking(4000, 0, 0.0)];
        assert_eq!(try_apart(taking(3000, 0, 0.0).as_mut(), &mut singles, &alone).unwrap(), Split::Apart);
    }

    #[test]
    fn what_gives_other_bits_is_never_used() {
        let mut singles = vec![taking(0, 100, f32::EPSILON), taking(0, 100, f32::EPSILON)];
        let split = try_apart(taking(0, 2000, 0.0).as_mut(), &mut singles, &trial()).unwrap();
        assert_eq!(split, Split::Divided);
    }

    #[test]
    fn few_streams_are_as_many_as_are_stepped_much_sooner_together() {
        let (mut spec, mut case) =
            (atelier_package::GraphSpec::default(), atelier_package::GoldenCase::default());
        spec.inputs =
            vec![atelier_package::TensorSpec::new("x", atelier_package::Dtype::F32, ["batch".into()])];
        case.inputs.insert("x".into(), rows(2).remove(0));
        let samples = Samples::new(&spec, &case).unwrap();
        let sizes = Sizes::of(&[1, 2, 4, 8, 16]);
        let few = |divided: (u64, u64), single: (u64, u64)| {
            let mut singles = vec![taking(single.0, single.1, 0.0), taking(single.0, single.1, 0.0)];
            few(taking(divided.0, divided.1, 0.0).as_mut(), &mut singles, &sizes, &samples).unwrap()
        };
        // 1.2 ms for 2 streams, 2.2 for 4, 4.2 for 8; side by side always 4.
        assert_eq!(few((200, 500), (4000, 0)), 4);
        assert_eq!(few((2000, 500), (1000, 1000)), 1, "side by side they are never slower");
    }
}
