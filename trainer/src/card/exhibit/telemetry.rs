//! What a detector finds in recordings.

use std::path::Path;

use atelier_package::Package;

use super::Exhibit;
use crate::evaluate::telemetry::{Detector, spacecraft};
use crate::onnx_runtime::OnnxRuntime;
use crate::plot::{self, Panel};

/// Channels that are shown.
const SHOWN: usize = 9;

/// Test recordings of channels with labelled anomalies, at equal distances in their list: not the best ones.
pub(super) fn marked(package: &Package, data: &Path, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let (name, craft) = spacecraft(package, data)?;
    let mut detector = Detector::new(package, runtime)?;
    let labelled: Vec<_> =
        craft.channels.iter().enumerate().filter(|(_, c)| !c.anomalies.is_empty()).collect();
    let (mut panels, mut shown) = (Vec::new(), Vec::new());
    for (id, channel) in labelled.iter().step_by(labelled.len().div_ceil(SHOWN).max(1)) {
        let recording = craft.recording(&channel.name, "test")?;
        let scores = detector.scores(*id, &recording)?;
        // As the network sees it: test values may lie far from those of training.
        let value = recording.column(0).into_iter().map(|value| value.clamp(-4.0, 4.0)).collect();
        let marks = vec![detector.alarms(&scores), channel.anomalies.clone()];
        panels.push(Panel { lines: vec![value], marks });
        shown.push(channel.name.as_str());
    }
    let caption = format!(
        "Test recordings of the channels {} of {name}: the value of each row, below it alarms in blue and labelled anomalies in red",
        shown.join(", ")
    );
    Ok(Exhibit::Picture { file: "sample.png", png: plot::png(&panels)?, caption })
}
