//! What has changed in a directory of packages from one look to the next.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use atelier_package::{PackageName, Version};

/// One version of a package.
pub(super) type Id = (PackageName, Version);

/// What a package's directory looks like from outside: its files with their sizes and times.
pub(super) type Looks = Vec<(String, u64, Option<SystemTime>)>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A package is new, and nobody writes to it any more.
    Load(Id),
    /// A package that is served is gone.
    Retire(Id),
    /// A package that is served is another than it was.
    Altered(Id),
}

#[derive(Debug)]
enum Known {
    /// Served.
    Served(Looks),
    /// Just seen, or still being written.
    Fresh(Looks),
    /// Not to be served, as long as it looks like that.
    LeftOut(Looks),
}

/// Remembers every package that was seen.
#[derive(Debug)]
pub(super) struct Survey {
    known: BTreeMap<Id, Known>,
}

impl Survey {
    /// What was there before any package was loaded, and what of it is served. The rest was left out then.
    pub(super) fn new(found: BTreeMap<Id, Looks>, served: &[Id]) -> Self {
        let known = |(id, looks)| match served.contains(&id) {
            true => (id, Known::Served(looks)),
            false => (id, Known::LeftOut(looks)),
        };
        Self { known: found.into_iter().map(known).collect() }
    }

    /// Compares with what is there now.
    ///
    /// A new package is loaded when it looks the same twice in a row: one that is still being copied is not.
    pub(super) fn compare(&mut self, found: BTreeMap<Id, Looks>) -> Vec<Change> {
        let mut changes = Vec::new();
        self.known.retain(|id, known| {
            let there = found.contains_key(id);
            if !there && matches!(known, Known::Served(_)) {
                changes.push(Change::Retire(id.clone()));
            }
            there
        });
        for (id, now) in found {
            let next = match self.known.remove(&id) {
                None => Known::Fresh(now),
                Some(Known::Fresh(before)) if before == now => {
                    changes.push(Change::Load(id.clone()));
                    Known::LeftOut(now)
                }
                Some(Known::LeftOut(before)) if before == now => Known::LeftOut(now),
                Some(Known::Fresh(_) | Known::LeftOut(_)) => Known::Fresh(now),
                Some(Known::Served(before)) => {
                    if before != now {
                        changes.push(Change::Altered(id.clone()));
                    }
                    Known::Served(now)
                }
            };
            self.known.insert(id, next);
        }
        changes
    }

    /// What became of a change: whether the package is served now.
    pub(super) fn tried(&mut self, id: &Id, served: bool) {
        if served && let Some(known) = self.known.get_mut(id) {
            let (Known::LeftOut(looks) | Known::Fresh(looks) | Known::Served(looks)) = known;
            *known = Known::Served(std::mem::take(looks));
        }
    }
}

/// The packages below a directory, by their names alone.
pub(super) fn list(directory: &Path) -> std::io::Result<BTreeMap<Id, Looks>> {
    let mut found = BTreeMap::new();
    for name in names(directory)? {
        let Ok(package) = name.parse::<PackageName>() else { continue };
        // What goes away between two looks is gone at the next.
        for version in names(&directory.join(&name)).unwrap_or_default() {
            if let Ok(number) = version.parse::<Version>()
                && let Ok(looks) = looks(&directory.join(&name).join(&version))
            {
                found.insert((package.clone(), number), looks);
            }
        }
    }
    Ok(found)
}

fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in directory.read_dir()? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn looks(directory: &Path) -> std::io::Result<Looks> {
    let mut looks = Vec::new();
    for name in names(directory)? {
        let about = directory.join(&name).metadata()?;
        looks.push((name, about.len(), about.modified().ok()));
    }
    looks.sort();
    Ok(looks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: u32) -> Id {
        (name.parse().unwrap(), version.to_string().parse().unwrap())
    }

    fn found(packages: &[(&Id, u64)]) -> BTreeMap<Id, Looks> {
        let looks = |size| vec![("package.toml".to_owned(), size, None)];
        packages.iter().map(|(id, size)| ((*id).clone(), looks(*size))).collect()
    }

    #[test]
    fn a_new_package_is_loaded_when_nobody_writes_to_it_any_more() {
        let (old, new) = (id("bard", 1), id("bard", 2));
        let mut survey = Survey::new(found(&[(&old, 1)]), std::slice::from_ref(&old));
        assert_eq!(survey.compare(found(&[(&old, 1), (&new, 1)])), []);
        assert_eq!(survey.compare(found(&[(&old, 1), (&new, 2)])), [], "it grows");
        assert_eq!(survey.compare(found(&[(&old, 1), (&new, 2)])), [Change::Load(new.clone())]);
        survey.tried(&new, true);
        assert_eq!(survey.compare(found(&[(&old, 1), (&new, 2)])), []);
        assert_eq!(survey.compare(found(&[(&old, 1)])), [Change::Retire(new)]);
    }

    #[test]
    fn a_package_that_cannot_be_served_is_tried_again_only_when_it_has_changed() {
        let (old, bad) = (id("bard", 1), id("bard", 2));
        let mut survey = Survey::new(found(&[(&old, 1)]), std::slice::from_ref(&old));
        survey.compare(found(&[(&old, 1), (&bad, 1)]));
        assert_eq!(survey.compare(found(&[(&old, 1), (&bad, 1)])), [Change::Load(bad.clone())]);
        survey.tried(&bad, false);
        assert_eq!(survey.compare(found(&[(&old, 1), (&bad, 1)])), []);
        assert_eq!(survey.compare(found(&[(&old, 1), (&bad, 2)])), []);
        assert_eq!(survey.compare(found(&[(&old, 1), (&bad, 2)])), [Change::Load(bad.clone())]);
        survey.tried(&bad, false);
        assert_eq!(survey.compare(found(&[(&old, 1)])), [], "it was never served");
    }

    #[test]
    fn what_was_left_out_at_the_start_stays_out_and_what_is_altered_is_told_once() {
        let (good, bad) = (id("bard", 1), id("cracked", 1));
        let mut survey = Survey::new(found(&[(&good, 1), (&bad, 1)]), std::slice::from_ref(&good));
        for _ in 0..3 {
            assert_eq!(survey.compare(found(&[(&good, 1), (&bad, 1)])), []);
        }
        assert_eq!(survey.compare(found(&[(&good, 2), (&bad, 1)])), [Change::Altered(good.clone())]);
        assert_eq!(survey.compare(found(&[(&good, 2), (&bad, 1)])), []);
    }

    #[test]
    fn only_directories_that_are_named_as_packages_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["bard/1", "bard/next", "Not A Name/1", "empty"] {
            std::fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        std::fs::write(directory.path().join("bard/1/package.toml"), "x").unwrap();
        std::fs::write(directory.path().join("README.md"), "x").unwrap();
        let found = list(directory.path()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&id("bard", 1)]);
        assert_eq!((found[&id("bard", 1)][0].0.as_str(), found[&id("bard", 1)][0].1), ("package.toml", 1));
        assert!(list(&directory.path().join("nowhere")).is_err());
    }
}
