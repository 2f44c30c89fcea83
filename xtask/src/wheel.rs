//! One wheel of the Python package index, named so that pip can only pick that file.

/// A pinned wheel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wheel {
    /// The project's name on the index.
    pub(crate) project: &'static str,
    /// The exact version.
    pub(crate) version: &'static str,
    /// Which Python the wheel is for.
    pub(crate) python: Python,
    /// One platform tag of the wheel, as `manylinux_2_28_x86_64`.
    pub(crate) platform: &'static str,
    /// SHA-256 of the file, in lower-case hexadecimal digits.
    pub(crate) sha256: &'static str,
}

/// The interpreter tag of a wheel. We want the libraries inside, so any of them serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Python {
    /// `cp311-cp311`.
    Cp311,
    /// `py3-none`.
    Py3,
}

impl Wheel {
    /// What pip calls it: `project==version`.
    pub(crate) fn requirement(&self) -> String {
        format!("{}=={}", self.project, self.version)
    }

    /// pip's options that choose this very file, whatever Python and system pip itself runs on.
    pub(crate) fn pip_options(&self) -> [&'static str; 8] {
        let (implementation, abi) = match self.python {
            Python::Cp311 => ("cp", "cp311"),
            Python::Py3 => ("py", "none"),
        };
        [
            "--platform",
            self.platform,
            "--python-version",
            "3.11",
            "--implementation",
            implementation,
            "--abi",
            abi,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_is_told_every_tag_of_the_file() {
        let wheel = Wheel {
            project: "torch",
            version: "2.11.0",
            python: Python::Cp311,
            platform: "manylinux_2_28_x86_64",
            sha256: "",
        };
        assert_eq!(wheel.requirement(), "torch==2.11.0");
        assert_eq!(
            wheel.pip_options().join(" "),
            "--platform manylinux_2_28_x86_64 --python-version 3.11 --implementation cp --abi cp311"
        );
        let pure = Wheel { python: Python::Py3, ..wheel };
        assert!(pure.pip_options().join(" ").ends_with("--implementation py --abi none"));
    }
}
