//! The two native libraries: the ones the environment names, or else the pinned ones.
//!
//! The serving binary loads ONNX Runtime from `ORT_DYLIB_PATH` when it starts. The trainer is linked to
//! libtorch at build time; its build script writes `$LIBTORCH/lib` into the binaries as an rpath
//! (`cargo:rustc-link-arg=-Wl,-rpath,…`), so that `cargo run` and `cargo test` find it with no
//! `LD_LIBRARY_PATH`. Cargo does not hand link arguments to doc tests: [`crate::test`] sets
//! `LD_LIBRARY_PATH` for those alone, lest it hide a missing rpath.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{layout::Layout, pins, pip::Pip, platform::Platform};

/// The variable that names the ONNX Runtime library.
pub(crate) const ORT_DYLIB_PATH: &str = "ORT_DYLIB_PATH";
/// The variable that names the libtorch folder.
pub(crate) const LIBTORCH_VAR: &str = "LIBTORCH";
/// Where our own ONNX Runtime lies, below `.runtime/`.
pub(crate) const ONNXRUNTIME_LIBRARY: &str = "onnxruntime/libonnxruntime.so.1.31.1";
/// Where our own libtorch lies, below `.runtime/`.
pub(crate) const LIBTORCH: &str = "libtorch";

/// Which build of ONNX Runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// For the CPU.
    Cpu,
    /// For CUDA 13.
    Cuda,
}

impl Flavour {
    /// The flavour that a `--cuda` switch means.
    pub(crate) fn from_flag(cuda: bool) -> Self {
        if cuda { Self::Cuda } else { Self::Cpu }
    }
}

/// The ONNX Runtime library to load: what `ORT_DYLIB_PATH` names, or else ours, fetched where it is missing.
///
/// # Errors
/// One line: the named file is not there, or fetching failed.
pub(crate) fn onnxruntime(layout: &Layout, flavour: Flavour) -> Result<PathBuf> {
    if let Some(library) = theirs(env::var_os(ORT_DYLIB_PATH), &layout.configured(ONNXRUNTIME_LIBRARY))? {
        ensure!(
            library.is_file(),
            "{ORT_DYLIB_PATH} is set to {}, where no file is: correct or unset it",
            library.display()
        );
        eprintln!("{ORT_DYLIB_PATH} is set: taking {}", library.display());
        return Ok(library);
    }
    let platform = Platform::current()?;
    let bundle = match flavour {
        Flavour::Cpu => pins::onnxruntime(platform),
        Flavour::Cuda => pins::onnxruntime_cuda(platform).with_context(|| {
            format!("no ONNX Runtime for CUDA is pinned for this platform: set {ORT_DYLIB_PATH} to one")
        })?,
    };
    let folder = bundle.install(layout.runtime(), &Pip)?;
    let file = Path::new(ONNXRUNTIME_LIBRARY).file_name().context("the library's path has no file name")?;
    Ok(folder.join(file))
}

/// The libtorch folder to build with: what `LIBTORCH` names, or else ours, fetched where it is missing.
///
/// # Errors
/// One line: the named folder holds no libtorch, or fetching failed.
pub(crate) fn libtorch(layout: &Layout) -> Result<PathBuf> {
    if let Some(folder) = theirs(env::var_os(LIBTORCH_VAR), &layout.configured(LIBTORCH))? {
        ensure!(
            folder.join("include").is_dir() && folder.join("lib").is_dir(),
            "{LIBTORCH_VAR} is set to {}, which has no include and lib folders: correct or unset it",
            folder.display()
        );
        eprintln!("{LIBTORCH_VAR} is set: taking {}", folder.display());
        return Ok(folder);
    }
    let bundle = pins::libtorch(Platform::current()?).with_context(|| {
        format!("no libtorch is pinned for this platform: set {LIBTORCH_VAR} to libtorch 2.11.0")
    })?;
    bundle.install(layout.runtime(), &Pip)
}

/// The path that a variable names where a person has set it.
///
/// Cargo sets both variables from `.cargo/config.toml` for whatever it runs, this program too, so being set
/// says nothing: a value other than the configured one does.
fn theirs(value: Option<OsString>, configured: &Path) -> Result<Option<PathBuf>> {
    let set = |value: &OsString| !value.is_empty() && value.as_os_str() != OsStr::new(configured);
    let path = value.filter(set).map(std::path::absolute).transpose()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_counts_only_where_a_person_set_it() {
        let configured = Path::new("/house/.runtime/libtorch");
        assert_eq!(theirs(None, configured).unwrap(), None);
        assert_eq!(theirs(Some("".into()), configured).unwrap(), None);
        assert_eq!(theirs(Some(configured.into()), configured).unwrap(), None);
        let own = theirs(Some("/opt/libtorch".into()), configured).unwrap();
        assert_eq!(own.as_deref(), Some(Path::new("/opt/libtorch")));
    }

    #[test]
    fn our_libraries_lie_where_the_bundles_put_them() {
        for platform in [Platform::LinuxX86, Platform::LinuxArm] {
            let bundles = [Some(pins::onnxruntime(platform)), pins::onnxruntime_cuda(platform)];
            let file = Path::new(ONNXRUNTIME_LIBRARY).file_name().unwrap().to_str().unwrap();
            for bundle in bundles.into_iter().flatten() {
                assert!(bundle.parts.iter().flat_map(|part| part.picks).any(|pick| pick.to() == file));
            }
            assert!(pins::libtorch(platform).is_none_or(|bundle| bundle.folder == LIBTORCH));
        }
        let cpu = pins::onnxruntime(Platform::LinuxX86);
        assert_eq!(Path::new(ONNXRUNTIME_LIBRARY).parent(), Some(Path::new(cpu.folder)));
    }
}
