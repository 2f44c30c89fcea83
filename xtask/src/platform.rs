//! The machines we have pinned wheels for.

use std::env::consts;

use anyhow::{Result, bail};

/// An operating system and processor that wheels are pinned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Linux with glibc 2.28 or newer on x86-64.
    LinuxX86,
    /// Linux with glibc 2.28 or newer on 64-bit Arm.
    LinuxArm,
}

impl Platform {
    /// The platform this program runs on.
    ///
    /// # Errors
    /// Where nothing is pinned for it; the message names the way out.
    pub(crate) fn current() -> Result<Self> {
        let (os, arch) = (consts::OS, consts::ARCH);
        let Some(platform) = Self::of(os, arch) else {
            bail!(
                "no library is pinned for {os} on {arch} (only for linux on x86_64 and aarch64): \
                 set ORT_DYLIB_PATH and LIBTORCH to libraries of your own"
            )
        };
        Ok(platform)
    }

    /// The platform with Rust's own names for system and processor, where it is one of ours.
    fn of(os: &str, arch: &str) -> Option<Self> {
        match (os, arch) {
            ("linux", "x86_64") => Some(Self::LinuxX86),
            ("linux", "aarch64") => Some(Self::LinuxArm),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pinned_machines_are_platforms() {
        assert_eq!(Platform::of("linux", "x86_64"), Some(Platform::LinuxX86));
        assert_eq!(Platform::of("linux", "aarch64"), Some(Platform::LinuxArm));
        assert_eq!(Platform::of("linux", "riscv64"), None);
        assert_eq!(Platform::of("macos", "aarch64"), None);
        assert_eq!(Platform::of("windows", "x86_64"), None);
    }
}
