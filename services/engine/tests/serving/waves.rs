//! Streams through a step graph with delay lines and a condition: the little WaveNet of `make.py`.

use atelier_engine::{Config, Cursor, Decoder, Engine, EngineError, Sampler, Sampling, Step};

use crate::support::{Writer, closed, engine};

const LEVELS: usize = 16;
const WIDTH: usize = 4;
const SKIP: usize = 8;
const CONDITION: usize = 6;
const DELAYS: [usize; 3] = [1, 3, 2];

/// The condition of a stream in a step.
fn condition(seed: u64, step: usize) -> [f32; CONDITION] {
    let angle = step as f32 * 0.1 + seed as f32;
    [f32::from(seed.is_multiple_of(2)), 0.5, angle.sin(), angle.cos(), step as f32 / 100.0, -1.0]
}

/// Draws samples under its own condition.
struct Singer {
    sampler: Sampler,
    seed: u64,
    step: usize,
    length: usize,
}

impl Singer {
    fn new(seed: u64, length: usize) -> Self {
        Self { sampler: Sampler::new(Sampling::default(), seed), seed, step: 0, length }
    }
}

/// A token that was drawn, and the logits that it was drawn from.
type Sung = (i64, Vec<f32>);

impl Cursor for Singer {
    type Chunk = Sung;

    fn first(&mut self) -> i64 {
        8
    }

