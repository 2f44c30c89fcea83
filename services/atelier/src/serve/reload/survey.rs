//! What has changed in a directory of packages from one look to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Result};
use std::path::Path;
use std::time::SystemTime;

use atelier_package::{PackageName, Version};

/// One version of a package.
pub(super) type Id = (PackageName, Version);

/// What a package's directory looks like from outside: its files with their sizes and times.
type Looks = Vec<(String, u64, Option<SystemTime>)>;

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Found {
    packages: BTreeMap<Id, Looks>,
    /// Models of which something could not be read: nothing is known of their versions.
    unread: BTreeSet<PackageName>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A package is new, and nobody writes to it any more.
    Load(Id),
    /// A package that is served is gone.
    Retire(Id),
    /// A package that is served is gone, and no other is served: it stays until another is.
    Last(Id),
    /// A package that is served is another than it was.
    Altered(Id),
    /// A package that is not served is gone.
    Forget(Id),
}

#[derive(Debug)]
enum Known {
    /// Served.
    Served(Looks),
    /// Served, and gone.
    Gone(Looks),
    /// Served and gone, and the last that is served.
    Last(Looks),
    /// Just seen, or still being written.
    Fresh(Looks),
    /// Not to be served, as long as it looks like that.
    LeftOut(Looks),
}

impl Known {
    fn is_served(&self) -> bool {
        matches!(self, Self::Served(_) | Self::Gone(_) | Self::Last(_))
    }

    /// Takes what it looked like.
    fn looks(&mut self) -> Looks {
        let (Self::Served(it) | Self::Gone(it) | Self::Last(it) | Self::Fresh(it) | Self::LeftOut(it)) = self;
        std::mem::take(it)
    }
}

/// Remembers every package that was seen.
#[derive(Debug)]
pub(super) struct Survey {
    known: BTreeMap<Id, Known>,
}

impl Survey {
    /// What was there before any package was loaded, and what of it is served. The rest was left out then.
    pub(super) fn new(found: Found, served: &[Id]) -> Self {
        let known = |(id, looks)| match served.contains(&id) {
            true => (id, Known::Served(looks)),
            false => (id, Known::LeftOut(looks)),
        };
        Self { known: found.packages.into_iter().map(known).collect() }
    }

    /// Compares with what is there now. What could not be read is taken to be as it was.
    ///
    /// A new package is loaded when it looks the same twice in a row: one that is still being copied is not. One
    /// that is served is retired when it was not there twice in a row, but not in a look that loads others: whether
    /// they come in its place is known at the next one.
    pub(super) fn compare(&mut self, mut found: Found) -> Vec<Change> {
        let (mut changes, mut gone) = (Vec::new(), Vec::new());
        for (id, before) in std::mem::take(&mut self.known) {
            let next = match (found.packages.remove(&id), before) {
                (None, before) if found.unread.contains(&id.0) => before,
                (None, Known::Served(looks)) => Known::Gone(looks),
                (None, before @ (Known::Gone(_) | Known::Last(_))) => {
                    gone.push(id.clone());
                    before
                }
                (None, Known::Fresh(_) | Known::LeftOut(_)) => {
                    changes.push(Change::Forget(id));
                    continue;
                }
                (Some(now), Known::Fresh(before)) if before == now => {
                    changes.push(Change::Load(id.clone()));
                    Known::LeftOut(now)
                }
                (Some(now), Known::LeftOut(before)) if before == now => Known::LeftOut(now),
                (Some(now), Known::Fresh(_) | Known::LeftOut(_)) => Known::Fresh(now),
                (Some(now), Known::Served(before) | Known::Gone(before) | Known::Last(before)) => {
                    if before != now {
                        changes.push(Change::Altered(id.clone()));
                    }
                    Known::Served(now)
                }
            };
            self.known.insert(id, next);
        }
        self.known.extend(found.packages.into_iter().map(|(id, now)| (id, Known::Fresh(now))));
        if !changes.iter().any(|change| matches!(change, Change::Load(_))) {
            changes.extend(gone.into_iter().filter_map(|id| self.let_go(id)));
        }
        changes
    }

    /// What becomes of a package that is served and gone.
    fn let_go(&mut self, id: Id) -> Option<Change> {
        let coming = |((name, _), known): (&Id, &Known)| *name == id.0 && matches!(known, Known::Fresh(_));
        if self.known.iter().any(coming) {
            return None;
        }
        if self.known.values().filter(|known| known.is_served()).count() > 1 {
            self.known.remove(&id);
            return Some(Change::Retire(id));
        }
        let known = self.known.get_mut(&id).filter(|known| matches!(known, Known::Gone(_)))?;
        *known = Known::Last(known.looks());
        Some(Change::Last(id))
    }

    /// What became of a change: whether the package is served now.
    pub(super) fn tried(&mut self, id: &Id, served: bool) {
        if served && let Some(known) = self.known.get_mut(id) {
            *known = Known::Served(known.looks());
        }
    }
}

/// The packages below a directory, by their names alone.
///
/// # Errors
/// Where the directory itself cannot be read.
pub(super) fn list(directory: &Path) -> Result<Found> {
    let mut found = Found::default();
    for name in names(directory)? {
        let Ok(package) = name.parse::<PackageName>() else { continue };
        match there(versions(&directory.join(&name))) {
            Ok(versions) => {
                let versions = versions.into_iter().flatten();
                found.packages.extend(versions.map(|(version, looks)| ((package.clone(), version), looks)));
            }
            Err(error) => {
                tracing::warn!(model = %package, %error, "a directory cannot be read; its packages stay as they are");
                found.unread.insert(package);
            }
        }
    }
    Ok(found)
}

/// The versions of one package.
fn versions(directory: &Path) -> Result<Vec<(Version, Looks)>> {
    let mut versions = Vec::new();
    for name in names(directory)? {
        if let Ok(version) = name.parse::<Version>()
            && let Some(looks) = there(looks(&directory.join(&name)))?
        {
            versions.push((version, looks));
        }
    }
    Ok(versions)
}

fn looks(directory: &Path) -> Result<Looks> {
    let mut looks = Vec::new();
    for name in names(directory)? {
        // One that went away since, as what is written beside a file and then renamed, is none of its files.
        if let Some(about) = there(directory.join(&name).metadata())? {
            looks.push((name, about.len(), about.modified().ok()));
        }
    }
    looks.sort();
    Ok(looks)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in directory.read_dir()? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// `None` for what is not there, or is no directory. That it cannot be read says nothing of the kind.
fn there<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
