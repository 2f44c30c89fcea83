//! Streams through the step graphs that we ship.

use std::path::Path;

use atelier_engine::{Config, Cursor, Decoder, Engine, EngineError, Sampler, Sampling, Step, Stream};
use atelier_package::Package;

use crate::support::closed;

/// Enough for states and lines to be other than at the start.
const LENGTH: usize = 12;

/// Draws tokens, under a condition of its own where the graph takes one, and says from what.
struct Drawing {
    sampler: Sampler,
    seed: u64,
    step: usize,
}

impl Cursor for Drawing {
    /// The bits of the logits.
    type Chunk = Vec<u32>;

    fn first(&mut self) -> i64 {
        (self.seed % 60) as i64
    }

    fn fill(&mut self, _input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        for (i, x) in row.iter_mut().enumerate() {
            *x = (self.seed as f32 + self.step as f32 / 10.0 + i as f32).sin();
        }
        Ok(())
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError> {
        let token = self.sampler.sample(logits)? as i64;
        let emit = Some(logits.iter().map(|x| x.to_bits()).collect());
        self.step += 1;
        Ok(if self.step == LENGTH { Step::Done { emit } } else { Step::Next { token, emit } })
    }
}

fn draw(decoder: &Decoder, seed: u64) -> Stream<Vec<u32>> {
    let sampler = Sampler::new(Sampling::default(), seed);
    decoder.stream(Drawing { sampler, seed, step: 0 }, None).unwrap()
}

async fn drawn(mut stream: Stream<Vec<u32>>) -> Vec<Vec<u32>> {
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await {
        out.push(chunk.unwrap());
    }
    out
}

/// The newest version of a package that we ship.
fn shipped(name: &str) -> Package {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name);
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let newest = versions.max_by_key(|path| version(path)).unwrap();
    Package::open(&newest).unwrap()
}

async fn has_the_same_bits_in_a_batch_of_any_size(name: &str) {
    // One worker, so that those who begin together are in one batch; and what somebody measured here decides nothing.
    let config = Config { slots: 32, parallelism: Some(1), calibrated: false, ..Config::default() };
    let engine = Engine::load(&config, &[shipped(name)]).unwrap();
    let model = engine.model(name, 0, &[]).unwrap();
    let decoder = model.decoder().unwrap();
    let mut alone = Vec::new();
    for seed in 0..32 {
        alone.push(drawn(draw(decoder, seed)).await);
    }
    let sizes = decoder.batch_sizes();
    assert!(sizes.len() > 4, "too few sizes to see anything: {sizes:?}");
    for size in sizes {
        let (open, mut gate) = closed(decoder).await;
        let before = decoder.stats();
        let streams: Vec<_> = (0..*size as u64).map(|seed| draw(decoder, seed)).collect();
        open.send(()).unwrap();
        assert_eq!(gate.next().await, None);
        for (seed, stream) in streams.into_iter().enumerate() {
            assert_eq!(drawn(stream).await, alone[seed], "stream {seed} of {size}");
        }
        let after = decoder.stats();
        let (runs, padding) = (after.iterations - before.iterations, after.padding - before.padding);
        assert_eq!(
            (runs, padding),
            (LENGTH as u64, 0),
            "they did not all advance together, {size} at a time"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shakespeare_has_the_same_bits_alone_and_in_a_batch_of_any_size() {
    has_the_same_bits_in_a_batch_of_any_size("shakespeare-rnn").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_digit_has_the_same_bits_alone_and_in_a_batch_of_any_size() {
    has_the_same_bits_in_a_batch_of_any_size("digits-wavenet").await;
}
