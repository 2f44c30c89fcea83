use super::*;

fn id(name: &str, version: u32) -> Id {
    (name.parse().unwrap(), version.to_string().parse().unwrap())
}

fn found(packages: &[(&Id, u64)]) -> Found {
    let looks = |size| vec![("package.toml".to_owned(), size, None)];
    let packages = packages.iter().map(|(id, size)| ((*id).clone(), looks(*size))).collect();
    Found { packages, unread: BTreeSet::new() }
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
    assert_eq!(survey.compare(found(&[(&old, 1)])), [], "it may be back at the next look");
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
    assert_eq!(survey.compare(found(&[(&old, 1)])), [Change::Forget(bad)], "it was never served");
    assert_eq!(survey.compare(found(&[(&old, 1)])), []);
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
fn a_package_that_is_away_for_one_look_is_neither_retired_nor_loaded_again() {
    let (one, other) = (id("bard", 1), id("clerk", 1));
    let mut survey = Survey::new(found(&[(&one, 1), (&other, 1)]), &[one.clone(), other.clone()]);
    for _ in 0..3 {
        assert_eq!(survey.compare(found(&[(&other, 1)])), []);
        assert_eq!(survey.compare(found(&[(&one, 1), (&other, 1)])), []);
    }
    survey.compare(found(&[(&other, 1)]));
    assert_eq!(survey.compare(found(&[(&one, 2), (&other, 1)])), [Change::Altered(one)]);
}

#[test]
fn what_comes_in_the_place_of_a_package_is_loaded_before_that_is_retired() {
    let (old, new, other) = (id("bard", 2), id("bard", 3), id("clerk", 1));
    let mut survey = Survey::new(found(&[(&old, 1), (&other, 1)]), &[old.clone(), other.clone()]);
    for size in 1..4 {
        assert_eq!(survey.compare(found(&[(&new, size), (&other, 1)])), [], "it is still being copied");
    }
    assert_eq!(survey.compare(found(&[(&new, 3), (&other, 1)])), [Change::Load(new.clone())]);
    survey.tried(&new, true);
    assert_eq!(survey.compare(found(&[(&new, 3), (&other, 1)])), [Change::Retire(old)]);
}

#[test]
fn the_last_package_is_served_on_until_another_is_and_that_is_told_once() {
    let (old, new) = (id("bard", 1), id("clerk", 1));
    let mut survey = Survey::new(found(&[(&old, 1)]), std::slice::from_ref(&old));
    assert_eq!(survey.compare(found(&[])), []);
    assert_eq!(survey.compare(found(&[])), [Change::Last(old.clone())]);
    assert_eq!(survey.compare(found(&[(&new, 1)])), []);
    assert_eq!(survey.compare(found(&[(&new, 1)])), [Change::Load(new.clone())]);
    survey.tried(&new, true);
    assert_eq!(survey.compare(found(&[(&new, 1)])), [Change::Retire(old)]);
    assert_eq!(survey.compare(found(&[(&new, 1)])), []);
}

#[test]
fn what_cannot_be_read_is_left_as_it_was() {
    let (served, left_out, other) = (id("bard", 1), id("bard", 2), id("clerk", 1));
    let all = || found(&[(&served, 1), (&left_out, 1), (&other, 1)]);
    let mut survey = Survey::new(all(), &[served.clone(), other.clone()]);
    for _ in 0..3 {
        let unread = Found { unread: BTreeSet::from([served.0.clone()]), ..found(&[(&other, 1)]) };
        assert_eq!(survey.compare(unread), []);
    }
    assert_eq!(survey.compare(all()), []);
}

#[test]
fn only_directories_that_are_named_as_packages_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    for path in ["bard/1", "bard/next", "Not A Name/1", "empty"] {
        std::fs::create_dir_all(directory.path().join(path)).unwrap();
    }
    std::fs::write(directory.path().join("bard/1/package.toml"), "x").unwrap();
    for file in ["README.md", "licence", "bard/2"] {
        std::fs::write(directory.path().join(file), "x").unwrap();
    }
    let found = list(directory.path()).unwrap();
    let bard = id("bard", 1);
    assert_eq!(found.packages.keys().collect::<Vec<_>>(), [&bard]);
    let (name, size, _) = &found.packages[&bard][0];
    assert_eq!((name.as_str(), *size), ("package.toml", 1));
    assert!(found.unread.is_empty());
    assert!(list(&directory.path().join("nowhere")).is_err());
}

#[cfg(unix)]
#[test]
fn a_file_that_has_vanished_is_passed_over_and_a_directory_that_cannot_be_read_is_not_taken_to_be_gone() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    for path in ["bard/1", "clerk/1"] {
        std::fs::create_dir_all(at(path)).unwrap();
        std::fs::write(at(path).join("package.toml"), "x").unwrap();
    }
    // A link to nothing is listed and yet not there; a link to itself can be listed by nobody.
    symlink("nothing", at("bard/1/calibration.part")).unwrap();
    symlink("2", at("clerk/2")).unwrap();
    let found = list(directory.path()).unwrap();
    let bard = id("bard", 1);
    assert_eq!(found.packages.keys().collect::<Vec<_>>(), [&bard]);
    assert_eq!(found.packages[&bard].len(), 1);
    assert_eq!(found.unread, BTreeSet::from([id("clerk", 1).0]));
}
