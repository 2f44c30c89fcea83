//! What to take out of a wheel, and where to put it.

/// One file or folder of a wheel and its place in the installed folder.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pick {
    /// One file.
    File {
        /// Its path in the wheel.
        from: &'static str,
        /// Its path in the installed folder.
        to: &'static str,
    },
    /// Every file below a folder.
    Folder {
        /// The folder's path in the wheel, without a slash at the end.
        from: &'static str,
        /// Its path in the installed folder.
        to: &'static str,
    },
}

impl Pick {
    /// The path, in the installed folder, of the wheel's file `name`; `None` where it is not picked.
    pub(crate) fn place(&self, name: &str) -> Option<String> {
        match *self {
            Self::File { from, to } => (name == from).then(|| to.to_owned()),
            Self::Folder { from, to } => {
                let rest = name.strip_prefix(from)?.strip_prefix('/')?;
                (!rest.is_empty() && !rest.ends_with('/')).then(|| format!("{to}/{rest}"))
            }
        }
    }

    /// Its path in the wheel.
    pub(crate) fn from(&self) -> &'static str {
        match *self {
            Self::File { from, .. } | Self::Folder { from, .. } => from,
        }
    }

    /// Its path in the installed folder.
    pub(crate) fn to(&self) -> &'static str {
        match *self {
            Self::File { to, .. } | Self::Folder { to, .. } => to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_picked_by_its_whole_name() {
        let pick = Pick::File { from: "torch/lib/libc10.so", to: "lib/libc10.so" };
        assert_eq!(pick.place("torch/lib/libc10.so").as_deref(), Some("lib/libc10.so"));
        assert_eq!(pick.place("torch/lib/libc10.so.1"), None);
        assert_eq!(pick.place("other/torch/lib/libc10.so"), None);
    }

    #[test]
    fn a_folder_is_picked_with_everything_below_it_and_nothing_beside_it() {
        let pick = Pick::Folder { from: "torch/include", to: "include" };
        assert_eq!(pick.place("torch/include/ATen/ATen.h").as_deref(), Some("include/ATen/ATen.h"));
        assert_eq!(pick.place("torch/include/"), None);
        assert_eq!(pick.place("torch/include/ATen/"), None);
        assert_eq!(pick.place("torch/include_more/a.h"), None);
    }
}
