//! The engine on a GPU beside itself on the processor, for every shipped graph: the same answers, and how long they take.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use atelier_engine::{Config, Device, Engine, GraphHandle};
use atelier_package::{GraphSpec, Package, Repository, Tensor};

use crate::Settings;
use crate::median::median;
use crate::report::{Cell, Table};
use crate::rows::{join, row};

/// Rows of a request.
const SIZES: [usize; 3] = [1, 8, MOST];

const MOST: usize = 32;

/// An engine's time is this part of a round's: there are many graphs.
const PART: u32 = 15;

/// Compares all of them.
///
/// # Errors
/// The device cannot be had, or a graph cannot be run on it.
pub(crate) async fn measure(settings: &Settings, device: Device) -> Result<Table> {
    let mut table = Table::new(
        "The engine on another device",
        "Requests of so many rows, one after the other, through the engine in the benchmark's process: on the processor, on the \
         device, and there with CUDA graphs (`engine.cuda_graphs`). Microseconds a row, and how many times as many rows a \
         second as on the processor; the greatest difference of any value from the processor's, over the greatest magnitude \
         of the output. Nothing of a graph runs on the processor where a device is asked for: that is an error.",
        &[
            "graph",
            "device",
            "rows",
            "processor",
            "on it",
            "times",
            "difference",
            "recorded",
            "times recorded",
            "difference recorded",
        ],
    );
    let repository = Repository::scan(&settings.models)?;
    for package in repository.latest() {
        let engine = |device, cuda_graphs| {
            let runtime = Some(settings.program.onnxruntime.clone());
            let config = Config { device, cuda_graphs, runtime, calibrated: false, ..Config::default() };
            let engine = Engine::load(&config, std::slice::from_ref(package))?;
            // An engine serves what it can; here nothing less than all is of use.
            match engine.not_loaded().first() {
                Some(not) => Err(anyhow!("on {device}: {}: {}", not.name, not.error)),
                None => Ok(engine),
            }
        };
        let recorded = (device != Device::Cpu).then(|| engine(device, true)).transpose()?;
        let engines = [Some(engine(Device::Cpu, false)?), Some(engine(device, false)?), recorded];
        for spec in package.manifest().graphs.iter().filter(|spec| !spec.is_step()) {
            let name = format!("{}.{}", package.name(), spec.name);
            let rows = (0..MOST as u64).map(|seed| row(spec, seed)).collect::<Result<Vec<_>>>();
            let rows = match rows {
                Ok(rows) => rows,
                Err(error) => {
                    eprintln!("device: {name}: SKIPPED, not compared: {error}");
                    continue;
                }
            };
            for (size, cells) in
                compare(settings, package, spec, &rows, &engines).await.context(name.clone())?
            {
                let mut all: Vec<Cell> = vec![name.clone().into(), device.to_string().into(), size.into()];
                all.extend(cells);
                table.rows.push(all);
            }
        }
        for engine in engines.into_iter().flatten() {
            engine.shutdown(Duration::from_secs(1)).await;
        }
    }
    Ok(table)
}

/// What an engine does with requests of one size.
#[derive(Default)]
struct Course {
    outputs: Vec<Tensor>,
    /// Seconds a request, of each round.
    seconds: Vec<f64>,
}

/// One graph at each size: the cells that follow it.
async fn compare(
    settings: &Settings,
    package: &Package,
    spec: &GraphSpec,
    rows: &[Vec<Tensor>],
    engines: &[Option<Engine>],
) -> Result<Vec<(usize, Vec<Cell>)>> {
    let version = package.version().get();
    let models = engines.iter().map(|engine| {
        let model = engine.as_ref().map(|engine| engine.model(package.name().as_str(), version, &[]));
        model.transpose()
    });
    let models = models.collect::<Result<Vec<_>, _>>()?;
    let mut table = Vec::new();
    for size in SIZES {
        let inputs = join(spec, rows.get(..size).context("too few rows")?)?;
        let mut courses: Vec<Course> = models.iter().map(|_| Course::default()).collect();
        for _ in 0..settings.rounds {
            for (model, course) in models.iter().zip(&mut courses) {
                let Some(model) = model else { continue };
                course.go(model.graph(&spec.name)?, &inputs, settings.time / PART).await?;
            }
        }
        let [processor, device, recorded] = courses.as_slice() else { continue };
        let time = |course: &Course| median(course.seconds.iter().copied()) / size as f64 * 1e6;
        let beside = |course: &Course| -> Vec<Cell> {
            vec![time(course).into(), (time(processor) / time(course)).into(), course.apart(processor).into()]
        };
        let mut cells: Vec<Cell> = vec![time(processor).into()];
        cells.extend(beside(device).into_iter().chain(beside(recorded)));
        table.push((size, cells));
    }
    Ok(table)
}

impl Course {
    /// Asks the same again and again for a while.
    async fn go(&mut self, graph: &GraphHandle, inputs: &[Tensor], time: Duration) -> Result<()> {
        let start = Instant::now();
        let mut requests = 0_u32;
        while requests == 0 || start.elapsed() < time {
            self.outputs = graph.run(inputs.to_vec(), None).await?;
            requests += 1;
        }
        self.seconds.push(start.elapsed().as_secs_f64() / f64::from(requests));
        Ok(())
    }

    /// The greatest difference from another's outputs, over their greatest magnitude. NaN where there are none.
    fn apart(&self, other: &Self) -> f64 {
        let values = |of: &Self| -> Vec<f32> {
            of.outputs.iter().filter_map(Tensor::as_f32).flatten().copied().collect()
        };
        let (ours, theirs) = (values(self), values(other));
        if ours.len() != theirs.len() {
            return f64::NAN;
        }
        let magnitude = theirs.iter().fold(f32::MIN_POSITIVE, |most, v| most.max(v.abs()));
        let apart = ours.iter().zip(&theirs).map(|(a, b)| f64::from((a - b).abs() / magnitude));
        // A NaN is the worst there is.
        apart.fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_as_far_apart_as_their_worst_value_and_none_is_not_near() {
        let course = |values: &[f32]| Course {
            outputs: vec![Tensor::f32([values.len()], values.to_vec()).unwrap()],
            seconds: Vec::new(),
        };
        let theirs = course(&[1.0, -4.0]);
        assert_eq!(course(&[1.5, -4.0]).apart(&theirs), 0.125);
        assert!(course(&[f32::NAN, -4.0]).apart(&theirs).is_nan());
        assert!(Course::default().apart(&theirs).is_nan());
    }
}
