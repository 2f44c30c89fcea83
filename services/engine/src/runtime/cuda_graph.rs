//! Runs of one batch size as a CUDA graph: recorded once, and then launched as a whole instead of kernel by kernel.
//!
//! ONNX Runtime records what a run does and replays it from then on, at the addresses of memory that the run had, for the
//! thread that ran it. So a frame of such runs has memory on the device, and what it is given is copied there and back;
//! and frames are recorded by the worker that runs them, before it takes any work. Each batch size has a graph of its own.
//! Not every graph can be recorded, and one that was recorded wrongly would give stale answers: so each is compared with
//! ordinary runs before anyone is answered by it.

use atelier_package::{Dtype, GraphSpec, Tensor};
use ort::session::RunOptions;

use super::frame::Frame;
use super::session::Runner;
use crate::EngineError;

/// The run option that names a graph.
const GRAPH: &str = "gpu_graph_id";
/// The name of none: a run that is neither recorded nor replayed.
const NONE: &str = "-1";
/// Results differ by at most this part of the largest.
const TOLERANCE: f32 = 1e-3;

/// The options of runs that no graph is made of.
pub(super) fn unrecorded(options: &mut RunOptions) -> Result<(), ort::Error> {
    options.set(GRAPH, NONE)
}

/// The options of runs that a graph is made of, in a session that has so many already.
pub(super) fn recorded(others: usize) -> Result<RunOptions, ort::Error> {
    let mut options = RunOptions::new()?;
    // 0 is ONNX Runtime's own.
    options.set(GRAPH, (others + 1).to_string())?;
    Ok(options)
}

/// Records the graph of a frame, and compares what it replays with ordinary runs.
pub(super) fn prove(runner: &mut dyn Runner, spec: &GraphSpec, frame: &mut Frame) -> Result<(), EngineError> {
    // The first run is recorded, the second replayed: with other inputs, which must count.
    for part in [0.0, 0.5] {
        let inputs: Vec<Tensor> = spec
            .inputs
            .iter()
            .zip(frame.inputs()?)
            .map(|(spec, tensor)| filled(spec.dtype, spec.range.unwrap_or([0.0, 1.0]), part, &tensor))
            .collect::<Result<_, _>>()?;
        frame.set_inputs(&inputs)?;
        runner.run_frame(frame)?;
        let expected = runner.run(&inputs)?;
        if !frame.outputs()?.iter().zip(&expected).all(|(got, expected)| close(got, expected)) {
            let message = "what it replays differs from what an ordinary run gives";
            return Err(EngineError::Runtime(format!("{}: {message}", spec.file)));
        }
    }
    Ok(())
}

/// A tensor of this shape with numbers that the graph takes: those at a part of the range, and of tokens the first.
fn filled(dtype: Dtype, range: [f64; 2], part: f64, like: &Tensor) -> Result<Tensor, EngineError> {
    let (shape, len) = (like.shape().to_vec(), like.shape().iter().product());
    let tensor = match dtype {
        Dtype::F32 => Tensor::f32(shape, vec![(range[0] + part * (range[1] - range[0])) as f32; len]),
        Dtype::I64 => Tensor::i64(shape, vec![0; len]),
    };
    tensor.map_err(|e| EngineError::Runtime(e.to_string()))
}

/// Whether these are the same but for rounding.
fn close(got: &Tensor, expected: &Tensor) -> bool {
    if got.shape() != expected.shape() {
        return false;
    }
    match (got.as_f32(), expected.as_f32()) {
        (Some(got), Some(expected)) => {
            let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            // A NaN is close to nothing.
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE * largest)
        }
        _ => got.as_i64() == expected.as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles its input; a frame's run gives what the first one gave, if it is `stale`.
    struct Doubler {
        stale: bool,
        first: Option<Vec<Tensor>>,
    }

    impl Runner for Doubler {
        fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
            let double = |x: &Tensor| {
                let values = x.as_f32().unwrap().iter().map(|v| 2.0 * v + 1.0).collect();
                Tensor::f32(x.shape().to_vec(), values).unwrap()
            };
            Ok(inputs.iter().map(double).collect())
        }

        fn run_frame(&mut self, frame: &mut Frame) -> Result<(), EngineError> {
            let outputs = self.run(&frame.inputs()?)?;
            let first = self.first.get_or_insert_with(|| outputs.clone());
            frame.set_outputs(if self.stale { first } else { &outputs })
        }
    }

    #[test]
    fn a_recording_that_does_not_look_at_its_inputs_is_found_out() {
        let tensor =
            |name| atelier_package::TensorSpec::new(name, Dtype::F32, ["batch".into(), 2_usize.into()]);
        let (inputs, outputs) = (vec![tensor("x")], vec![tensor("y")]);
        let spec = GraphSpec { inputs, outputs, ..GraphSpec::default() };
        let proved = |stale| {
            let mut frame = Frame::plain(&spec, 3).unwrap();
            prove(&mut Doubler { stale, first: None }, &spec, &mut frame)
        };
        proved(false).unwrap();
        let error = proved(true).unwrap_err().to_string();
        assert!(error.contains("what it replays differs"), "{error}");
    }

    #[test]
    fn what_differs_by_more_than_rounding_is_not_close() {
        let tensor = |values: &[f32]| Tensor::f32([values.len()], values.to_vec()).unwrap();
        let expected = tensor(&[1.0, -20.0]);
        assert!(close(&tensor(&[1.01, -20.0]), &expected));
        assert!(!close(&tensor(&[1.1, -20.0]), &expected));
        assert!(!close(&tensor(&[f32::NAN, -20.0]), &expected));
        assert!(!close(&tensor(&[1.0]), &expected));
        let tokens = |values: &[i64]| Tensor::i64([values.len()], values.to_vec()).unwrap();
        assert!(close(&tokens(&[3]), &tokens(&[3])) && !close(&tokens(&[3]), &tokens(&[4])));
        assert!(close(&tensor(&[0.0]), &tensor(&[0.0])));
    }

    #[test]
    fn a_frame_is_tried_with_numbers_that_its_graph_takes() {
        let like = Tensor::f32([2], vec![0.0; 2]).unwrap();
        let values = |range, part| filled(Dtype::F32, range, part, &like).unwrap();
        assert_eq!(values([-1.0, 1.0], 0.0).as_f32().unwrap(), [-1.0, -1.0]);
        assert_eq!(values([-1.0, 1.0], 0.5).as_f32().unwrap(), [0.0, 0.0]);
        assert_eq!(filled(Dtype::I64, [0.0, 9.0], 0.5, &like).unwrap().as_i64().unwrap(), [0, 0]);
    }
}
