//! Which batch sizes a graph is run at.

use std::time::{Duration, Instant};

use atelier_package::{GoldenCase, GraphSpec, Tensor};

use crate::EngineError;
use crate::batcher::cost::Costs;
use crate::rows::select;
use crate::runtime::session::Runner;

/// What may differ between a row run alone and one run with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Batching {
    /// Nothing: only sizes are used at which each row comes out with the bits it has when run alone (tried
    /// when the model is loaded). So an answer depends on its request alone, whatever else is served.
    #[default]
    Exact,
    /// The last bits: every size is used.
    Fast,
}

/// Fine enough that little is lost to padding, and as many as a configuration may allow.
const CANDIDATES: [usize; 24] = [
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
];

/// A batch that takes longer than this makes everyone wait; larger ones are not tried.
const LONG: Duration = Duration::from_millis(100);

/// The batch sizes of a graph, ascending. 1 is among them, but for step graphs that compute a lone row otherwise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sizes {
    sizes: Vec<usize>,
    /// What a batch of each took when the graph was loaded, in seconds.
    seconds: Vec<Option<f64>>,
}

impl Sizes {
    /// One request at a time.
    pub(crate) fn single() -> Self {
        Self { sizes: vec![1], seconds: vec![None] }
    }

    /// Sizes that were measured before, and what batches of each took in seconds.
    pub(crate) fn known(sizes: &[usize], seconds: &[f64]) -> Self {
        Self { sizes: sizes.to_vec(), seconds: seconds.iter().copied().map(Some).collect() }
    }

    /// What a batch of each size took, in seconds; zero where that is not known.
    pub(crate) fn seconds(&self) -> Vec<f64> {
        self.seconds.iter().map(|seconds| seconds.unwrap_or_default()).collect()
    }

    /// These sizes, none of which takes longer than another.
    #[cfg(test)]
    pub(crate) fn of(sizes: &[usize]) -> Self {
        Self { sizes: sizes.to_vec(), seconds: vec![Some(0.001); sizes.len()] }
    }

    /// The sizes in ascending order.
    pub(crate) fn as_slice(&self) -> &[usize] {
        &self.sizes
    }

    /// What batches of these sizes cost, as far as it is known.
    pub(crate) fn costs(&self) -> Costs {
        Costs::new(self.sizes.iter().copied().zip(self.seconds.iter().copied()))
    }

    /// The largest batch.
    pub(crate) fn max(&self) -> usize {
        self.sizes.last().copied().unwrap_or(1)
    }

    /// The smallest size that holds `rows`; the largest where none does.
    pub(crate) fn fit(&self, rows: usize) -> usize {
        self.sizes.iter().copied().find(|s| *s >= rows).unwrap_or(self.max())
    }

    /// Runs the graph at each size up to `max` on its samples and keeps those that will do.
    ///
    /// A size is kept if every row has the bits that it has when run alone (unless `Fast`). Which of them is run
    /// when is decided by what they [cost](Sizes::costs). A step graph that computes a lone row otherwise than the
    /// rows of all larger batches is run at those alone: its streams still depend on themselves only.
    pub(crate) fn probe(
        runner: &mut dyn Runner,
        spec: &GraphSpec,
        samples: &Samples,
        max: usize,
        batching: Batching,
    ) -> Result<Self, EngineError> {
        let sizes = Self::alike(runner, spec, samples, max, batching, 1)?;
        if sizes.sizes.len() > 1 || !spec.is_step() || max < 4 {
            return Ok(sizes);
        }
        // Kernels treat one row in a way of its own, and all other sizes alike (ONNX Runtime's product of a matrix
        // and a vector, for one). Then a lone stream is run with a row of padding, so that streams can be joined.
        let padded = Self::alike(runner, spec, samples, max, batching, 2)?;
        Ok(if padded.sizes.len() > 1 { padded } else { sizes })
    }

