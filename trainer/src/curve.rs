//! The picture of a run: its loss and the validation figure that matters most, over steps.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;
use serde_json::{Map, Value};

/// The key of a line of metrics that names the figure that matters most among those of a validation.
pub const WATCHED: &str = "watched";

/// The key of a line that a run begins with, and once more where it is resumed: the steps done until then.
pub const START: &str = "start";

/// Points of the two curves: step and value.
#[derive(Default)]
pub struct Curve {
    loss: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
    name: String,
}

impl Curve {
    /// What an earlier part of the run wrote into its metrics; nothing where there is no such file.
    #[must_use]
    pub fn read(metrics: &Path) -> Self {
        let mut curve = Self::default();
        for line in std::fs::read_to_string(metrics).unwrap_or_default().lines() {
            if let Ok(Value::Object(line)) = serde_json::from_str(line) {
                curve.add(&line);
            }
        }
        curve
    }

    /// Adds a line of metrics. What a run does once more, since it was ended after its last checkpoint, takes the
    /// place of what it did before.
    pub fn add(&mut self, line: &Map<String, Value>) {
        if let Some(done) = line.get(START).and_then(Value::as_f64) {
            forget(&mut self.loss, done + 1.0);
            forget(&mut self.validation, done + 1.0);
        }
        let Some(step) = line.get("step").and_then(Value::as_f64) else { return };
        if let Some(loss) = line.get("loss").and_then(Value::as_f64) {
            // Older runs do not say where they were resumed.
            forget(&mut self.loss, step);
            self.loss.push((step, loss));
        }
        let Some(watched) = line.get(WATCHED).and_then(Value::as_str) else { return };
        if let Some(value) = line.get(&format!("validation_{watched}")).and_then(Value::as_f64) {
            self.name = format!("validation {watched}");
            forget(&mut self.validation, step);
            self.validation.push((step, value));
        }
    }
}

/// Drops the points from a step on.
fn forget(points: &mut Vec<(f64, f64)>, step: f64) {
    points.truncate(points.partition_point(|point| point.0 < step));
}

/// Draws the curves, one above the other, as SVG; nothing as long as there are no two points.
///
/// # Errors
/// The file cannot be written.
pub fn draw(curve: &Curve, path: &Path) -> anyhow::Result<()> {
    if curve.loss.len() < 2 {
        return Ok(());
    }
    let area = SVGBackend::new(path, (800, 640)).into_drawing_area();
    let panels = area.split_evenly((2, 1));
    let named = [("loss", &curve.loss, BLUE), (curve.name.as_str(), &curve.validation, RED)];
    area.fill(&WHITE).map_err(|e| anyhow!("{}: {e}", path.display()))?;
    for (panel, (name, points, colour)) in panels.iter().zip(named) {
        if points.len() > 1 {
            series(panel, name, points, colour).map_err(|e| anyhow!("{}: {e}", path.display()))?;
        }
    }
    area.present().map_err(|e| anyhow!("{}: {e}", path.display()))
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn series<'a>(
    panel: &Panel<'a>,
    name: &str,
    points: &[(f64, f64)],
    colour: RGBColor,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let last = points.last().map_or(1.0, |p| p.0);
    // The first values tower over the rest: the scale is that of what comes after the first twentieth.
    let settled = &points[points.len() / 20..];
    let low = settled.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = settled.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.05).max(1e-9);
    let mut chart = ChartBuilder::on(panel)
        .caption(name, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, low - margin..high + margin)?;
    chart.configure_mesh().x_desc("step").draw()?;
    let clipped = points.iter().map(|&(x, y)| (x, y.clamp(low - margin, high + margin)));
    chart.draw_series(LineSeries::new(clipped, &colour))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_from_what_a_run_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = dir.path().join("metrics.jsonl");
        let lines: String = (1..50)
            .map(|i| {
                let figures = format!("\"validation_error\":0,\"validation_psnr\":{i},\"watched\":\"psnr\"");
                format!("{{\"step\":{i},\"loss\":{}}}\n{{\"step\":{i},{figures}}}\n", 50 - i)
            })
            .collect();
        std::fs::write(&metrics, lines).unwrap();
        let picture = dir.path().join("curve.svg");
        draw(&Curve::read(&metrics), &picture).unwrap();
        let svg = std::fs::read_to_string(picture).unwrap();
        assert!(svg.matches("<polyline").count() >= 2, "{svg}");
        assert!(svg.contains("validation psnr") && svg.contains("loss"));
    }

    #[test]
    fn what_a_run_does_once_more_after_it_was_killed_is_in_its_curve_once() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = dir.path().join("metrics.jsonl");
        let loss = |step: u32| format!("{{\"step\":{step},\"loss\":{step}}}\n");
        let validation =
            |step: u32| format!("{{\"step\":{step},\"watched\":\"x\",\"validation_x\":{step}}}\n");
        let course = |steps: &[u32]| steps.iter().map(|&s| loss(s) + &validation(s)).collect::<String>();
        let points = |steps: &[u32]| steps.iter().map(|&s| (f64::from(s), f64::from(s))).collect::<Vec<_>>();
        for resumed in ["{\"start\":20}\n", ""] {
            let text = course(&[10, 20, 30, 40]) + resumed + &course(&[30]);
            std::fs::write(&metrics, text).unwrap();
            let curve = Curve::read(&metrics);
            let seen = points(&[10, 20, 30]);
            assert_eq!((&curve.loss, &curve.validation), (&seen, &seen), "{resumed:?}");
        }
        // Resumed, and not yet as far as before.
        std::fs::write(&metrics, course(&[10, 20, 30]) + "{\"start\":20}\n").unwrap();
        let curve = Curve::read(&metrics);
        assert_eq!((curve.loss, curve.validation), (points(&[10, 20]), points(&[10, 20])));
    }
}
