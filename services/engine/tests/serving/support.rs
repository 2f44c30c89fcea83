//! What the tests have in common: the little packages, an engine over them, and streams to run.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use atelier_engine::{
    Config, Cursor, Decoder, Engine, EngineError, Sampler, Sampling, Step, Stream, Tensor, seed,
};
use atelier_package::{Package, Repository};

pub(crate) fn packages() -> Vec<Package> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let repository = Repository::scan(&models).unwrap();
    assert!(repository.rejected().is_empty(), "{:?}", repository.rejected());
    repository.latest().cloned().collect()
}

pub(crate) fn engine(config: Config) -> Engine {
    let engine = Engine::load(&config, &packages()).unwrap();
    assert!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    engine
}

pub(crate) fn noise(seed: u64, rows: usize) -> Tensor {
    let x = seed::normal(seed, rows * 24).iter().map(|x| (x / 5.0).clamp(-1.0, 1.0)).collect();
    Tensor::f32([rows, 24], x).unwrap()
}

pub(crate) fn bits(outputs: &[Tensor]) -> Vec<u8> {
    outputs.iter().flat_map(Tensor::to_le_bytes).collect()
}

/// Writes `length` tokens, each drawn by the stream's own sampler.
pub(crate) struct Writer {
    sampler: Sampler,
    left: usize,
    first: i64,
}

impl Writer {
    pub(crate) fn new(seed: u64, length: usize) -> Self {
        Self { sampler: Sampler::new(Sampling::default(), seed), left: length, first: (seed % 7) as i64 }
    }
}

impl Cursor for Writer {
    /// The token and the bits of its logits.
    type Chunk = (i64, Vec<u32>);

    fn first(&mut self) -> i64 {
        self.first
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError> {
        let token = self.sampler.sample(logits)? as i64;
        let emit = Some((token, logits.iter().map(|x| x.to_bits()).collect()));
        self.left -= 1;
        Ok(if self.left == 0 { Step::Done { emit } } else { Step::Next { token, emit } })
    }
}

pub(crate) async fn write(engine: &Engine, seed: u64, length: usize) -> Vec<(i64, Vec<u32>)> {
    let model = engine.model("rnn", 0, &[]).unwrap();
    let mut stream = model.decoder().unwrap().stream(Writer::new(seed, length), None).unwrap();
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await {
        out.push(chunk.unwrap());
    }
    out
}

/// Holds the decoder up in its only step until the test lets go: so those who come meanwhile begin together.
struct Gate(mpsc::Receiver<()>);

impl Cursor for Gate {
    type Chunk = ();

    fn first(&mut self) -> i64 {
        0
    }

    fn fill(&mut self, _input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        row.fill(0.0);
        Ok(())
    }

    fn advance(&mut self, _logits: &[f32]) -> Result<Step<()>, EngineError> {
        let _ = self.0.recv();
        Ok(Step::Done { emit: None })
    }
}

/// A gate that is closed, and what opens it.
pub(crate) async fn closed(decoder: &Decoder) -> (mpsc::Sender<()>, Stream<()>) {
    let (open, gate) = mpsc::channel();
    let before = decoder.stats().iterations;
    let gate = decoder.stream(Gate(gate), None).unwrap();
    until("the gate is closed", || decoder.stats().iterations > before).await;
    (open, gate)
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