    /// The sizes from `least` on at which every row has the bits that it has at `least`.
    fn alike(
        runner: &mut dyn Runner,
        spec: &GraphSpec,
        inputs: &Samples,
        max: usize,
        batching: Batching,
        least: usize,
    ) -> Result<Self, EngineError> {
        let outputs: Vec<usize> = spec.outputs.iter().filter_map(|s| s.batch_axis()).collect();
        let count = CANDIDATES.iter().copied().filter(|n| *n <= max).max().unwrap_or(1);
        let mut alone = Vec::with_capacity(count);
        let mut kept = vec![least];
        let mut seconds = vec![Some(measure(runner, inputs, least)?.as_secs_f64())];
        for size in CANDIDATES.into_iter().filter(|n| (least + 1..=max).contains(n)) {
            // Only as many as are needed: a graph that takes long is tried at few sizes.
            for row in alone.len()..size {
                let first = runner.run(&inputs.batch(row, least)?)?;
                let first: Result<Vec<Tensor>, EngineError> =
                    first.iter().zip(&outputs).map(|(tensor, axis)| select(tensor, *axis, &[0])).collect();
                alone.push(first?);
            }
            let got = runner.run(&inputs.batch(0, size)?)?;
            if batching == Batching::Exact && !same(&got, &alone, &outputs, size)? {
                tracing::warn!(graph = spec.name, size, least, "rows differ by batch size: not used");
                continue;
            }
            let took = measure(runner, inputs, size)?;
            kept.push(size);
            seconds.push(Some(took.as_secs_f64()));
            if took > LONG {
                break;
            }
        }
        Ok(Self { sizes: kept, seconds })
    }
}

fn measure(runner: &mut dyn Runner, inputs: &Samples, size: usize) -> Result<Duration, EngineError> {
    let batch = inputs.batch(0, size)?;
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        runner.run(&batch)?;
        least = least.min(start.elapsed());
        if least > LONG {
            break;
        }
    }
    Ok(least)
}

