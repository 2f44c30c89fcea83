//! Batching equals single: rows in a batch beside the same rows alone, for every shipped graph.

use std::time::Duration;

use anyhow::{Context, Result};
use atelier_package::{GraphSpec, Package, Repository, Tensor};

use crate::Settings;
use crate::infer::{Client, message};
use crate::raw::{Raw, Runtime};
use crate::report::{Cell, Table};
use crate::rows::{join, pick, row};
use crate::server::Server;

/// The sizes of batches that the engine tries.
const SIZES: [usize; 11] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// The most bytes of a batch: more would not be one message.
const MOST_BYTES: usize = 12 << 20;

/// The roles that speak the Open Inference Protocol for shipped packages, each for its own.
const ROLES: [&str; 2] = ["codec", "image"];

/// How long a role may take to be known.
const KNOWN: Duration = Duration::from_secs(60);

/// Compares all of them: in the raw runtime, and as served.
///
/// # Errors
/// A graph cannot be run or a server does not start.
pub(crate) async fn measure(settings: &Settings, runtime: &Runtime) -> Result<Table> {
    let mut servers = Vec::new();
    for role in ROLES {
        servers.push(settings.program.role(role, &settings.models, &[]).await?);
    }
    let gateway = settings.program.gateway(&servers.iter().collect::<Vec<&Server>>()).await?;
    let mut client = Client::connect(&gateway.address).await?;
    let mut table = Table::new(
        "Batching equals single",
        "The same rows in batches of 2 to 64 (of 12 MiB at most) and alone: the greatest difference of any value, \
         over the greatest magnitude of the output, and the sizes at which not all bits are the same. `raw`: ONNX \
         Runtime at that very size; `served`: requests of so many rows through gateway and service, which run a graph \
         only at sizes that keep every bit (`engine.batching = \"exact\"`), in parts or with rows of padding as it \
         costs least: so the size is that of the request, and that of its runs is the engine's to choose. Models \
         of step graphs are not served as raw tensors: their streams are compared in the engine's tests.",
        &[
            "graph",
            "raw difference",
            "raw sizes that differ",
            "served difference",
            "served sizes that differ",
        ],
    );
    let repository = Repository::scan(&settings.models)?;
    for package in repository.latest() {
        let streamed = package.manifest().graph("step").is_some();
        for spec in &package.manifest().graphs {
            let name = called(package, spec);
            let rows = match (0..64).map(|seed| row(spec, seed)).collect::<Result<Vec<_>>>() {
                Ok(rows) => rows,
                Err(error) => {
                    eprintln!("parity: {name}: SKIPPED, not compared: {error}");
                    continue;
                }
            };
            let mut raw = runtime.open(&package.graph_bytes(&spec.name)?)?;
            let in_raw =
                compare(spec, &rows, async |inputs: &[Tensor]| raw_outputs(&mut raw, spec, inputs)).await;
            let in_raw = match in_raw {
                Ok(in_raw) => in_raw,
                Err(error) => {
                    eprintln!("parity: {name}: SKIPPED, not compared: {error:#}");
                    continue;
                }
            };
            let served = if streamed {
                None
            } else {
                known(&mut client, &name, spec, &rows).await?;
                let ask = async |inputs: &[Tensor]| client.outputs(spec, message(&name, spec, inputs)).await;
                Some(compare(spec, &rows, ask).await?)
            };
            eprintln!("parity: {name}: raw {:?}, served {served:?}", in_raw);
            let mut cells: Vec<Cell> = vec![name.into(), in_raw.most.into(), in_raw.sizes().into()];
            match served {
                Some(served) => cells.extend([served.most.into(), served.sizes().into()]),
                None => cells.extend(["-".into(), "-".into()]),
            }
            table.rows.push(cells);
        }
    }
    Ok(table)
}

fn raw_outputs(raw: &mut Raw, spec: &GraphSpec, inputs: &[Tensor]) -> Result<Vec<Vec<f32>>> {
    raw.outputs(spec, inputs)
}

