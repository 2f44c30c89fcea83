//! What was measured of a package on a machine, kept beside it so that it need not be measured at every start.

use atelier_package::{GraphSpec, Package};
use serde::{Deserialize, Serialize};

use crate::engine::Config;
use crate::{Batching, EngineError};

/// The file in a package's directory.
const FILE: &str = "calibration.toml";

const HEADING: &str = "# Measured by `atelier calibrate`. Used where machine and runtime are these; elsewhere a \
                       graph is measured when it is loaded.\n\n";

/// What was measured, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Where it holds.
    pub machine: Machine,
    /// Each graph of the package.
    #[serde(rename = "graph")]
    pub graphs: Vec<GraphCalibration>,
}

/// All that figures depend on but for the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The name of the processor.
    pub processor: String,
    /// Cores that may be used.
    pub cores: usize,
    /// What ONNX Runtime says of its build.
    pub runtime: String,
    /// `cpu`, `cuda:0`, ...
    pub device: String,
    /// Whether only sizes are used at which rows have the bits that they have alone.
    pub exact: bool,
    /// The most rows that were tried in a batch of a stateless graph.
    pub max_batch: usize,
    /// The most streams that were tried together.
    pub slots: usize,
}

/// What was measured of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphCalibration {
    /// The graph's name.
    pub name: String,
    /// The SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    /// Sessions, each with a worker of its own.
    pub workers: usize,
    /// Threads of each session.
    pub threads: usize,
    /// The sizes of batches that are run, in rows, ascending.
    pub sizes: Vec<usize>,
    /// What a batch of each takes, in seconds, at most 3600; 0 where that is not known.
    pub seconds: Vec<f64>,
    /// Of a step graph: up to so many streams are stepped by one session whose threads divide a step; 0 where none are,
    /// or there are no other sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few: Option<usize>,
}

impl Machine {
    pub(crate) fn here(config: &Config, cores: usize) -> Self {
        Self {
            processor: processor(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores,
            runtime: ort::info().to_owned(),
            device: config.device.to_string(),
            exact: config.batching == Batching::Exact,
            max_batch: config.max_batch,
            slots: config.slots,
        }
    }
}

/// The processor's name, as Linux says it on x86 or, in numbers, on Arm.
fn processor(cpuinfo: &str) -> String {
    let value = |key: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == key));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let arm = || {
        let keys = ["CPU implementer", "CPU part", "CPU variant"];
        let parts: Vec<String> = keys.into_iter().filter_map(value).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    value("model name").or_else(arm).unwrap_or_else(|| "unknown".into())
}

/// Why what was measured is not used.
#[derive(Debug, PartialEq, thiserror::Error)]
enum Unused {
    /// It is right, but not here.
    #[error("was measured on another machine, or for another configuration")]
    Elsewhere,
    /// It makes no sense.
    #[error("is damaged: {0}")]
    Damaged(String),
}

impl Calibration {
    /// That of a package, if it has one that holds here. One that cannot be read is warned of, and measured anew.
    pub(crate) fn of(package: &Package, machine: &Machine) -> Option<Self> {
        let path = package.directory().join(FILE);
        let read = match std::fs::read_to_string(&path) {
            Ok(text) => Self::read(&text, machine),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
            Err(e) => Err(Unused::Damaged(e.to_string())),
        };
        let said = |why: &Unused| match why {
            Unused::Elsewhere => tracing::info!(file = %path.display(), %why, "a calibration is not used"),
            Unused::Damaged(_) => tracing::warn!(file = %path.display(), %why, "a calibration is not used"),
        };
        read.inspect_err(said).ok()
    }

    /// What a file says, if it holds on this machine.
    fn read(text: &str, machine: &Machine) -> Result<Self, Unused> {
        let read: Self = toml::from_str(text).map_err(|e| Unused::Damaged(e.message().to_owned()))?;
        read.sound().map_err(Unused::Damaged)?;
        if read.machine == *machine { Ok(read) } else { Err(Unused::Elsewhere) }
    }

