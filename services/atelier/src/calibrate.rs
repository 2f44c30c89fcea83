//! `atelier calibrate`: measures packages on this machine, and keeps what was found beside them.

use std::path::PathBuf;

use atelier_engine::{Batching, Calibration, Config, Device, Engine, GraphCalibration};
use atelier_package::{Package, PackageName, Repository, Version};
use clap::ValueHint;

use crate::cli::failure::{Exit, Failure};
use crate::files::stdout;

/// What to measure, and for which settings of the service.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Calibrate {
    /// The models: NAME, or NAME@VERSION; the newest version of each where none is named
    #[arg(value_name = "MODEL", value_parser = wanted)]
    models: Vec<Wanted>,
    /// The directory of packages
    #[arg(long = "models", value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "models")]
    directory: PathBuf,
    /// Where graphs run: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    /// The cores that the service may use [default: those that this process may]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallelism: Option<u16>,
    /// As the service's engine.max_batch
    #[arg(long, value_name = "ROWS", default_value_t = Config::default().max_batch)]
    max_batch: usize,
    /// As the service's engine.slots
    #[arg(long, value_name = "STREAMS", default_value_t = Config::default().slots)]
    slots: usize,
    /// As the service's engine.batching = "fast"
    #[arg(long)]
    fast: bool,
    /// The ONNX Runtime library
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

/// A model by name, and perhaps by version.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    name: PackageName,
    version: Option<Version>,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let number = |text: &str| text.parse().ok().and_then(Version::new).ok_or("the version must be 1 or more");
    let name = name.parse::<PackageName>().map_err(|e| e.to_string())?;
    Ok(Wanted { name, version: version.map(number).transpose()? })
}

impl Calibrate {
    /// Measures one package after the other, so that none is in another's way.
    ///
    /// # Errors
    /// `NotFound` for a model that there is not, `CannotServe` without the runtime or the device, `Other` where a
    /// package cannot be served, or its directory cannot be written to.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let repository = Repository::scan(&self.directory).map_err(|e| {
            let message = format!("the models directory cannot be read: {e}; name it with --models");
            Failure::new(Exit::CannotServe, message)
        })?;
        let config = Config {
            device: self.device,
            parallelism: self.parallelism.map(usize::from),
            runtime: self.onnxruntime.clone(),
            batching: if self.fast { Batching::Fast } else { Batching::Exact },
            calibrated: false,
            max_batch: self.max_batch,
            slots: self.slots,
            ..Config::default()
        };
        for package in self.chosen(&repository)? {
            let calibration = measure(&config, package)?;
            calibration.write(package).map_err(|e| Failure::new(Exit::Other, e.to_string()))?;
            stdout::text(&said(package, &calibration))?;
        }
        Ok(())
    }

    fn chosen<'a>(&self, repository: &'a Repository) -> Result<Vec<&'a Package>, Failure> {
        if self.models.is_empty() {
            return Ok(repository.latest().collect());
        }
        let find = |wanted: &Wanted| {
            let Wanted { name, version } = wanted;
            repository.get(name, *version).ok_or_else(|| {
                let known: Vec<String> =
                    repository.all().map(|p| format!("{}@{}", p.name(), p.version())).collect();
                let version = version.map(|version| format!("@{version}")).unwrap_or_default();
                let message = format!("no model \"{name}{version}\"; there is: {}", known.join(", "));
                Failure::new(Exit::NotFound, message)
            })
        };
        self.models.iter().map(find).collect()
    }
}

/// Loads a package as a service would, and says how it came to be run.
fn measure(config: &Config, package: &Package) -> Result<Calibration, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(Exit::CannotServe, e.to_string());
    let engine = Engine::load(config, std::slice::from_ref(package)).map_err(|e| failed(&e))?;
    if let Some(broken) = engine.not_loaded().first() {
        return Err(Failure::new(
            Exit::Other,
            format!("{}/{}: {}", broken.name, broken.version, broken.error),
        ));
    }
    engine.calibration(package.name(), package.version()).map_err(|e| failed(&e))
}

/// What was found, in the words of whoever calls it.
fn said(package: &Package, calibration: &Calibration) -> String {
    let mut text = format!("{}@{}\n", package.name(), package.version());
    for GraphCalibration { name, workers, threads, sizes, seconds, few, .. } in &calibration.graphs {
        let each = sizes.iter().zip(seconds).map(|(n, s)| format!("{n}: {:.2}", s * 1000.0));
        let each: Vec<String> = each.collect();
        let few = match few {
            Some(few) if *few > 0 => format!(", or up to {few} streams by one whose threads divide a step"),
            _ => String::new(),
        };
        text.push_str(&format!(
            "  {name}: {workers} x {threads} threads{few}; rows in a batch: milliseconds: {}\n",
            each.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_with_a_version_or_without() {
        let version = |text: &str| wanted(text).unwrap().version.map(Version::get);
        assert_eq!((version("a-b"), version("a-b@3")), (None, Some(3)));
        assert!(wanted("a@0").unwrap_err().contains("1 or more"));
        assert!(wanted("A").is_err() && wanted("a@x").is_err());
    }
}
