//! Where training computes.

use anyhow::{Context, bail, ensure};
use tch::{Cuda, Device};

/// `cpu` or `cuda:N`. The trainer is linked without CUDA, so that it builds everywhere; where CUDA is asked
/// for, libtorch's CUDA library is loaded first, from the loader's path. Never a silent run on the CPU.
///
/// # Errors
/// The name is no device, or CUDA cannot be had.
pub fn open(name: &str) -> anyhow::Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let index = match name.split_once(':') {
        None if name == "cuda" => Some(0),
        Some(("cuda", index)) => index.parse::<usize>().ok(),
        _ => None,
    };
    let Some(index) = index else { bail!("--device is {name:?}, it must be cpu or cuda:N") };
    load_cuda().with_context(|| format!("--device {name}"))?;
    ensure!(Cuda::is_available(), "--device {name}: libtorch finds no CUDA driver or GPU");
    let count = Cuda::device_count();
    ensure!((index as i64) < count, "--device {name}: there are {count} GPUs, counted from 0");
    Ok(Device::Cuda(index))
}

/// Whether `device` has instructions for bf16. Without them a convolution in bf16 takes ten times as long as one
/// in f32.
#[must_use]
pub fn has_bf16(device: Device) -> bool {
    #[cfg(target_arch = "x86_64")]
    let processor = is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let processor = std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let processor = false;
    processor || device.is_cuda()
}

#[allow(unsafe_code)]
fn load_cuda() -> anyhow::Result<()> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: libtorch_cuda registers its kernels from its initialisers and is made to be loaded beside
    // libtorch_cpu of the same version; nothing of it is called through this handle.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }
        .context("libtorch_cuda.so is not on the loader's path (LD_LIBRARY_PATH)")?;
    // It stays loaded as long as the process runs.
    std::mem::forget(library);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuda_that_cannot_be_had_is_an_error_and_never_the_cpu() {
        assert_eq!(open("cpu").unwrap(), Device::Cpu);
        for name in ["gpu", "cuda:x", "cuda:"] {
            assert!(open(name).unwrap_err().to_string().contains("must be cpu or cuda:N"));
        }
        if let Ok(device) = open("cuda:0") {
            assert_eq!(device, Device::Cuda(0), "a machine with a GPU");
        }
        assert!(open("cuda:4096").is_err());
    }
}