    fn sound(&self) -> Result<(), String> {
        for graph in &self.graphs {
            let GraphCalibration { name, workers, threads, sizes, seconds, few, .. } = graph;
            let wrong = |field: &str, right: &str| Err(format!("graph `{name}`: {field}: {right}"));
            if !(1..=4096).contains(workers) || !(1..=4096).contains(threads) {
                return wrong("workers, threads", "must be 1 to 4096");
            }
            if few.is_some_and(|few| few > 4096) {
                return wrong("few", "must be 0 to 4096");
            }
            if sizes.first().is_none_or(|first| *first == 0) || !sizes.is_sorted_by(|a, b| a < b) {
                return wrong("sizes", "must ascend from at least 1");
            }
            // A table is made of all rows up to the largest.
            let most = if few.is_some() { self.machine.slots } else { self.machine.max_batch };
            if sizes.last().is_some_and(|last| *last > most) {
                return wrong("sizes", &format!("must be at most {most}, as many as were tried"));
            }
            if seconds.len() != sizes.len() || !seconds.iter().all(|s| (0.0..=3600.0).contains(s)) {
                return wrong("seconds", "must be a time for each size, of at most 3600");
            }
        }
        Ok(())
    }

    /// What is known of a graph that may compute with so many threads, or why that is of no use.
    pub(crate) fn graph(&self, spec: &GraphSpec, threads: usize) -> Result<&GraphCalibration, &'static str> {
        let named = self.graphs.iter().find(|graph| graph.name == spec.name);
        let graph = named.ok_or("the graph was not measured")?;
        if graph.sha256 != spec.sha256 {
            return Err("the graph is another one now");
        }
        if graph.threads * graph.workers > threads {
            return Err("it takes more threads than the graph has here");
        }
        // One of a time before few streams could be stepped otherwise says nothing of that.
        if spec.is_step() && graph.few.is_none() {
            return Err("it does not say how few streams are stepped");
        }
        Ok(graph)
    }

    /// Keeps it beside its package.
    ///
    /// # Errors
    /// `Package`: the file cannot be written.
    pub fn write(&self, package: &Package) -> Result<(), EngineError> {
        let path = package.directory().join(FILE);
        let failed = |e: &dyn std::fmt::Display| EngineError::Package(format!("{}: {e}", path.display()));
        let text = toml::to_string_pretty(self).map_err(|e| failed(&e))?;
        // Whole or not at all: a service may be reading it.
        let part = path.with_extension("part");
        std::fs::write(&part, format!("{HEADING}{text}")).map_err(|e| failed(&e))?;
        std::fs::rename(&part, &path).map_err(|e| failed(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration() -> Calibration {
        let machine = Machine { processor: "p".into(), ..Machine::here(&Config::default(), 2) };
        let graph = GraphCalibration {
            name: "g".into(),
            sha256: "00".into(),
            workers: 2,
            threads: 1,
            sizes: vec![1, 4],
            seconds: vec![0.001, 0.003],
            few: Some(4),
        };
        Calibration { machine, graphs: vec![graph] }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let text = toml::to_string_pretty(&calibration()).unwrap();
        assert_eq!(toml::from_str::<Calibration>(&text).unwrap(), calibration());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let said = |change: fn(&mut GraphCalibration)| {
            let mut wrong = calibration();
            change(&mut wrong.graphs[0]);
            wrong.sound().unwrap_err()
        };
        assert!(calibration().sound().is_ok());
        assert_eq!(said(|g| g.sizes = vec![4, 1]), "graph `g`: sizes: must ascend from at least 1");
        assert_eq!(said(|g| g.sizes.clear()), "graph `g`: sizes: must ascend from at least 1");
        assert_eq!(
            said(|g| g.sizes = vec![1, 4_000_000_000_000]),
            "graph `g`: sizes: must be at most 32, as many as were tried"
        );
        assert_eq!(said(|g| g.threads = 0), "graph `g`: workers, threads: must be 1 to 4096");
        assert_eq!(said(|g| g.few = Some(4097)), "graph `g`: few: must be 0 to 4096");
        let seconds = "graph `g`: seconds: must be a time for each size, of at most 3600";
        assert_eq!(said(|g| g.seconds = vec![1.0, f64::NAN]), seconds);
        assert_eq!(said(|g| g.seconds = vec![-1.0, 1.0]), seconds);
        assert_eq!(said(|g| g.seconds = vec![1.0, 1e300]), seconds);
        assert_eq!(said(|g| g.seconds = vec![1.0]), seconds);
    }

    #[test]
    fn sizes_are_bounded_by_the_rows_of_a_batch_or_of_a_step_graph_by_its_slots() {
        let sound = |few, last| {
            let mut told = calibration();
            (told.machine.max_batch, told.machine.slots) = (8, 16);
            (told.graphs[0].few, told.graphs[0].sizes) = (few, vec![1, last]);
            told.sound().is_ok()
        };
        assert_eq!([8, 9, 16, 17].map(|last| sound(None, last)), [true, false, false, false]);
        assert_eq!([8, 9, 16, 17].map(|last| sound(Some(2), last)), [true, true, true, false]);
    }

    #[test]
    fn what_is_damaged_or_from_elsewhere_is_not_used_and_it_is_said_why() {
        let (told, text) = (calibration(), toml::to_string_pretty(&calibration()).unwrap());
        let why = |text: &str, machine: &Machine| Calibration::read(text, machine).unwrap_err();
        assert_eq!(Calibration::read(&text, &told.machine).unwrap(), told);
        let changes: [fn(&mut Machine); 7] = [
            |here| here.processor.push('2'),
            |here| here.cores += 1,
            |here| here.runtime.push('2'),
            |here| here.device = "cuda:0".into(),
            |here| here.exact = false,
            |here| here.max_batch += 1,
            |here| here.slots += 1,
        ];
        for change in changes {
            let mut here = told.machine.clone();
            change(&mut here);
            assert_eq!(why(&text, &here), Unused::Elsewhere, "{here:?}");
        }
        let damaged = |text: &str, reason: &str| {
            let said = why(text, &told.machine).to_string();
            assert!(said.starts_with("is damaged: ") && said.contains(reason), "{said}");
        };
        damaged(&text[..text.len() / 2], "");
        damaged(&text.replace("sha256", "sha512"), "sha512");
        damaged(&text.replace("workers = 2", "workers = -2"), "");
        damaged(&text.replace("workers = 2", "workers = 5000"), "graph `g`: workers, threads");
    }

    #[test]
    fn what_was_measured_of_another_graph_is_not_used_and_it_is_said_why() {
        let told = calibration();
        let mut spec = GraphSpec { name: "g".into(), sha256: "00".into(), ..GraphSpec::default() };
        assert_eq!(told.graph(&spec, 2), Ok(&told.graphs[0]));
        assert_eq!(told.graph(&spec, 1), Err("it takes more threads than the graph has here"));
        spec.sha256 = "01".into();
        assert_eq!(told.graph(&spec, 2), Err("the graph is another one now"));
        spec.name = "h".into();
        assert_eq!(told.graph(&spec, 2), Err("the graph was not measured"));
    }

    #[test]
    fn a_processor_has_a_name_on_x86_and_numbers_on_arm() {
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: AMD EPYC\n";
        assert_eq!(processor(x86), "AMD EPYC");
        assert_eq!(
            processor("CPU implementer\t: 0x41\nCPU variant : 0x3\nCPU part\t: 0xd0c\n"),
            "0x41 0xd0c 0x3"
        );
        assert_eq!(processor(""), "unknown");
    }
}