    fn fill(&mut self, input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        assert_eq!((input, row.len()), ("condition", CONDITION));
        row.copy_from_slice(&condition(self.seed, self.step));
        Ok(())
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Sung>, EngineError> {
        let token = self.sampler.sample(logits)? as i64;
        let emit = Some((token, logits.to_vec()));
        self.step += 1;
        Ok(if self.step == self.length { Step::Done { emit } } else { Step::Next { token, emit } })
    }
}

fn decoder(engine: &Engine) -> Decoder {
    engine.model("wave", 0, &[]).unwrap().decoder().unwrap().clone()
}

async fn sing(decoder: &Decoder, seed: u64, length: usize) -> Vec<Sung> {
    let mut stream = decoder.stream(Singer::new(seed, length), None).unwrap();
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await {
        out.push(chunk.unwrap());
    }
    out
}

fn bits(sung: &[Sung]) -> Vec<(i64, Vec<u32>)> {
    sung.iter().map(|(token, logits)| (*token, logits.iter().map(|x| x.to_bits()).collect())).collect()
}

/// The weights that `make.py` writes.
fn weight(salt: usize, i: usize) -> f64 {
    (((37 * i + 101 * salt + 11) % 61) as f64 - 30.0) / 64.0
}

/// A matrix of these many rows times a vector, plus the bias, whose salt is the next.
fn affine(salt: usize, rows: usize, x: &[f64]) -> Vec<f64> {
    let columns = x.len();
    let row = |r: usize| x.iter().enumerate().map(|(c, x)| weight(salt, r * columns + c) * x).sum::<f64>();
    (0..rows).map(|r| row(r) + weight(salt + 1, r)).collect()
}

/// The same network without slots, rings or runtime: every layer keeps all that ever went into it.
#[derive(Default)]
struct Naive {
    history: [Vec<Vec<f64>>; DELAYS.len()],
}

impl Naive {
    fn step(&mut self, token: i64, condition: &[f32]) -> Vec<f64> {
        let mut x: Vec<f64> = (0..WIDTH).map(|i| weight(0, token as usize * WIDTH + i)).collect();
        let mut sum = vec![0.0; SKIP];
        for (layer, (delay, history)) in DELAYS.iter().zip(&mut self.history).enumerate() {
            let ago = |steps: usize| match history.len().checked_sub(steps) {
                Some(at) => history[at].clone(),
                None => vec![0.0; WIDTH],
            };
            let condition = condition.iter().map(|c| f64::from(*c));
            let seen: Vec<f64> = [ago(*delay), ago(2 * delay), x.clone()].concat();
            let seen: Vec<f64> = seen.into_iter().chain(condition).collect();
            let gates = affine(10 * layer + 1, 2 * WIDTH, &seen);
            let (filter, gate) = gates.split_at(WIDTH);
            let z: Vec<f64> = filter.iter().zip(gate).map(|(f, g)| f.tanh() / (1.0 + (-g).exp())).collect();
            let residual = affine(10 * layer + 3, WIDTH, &z);
            sum.iter_mut().zip(affine(10 * layer + 5, SKIP, &z)).for_each(|(sum, skip)| *sum += skip);
            let next = x.iter().zip(residual).map(|(x, r)| x + r).collect();
            history.push(std::mem::replace(&mut x, next));
        }
        let relu = |x: Vec<f64>| x.into_iter().map(|x| x.max(0.0)).collect::<Vec<f64>>();
        affine(42, LEVELS, &relu(affine(40, LEVELS, &relu(sum))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_remembers_is_what_it_gave_before_however_long_it_runs() {
    let engine = engine(Config { slots: 4, ..Config::default() });
    let decoder = decoder(&engine);
    // One after the other and all at once: later streams come to slots that others have left.
    let mut streams: Vec<_> = (0..9).map(|seed| (seed, 40 + 7 * seed as usize)).collect();
    streams.push((9, 1_000));
    let running = streams.iter().map(|(seed, length)| sing(&decoder, *seed, *length));
    for ((seed, length), sung) in streams.iter().zip(futures_util::future::join_all(running).await) {
        assert_eq!(sung.len(), *length);
        let (mut naive, mut token, mut different) = (Naive::default(), 8, std::collections::BTreeSet::new());
        for (step, (drawn, logits)) in sung.iter().enumerate() {
            let expected = naive.step(token, &condition(*seed, step));
            for (got, expected) in logits.iter().zip(&expected) {
                let off = (f64::from(*got) - expected).abs();
                assert!(off < 1e-4, "stream {seed}, step {step}: {logits:?} is not {expected:?}");
            }
            token = *drawn;
            different.insert(token);
        }
        assert!(different.len() > 5, "the network says nothing: {different:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_same_bits_alone_and_in_a_batch_of_any_size() {
    const LENGTH: usize = 150;
    // On one core there is one worker: several, where a trial finds them faster, would share the streams out.
    let config = |slots| Config {
        slots,
        waiting: 64,
        stream_buffer: LENGTH + 1,
        parallelism: Some(1),
        ..Config::default()
    };
    let alone = engine(config(32));
    let alone = decoder(&alone);
    let sizes = alone.batch_sizes().to_vec();
    assert!(sizes.len() > 8, "too few sizes to see anything: {sizes:?}");
    let mut expected = Vec::new();
    for seed in 0..32 {
        expected.push(bits(&sing(&alone, seed, LENGTH).await));
    }
    for size in sizes {
        let engine = engine(config(size));
        let decoder = decoder(&engine);
        let (open, mut gate) = closed(&decoder).await;
        let streams: Vec<_> =
            (0..size as u64).map(|seed| decoder.stream(Singer::new(seed, LENGTH), None).unwrap()).collect();
        open.send(()).unwrap();
        assert_eq!(gate.next().await, None);
        for (seed, mut stream) in streams.into_iter().enumerate() {
            let mut sung = Vec::new();
            while let Some(chunk) = stream.next().await {
                sung.push(chunk.unwrap());
            }
            assert_eq!(bits(&sung), expected[seed], "stream {seed} of {size}");
        }
        let steps = decoder.stats().iterations - 1;
        assert_eq!(steps, LENGTH as u64, "they did not all advance together, {size} at a time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_a_client_left_in_midst_of_a_stream_remembers_nothing_of_it() {
    let engine = engine(Config { slots: 1, stream_buffer: 2, ..Config::default() });
    let decoder = decoder(&engine);
    let expected = bits(&sing(&decoder, 3, 60).await);
    let mut left = decoder.stream(Singer::new(4, 10_000), None).unwrap();
    for _ in 0..37 {
        left.next().await.unwrap().unwrap();
    }
    drop(left);
    assert_eq!(bits(&sing(&decoder, 3, 60).await), expected);
    assert_eq!((decoder.stats().cancelled, decoder.stats().slots_used), (1, 0));
}

/// Sings several times over, each time from the start.
struct Again {
    seeds: Vec<u64>,
    length: usize,
    singer: Singer,
}

impl Cursor for Again {
    type Chunk = Sung;

    fn first(&mut self) -> i64 {
        self.singer.first()
    }

    fn fill(&mut self, input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        self.singer.fill(input, row)
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Sung>, EngineError> {
        match (self.singer.advance(logits)?, self.seeds.pop()) {
            (Step::Done { emit }, Some(seed)) => {
                self.singer = Singer::new(seed, self.length);
                Ok(Step::Restart { token: self.singer.first(), emit })
            }
            (step, seed) => {
                self.seeds.extend(seed);
                Ok(step)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_restarts_remembers_nothing_of_what_it_did_before() {
    let engine = engine(Config::default());
    let decoder = decoder(&engine);
    let mut expected = Vec::new();
    for seed in [1, 2, 3] {
        expected.extend(bits(&sing(&decoder, seed, 50).await));
    }
    let again = Again { seeds: vec![3, 2], length: 50, singer: Singer::new(1, 50) };
    let mut stream = decoder.stream(again, None).unwrap();
    let mut sung = Vec::new();
    while let Some(chunk) = stream.next().await {
        sung.push(chunk.unwrap());
    }
    assert_eq!(bits(&sung), expected);
}

/// Fails to give its condition, in its own way, in its third step.
struct Bad(usize, fn() -> Result<(), EngineError>);

impl Cursor for Bad {
    type Chunk = ();

    fn first(&mut self) -> i64 {
        0
    }

    fn fill(&mut self, _input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        row.fill(0.0);
        self.0 += 1;
        if self.0 == 3 { (self.1)() } else { Ok(()) }
    }

    fn advance(&mut self, _logits: &[f32]) -> Result<Step<()>, EngineError> {
        Ok(Step::Next { token: 1, emit: None })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_gives_no_condition_ends_alone() {
    let engine = engine(Config::default());
    let decoder = decoder(&engine);
    let expected = bits(&sing(&decoder, 5, 400).await);
    let other = tokio::spawn({
        let decoder = decoder.clone();
        async move { sing(&decoder, 5, 400).await }
    });
    // One that is made for graphs without a condition is told at once.
    let mut text = decoder.stream(Writer::new(1, 5), None).unwrap();
    let told = text.next().await.unwrap().unwrap_err().to_string();
    assert_eq!(told, "condition: the graph takes 6 numbers a step, which this stream does not give");
    type Way = fn() -> Result<(), EngineError>;
    let ways: [(Way, &str); 2] = [
        (|| Err(EngineError::Runtime("on purpose".into())), "on purpose"),
        (|| panic!("by accident"), "panicked: by accident"),
    ];
    for (way, text) in ways {
        let mut stream = decoder.stream(Bad(0, way), None).unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap_err().to_string(), text);
        assert_eq!(stream.next().await, None);
    }
    assert_eq!(bits(&other.await.unwrap()), expected);
    assert_eq!((decoder.stats().failed, decoder.stats().slots_used), (3, 0));
}