fn same(got: &[Tensor], alone: &[Vec<Tensor>], axes: &[usize], size: usize) -> Result<bool, EngineError> {
    for (row, alone) in alone.iter().enumerate().take(size) {
        for ((tensor, alone), axis) in got.iter().zip(alone).zip(axes) {
            // As bytes: bits are what is promised, and a NaN is equal to itself.
            if select(tensor, *axis, &[row])?.to_le_bytes() != alone.to_le_bytes() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Rows to try a graph with: those of the golden inputs, each time around a little smaller, so that they are not
/// alike.
pub(crate) struct Samples {
    /// Golden inputs, along which axis their rows lie, and whether these can be scaled.
    inputs: Vec<(Tensor, Option<usize>, bool)>,
    golden_rows: usize,
}

impl Samples {
    /// Those of a graph.
    pub(crate) fn new(spec: &GraphSpec, case: &GoldenCase) -> Result<Self, EngineError> {
        let mut inputs = Vec::with_capacity(spec.inputs.len());
        let mut golden_rows = 1;
        for input in &spec.inputs {
            let missing = || EngineError::Package(format!("{}: no golden input `{}`", spec.name, input.name));
            let tensor = case.inputs.get(&input.name).ok_or_else(missing)?.clone();
            let axis = input.batch_axis();
            if let Some(rows) = axis.and_then(|axis| tensor.shape().get(axis)) {
                golden_rows = (*rows).max(1);
            }
            // What is scaled down must stay within the range.
            inputs.push((tensor, axis, input.range.is_none_or(|[lo, hi]| lo <= 0.0 && hi >= 0.0)));
        }
        Ok(Self { inputs, golden_rows })
    }

    /// The golden inputs themselves.
    pub(crate) fn whole(&self) -> Vec<Tensor> {
        self.inputs.iter().map(|(tensor, ..)| tensor.clone()).collect()
    }

    /// The rows `first..first + size`, of a graph whose inputs all have rows.
    pub(crate) fn batch(&self, first: usize, size: usize) -> Result<Vec<Tensor>, EngineError> {
        let rows: Vec<usize> = (first..first + size).map(|r| r % self.golden_rows).collect();
        let mut batch = Vec::with_capacity(self.inputs.len());
        for (tensor, axis, scaled) in &self.inputs {
            let axis = axis.ok_or_else(|| EngineError::Package("an input without rows".into()))?;
            let picked = select(tensor, axis, &rows)?;
            let (shape, data) = picked.into_parts();
            let data = match data {
                atelier_package::TensorData::F32(mut v) if *scaled => {
                    let inner: usize = shape.iter().skip(axis + 1).product();
                    for (i, x) in v.iter_mut().enumerate() {
                        let row = first + (i / inner.max(1)) % size;
                        // However many there are, it is towards 0 and not beyond.
                        *x *= 128.0 / (128 + row / self.golden_rows) as f32;
                    }
                    atelier_package::TensorData::F32(v)
                }
                other => other,
            };
            batch.push(Tensor::new(shape, data).map_err(|e| EngineError::Runtime(e.to_string()))?);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_that_holds_the_rows_is_taken() {
        let sizes = Sizes::of(&[1, 2, 4, 8]);
        assert_eq!([1, 2, 3, 5, 8, 9].map(|n| sizes.fit(n)), [1, 2, 4, 8, 8, 8]);
        assert_eq!((sizes.max(), Sizes::single().max()), (8, 1));
    }

    /// Adds the batch size's share to every row from `wrong_from` rows on: a kernel with other rounding.
    struct Rounding {
        wrong_from: usize,
    }

    impl Runner for Rounding {
        fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
            let x = inputs[0].as_f32().unwrap();
            let off = if x.len() >= self.wrong_from { f32::EPSILON } else { 0.0 };
            Ok(vec![Tensor::f32([x.len(), 1], x.iter().map(|v| v * (1.0 + off)).collect()).unwrap()])
        }
    }

    fn spec() -> (GraphSpec, Samples) {
        let tensor = |name: &str| {
            atelier_package::TensorSpec::new(name, atelier_package::Dtype::F32, ["batch".into(), 1.into()])
        };
        let spec = GraphSpec {
            name: "g".into(),
            file: "g.onnx".into(),
            sha256: String::new(),
            inputs: vec![tensor("x")],
            outputs: vec![tensor("y")],
            ..GraphSpec::default()
        };
        let mut case = GoldenCase::default();
        case.inputs.insert("x".into(), Tensor::f32([2, 1], vec![0.3, 0.7]).unwrap());
        let samples = Samples::new(&spec, &case).unwrap();
        (spec, samples)
    }

    #[test]
    fn a_size_at_which_a_row_has_other_bits_is_not_used_unless_that_is_allowed() {
        let (spec, samples) = spec();
        let sizes = |batching| {
            let mut runner = Rounding { wrong_from: 4 };
            Sizes::probe(&mut runner, &spec, &samples, 8, batching).unwrap().sizes
        };
        assert_eq!(sizes(Batching::Exact), vec![1, 2, 3]);
        assert_eq!(sizes(Batching::Fast), vec![1, 2, 3, 4, 6, 8]);
    }

    #[test]
    fn sizes_go_as_far_as_is_allowed_and_samples_stay_what_the_graph_takes() {
        let (spec, samples) = spec();
        let most = |max| {
            let mut runner = Rounding { wrong_from: usize::MAX };
            Sizes::probe(&mut runner, &spec, &samples, max, Batching::Exact).unwrap().max()
        };
        assert_eq!([1, 32, 100, 512].map(most), [1, 32, 96, 512]);
        let many = samples.batch(0, 4096).unwrap();
        let values = many[0].as_f32().unwrap();
        assert!(values.iter().all(|x| *x > 0.0 && *x <= 0.7), "{values:?}");
        assert!(values.iter().zip(&values[2..]).all(|(x, next)| next < x), "no row is as it was before");
    }

    /// A kernel that treats a lone row in a way of its own.
    struct Vector;

    impl Runner for Vector {
        fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
            Rounding { wrong_from: 2 }.run(inputs)
        }
    }

    #[test]
    fn a_lone_stream_is_padded_where_one_row_alone_has_bits_of_its_own_and_a_lone_request_is_not() {
        let (mut spec, samples) = spec();
        let sizes = |spec: &GraphSpec, max| {
            Sizes::probe(&mut Vector, spec, &samples, max, Batching::Exact).unwrap().sizes
        };
        assert_eq!(sizes(&spec, 8), vec![1]);
        spec.state.push(atelier_package::StatePair { input: "x".into(), output: "y".into() });
        assert_eq!(sizes(&spec, 8), vec![2, 3, 4, 6, 8]);
        assert_eq!(sizes(&spec, 1), vec![1], "there are no others to join");
    }
}