/// What the protocol calls a graph of a package.
fn called(package: &Package, spec: &GraphSpec) -> String {
    let manifest = package.manifest();
    match manifest.graphs.len() {
        1 => manifest.name.to_string(),
        _ => format!("{}.{}", manifest.name, spec.name),
    }
}

/// Waits until the gateway knows who has the model.
async fn known(client: &mut Client, name: &str, spec: &GraphSpec, rows: &[Vec<Tensor>]) -> Result<()> {
    let message = message(name, spec, rows.first().context("no row")?);
    let start = std::time::Instant::now();
    loop {
        match client.call(message.clone(), None).await {
            Ok(_) => return Ok(()),
            Err(status) if status.code() == tonic::Code::NotFound && start.elapsed() < KNOWN => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(status) => return Err(status).with_context(|| name.to_owned()),
        }
    }
}

/// How rows in batches differ from rows alone.
#[derive(Debug)]
struct Difference {
    most: f64,
    sizes: Vec<usize>,
}

impl Difference {
    fn sizes(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(usize::to_string).collect();
        if sizes.is_empty() { "none".into() } else { sizes.join(" ") }
    }
}

async fn compare(
    spec: &GraphSpec,
    rows: &[Vec<Tensor>],
    mut run: impl AsyncFnMut(&[Tensor]) -> Result<Vec<Vec<f32>>>,
) -> Result<Difference> {
    let mut alone = Vec::new();
    for row in rows {
        alone.push(run(row).await?);
    }
    let magnitude = alone.iter().flatten().flatten().fold(f32::MIN_POSITIVE, |most, v| most.max(v.abs()));
    let mut difference = Difference { most: 0.0, sizes: Vec::new() };
    let bytes: usize = rows.iter().take(1).flatten().map(|tensor| tensor.len() * tensor.dtype().size()).sum();
    for size in SIZES.into_iter().filter(|size| size * bytes <= MOST_BYTES) {
        let batch = run(&join(spec, rows.get(..size).context("too few rows")?)?).await?;
        let mut same = true;
        for (at, alone) in alone.iter().enumerate().take(size) {
            for ((output, batch), alone) in spec.outputs.iter().zip(&batch).zip(alone) {
                for (one, other) in alone.iter().zip(pick(output, batch, size, at)) {
                    same &= one.to_bits() == other.to_bits();
                    difference.most = difference.most.max(f64::from((one - other).abs() / magnitude));
                }
            }
        }
        if !same {
            difference.sizes.push(size);
        }
    }
    Ok(difference)
}

#[cfg(test)]
mod tests {
    use atelier_package::{Dim, Dtype, TensorSpec};

    use super::*;

    #[tokio::test]
    async fn a_batch_whose_last_row_is_off_is_found_with_its_size() {
        let dims = || [Dim::Symbol(Dim::BATCH.into()), Dim::Fixed(2)];
        let outputs = vec![TensorSpec::new("y", Dtype::F32, dims())];
        let inputs = vec![TensorSpec::new("x", Dtype::F32, dims())];
        let spec = GraphSpec { inputs, outputs, ..GraphSpec::default() };
        let rows: Vec<_> = (0..64).map(|seed| row(&spec, seed).unwrap()).collect();
        let echo = async |inputs: &[Tensor]| Ok(vec![inputs[0].as_f32().unwrap().to_vec()]);
        let same = compare(&spec, &rows, echo).await.unwrap();
        assert_eq!((same.most, same.sizes()), (0.0, "none".to_owned()));
        let off = async |inputs: &[Tensor]| {
            let mut values = inputs[0].as_f32().unwrap().to_vec();
            if values.len() == 16 {
                values[15] += 0.5;
            }
            Ok(vec![values])
        };
        let differs = compare(&spec, &rows, off).await.unwrap();
        assert!(differs.most > 0.1);
        assert_eq!(differs.sizes, [8]);
    }
}
