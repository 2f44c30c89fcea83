//! Runs every graph on its golden inputs before anyone else may.

use atelier_package::{Golden, GraphSpec, Tensor, compare};

use crate::EngineError;
use crate::fault::run_caught;
use crate::runtime::session::Runner;

/// Whether the graph gives the outputs that the trainer saw, within the golden tolerance. Returns the greatest
/// absolute difference.
pub(crate) fn check(runner: &mut dyn Runner, spec: &GraphSpec, golden: &Golden) -> Result<f64, EngineError> {
    let wrong = |what: String| EngineError::Package(format!("golden check of graph `{}`: {what}", spec.name));
    let case = golden.cases.get(&spec.name).ok_or_else(|| wrong("there is no golden input".into()))?;
    let inputs = spec
        .inputs
        .iter()
        .map(|s| {
            case.inputs.get(&s.name).cloned().ok_or_else(|| wrong(format!("input `{}` is missing", s.name)))
        })
        .collect::<Result<Vec<Tensor>, _>>()?;
    let outputs = run_caught(runner, &inputs)?;
    let mut worst = 0.0_f64;
    for (spec, actual) in spec.outputs.iter().zip(&outputs) {
        let missing = || wrong(format!("output `{}` is missing", spec.name));
        let expected = case.outputs.get(&spec.name).ok_or_else(missing)?;
        let off = compare(expected, actual, golden.tolerance)
            .map_err(|e| wrong(format!("output `{}`: {e}", spec.name)))?;
        worst = worst.max(off);
    }
    Ok(worst)
}
