//! The port to the package index, so that installing can be tested without a network.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::wheel::Wheel;

/// Something that brings wheels.
pub(crate) trait Download {
    /// Puts the wheel into the empty folder and says where the file is.
    ///
    /// # Errors
    /// One line that says what is missing: Python, pip, network, disk, or the wheel itself.
    fn download(&self, wheel: &Wheel, folder: &Path) -> Result<PathBuf>;
}
