//! Counts of tests, read from what Rust's test harness prints.

use std::{fmt, ops::AddAssign};

/// How many tests or steps passed, failed and were ignored.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// One thing that passed.
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, ignored: 0 };
    /// One thing that failed.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, ignored: 0 };
    /// One thing that was left out.
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, ignored: 1 };

    /// The counts of a harness's closing line, as
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`;
    /// `None` for any other line.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let count =
            |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim_end().parse().ok());
        Some(Self { passed: count("passed")?, failed: count("failed")?, ignored: count("ignored")? })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(f, ", {} skipped", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted() {
        let ok =
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Tally::read(ok), Some(Tally { passed: 5, failed: 0, ignored: 1 }));
        let failed = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 2 filtered out; finished in 61.20s";
        assert_eq!(Tally::read(failed), Some(Tally { passed: 12, failed: 3, ignored: 0 }));
    }

    #[test]
    fn other_lines_are_not_counted() {
        for line in ["", "running 5 tests", "test a ... ok", "test result: unheard of", "5 passed; 0 failed"]
        {
            assert_eq!(Tally::read(line), None, "{line}");
        }
    }

    #[test]
    fn the_summary_says_skipped_only_where_something_was() {
        let mut tally = Tally::PASSED;
        tally += Tally::PASSED;
        assert_eq!(tally.to_string(), "2 passed, 0 failed");
        tally += Tally { passed: 0, failed: 1, ignored: 4 };
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 4 skipped");
    }
}
