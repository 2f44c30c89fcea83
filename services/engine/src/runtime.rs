//! ONNX Runtime: found, loaded once, and told where to run.

mod binding;
mod cuda_graph;
pub(crate) mod frame;
pub(crate) mod framed;
mod gpu;
mod numbers;
pub(crate) mod session;
pub(crate) mod stop;
#[cfg(test)]
pub(crate) mod witness;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::EngineError;

/// Where graphs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// On the processor.
    #[default]
    Cpu,
    /// On the NVIDIA GPU of this number. If it cannot be had, that is an error, never a quiet run on the
    /// processor.
    Cuda(i32),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl FromStr for Device {
    type Err = EngineError;

    fn from_str(s: &str) -> Result<Self, EngineError> {
        let number = |n: &str| n.parse().ok().filter(|n| (0..1024).contains(n)).map(Self::Cuda);
        match s.split_once(':') {
            None if s == "cpu" => Some(Self::Cpu),
            None if s == "cuda" => Some(Self::Cuda(0)),
            Some(("cuda", n)) => number(n),
            _ => None,
        }
        .ok_or_else(|| EngineError::invalid("device", format!("is `{s}`, but cpu, cuda or cuda:N are right")))
    }
}

/// The loaded library. There is one in a process.
pub struct Runtime {
    environment: ort::environment::Environment,
    library: PathBuf,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads ONNX Runtime from `library`, or else from `ORT_DYLIB_PATH`. The first load decides: a later
    /// call with another path is an error, one with the same path or none gets what is there.
    pub fn load(library: Option<&Path>) -> Result<&'static Self, EngineError> {
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = || std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()).map(PathBuf::from);
        let wanted = library.map(Path::to_path_buf).or_else(environment);
        if let Some(runtime) = RUNTIME.get() {
            let real = wanted.as_deref().map(|p| p.canonicalize().unwrap_or_else(|_| p.to_path_buf()));
            return match real {
                Some(real) if real != runtime.library => Err(EngineError::Runtime(format!(
                    "onnx runtime was loaded from {} already; {} cannot be loaded beside it",
                    runtime.library.display(),
                    real.display()
                ))),
                _ => Ok(runtime),
            };
        }
        let Some(wanted) = wanted else {
            return Err(EngineError::Runtime(
                "onnx runtime is not there: set ORT_DYLIB_PATH to libonnxruntime.so of 1.31 (`cargo xtask up` \
                 fetches it)"
                    .into(),
            ));
        };
        let library = wanted.canonicalize().map_err(|e| {
            EngineError::Runtime(format!("onnx runtime is not at {} (ORT_DYLIB_PATH): {e}", wanted.display()))
        })?;
        let failed = |e: &dyn fmt::Display| {
            EngineError::Runtime(format!("onnx runtime cannot be loaded from {}: {e}", library.display()))
        };
        let environment = ort::init_from(&library)
            .map_err(|e| failed(&e))?
            .with_name("atelier")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|e| failed(&e))?;
        environment.set_log_level(ort::logging::LogLevel::Warning);
        tracing::info!(library = %library.display(), build = ort::info(), "loaded onnx runtime");
        Ok(RUNTIME.get_or_init(|| Self { environment, library }))
    }

    /// Where the library was loaded from.
    pub fn library(&self) -> &Path {
        &self.library
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("library", &self.library).finish_non_exhaustive()
    }
}

fn log(level: ort::logging::LogLevel, category: &str, id: &str, location: &str, message: &str) {
    use ort::logging::LogLevel;
    match level {
        LogLevel::Fatal | LogLevel::Error => {
            tracing::error!(category, id, location, "onnx runtime: {message}")
        }
        LogLevel::Warning => tracing::warn!(category, id, location, "onnx runtime: {message}"),
        LogLevel::Info | LogLevel::Verbose => {
            tracing::trace!(category, id, location, "onnx runtime: {message}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_written_as_it_is_read() {
        for text in ["cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"] {
            let e = bad.parse::<Device>().unwrap_err().to_string();
            assert!(e.starts_with("device: is `") && e.contains("cuda:N"), "{e}");
        }
    }
}
