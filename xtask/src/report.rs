//! The steps of a run, each with its time, and what they add up to.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::tally::Tally;

/// What has been run so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

impl Report {
    /// Runs a step and notes how it went. An error counts as one failure and is shown; the run goes on.
    pub(crate) fn step<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(Tally, T)>,
    ) -> Option<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let (tally, value) = match work() {
            Ok((tally, value)) => (tally, Some(value)),
            Err(error) => {
                eprintln!("error: {error:#}");
                (Tally::FAILED, None)
            }
        };
        let step = Step { name, tally, took: start.elapsed() };
        eprintln!("== {step}");
        self.steps.push(step);
        value
    }

    /// The counts of all steps together.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for step in &self.steps {
            sum += step.tally;
        }
        sum
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "   {step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, tally, took } = self;
        let word = match tally {
            Tally { failed: 1.., .. } => "FAILED",
            // A step that a machine's want of a tool left out must not look like one that passed.
            &Tally::SKIPPED => "SKIPPED",
            _ => "ok    ",
        };
        write!(f, "{word} {:7.1} s  {name}", took.as_secs_f64())?;
        if ![Tally::PASSED, Tally::FAILED, Tally::SKIPPED].contains(tally) {
            write!(f, ": {tally}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_step_is_counted_and_the_next_one_runs() {
        let mut report = Report::default();
        let nothing: Option<()> = report.step("broken", || bail!("no disk"));
        assert_eq!(nothing, None);
        assert_eq!(report.step("fine", || Ok((Tally::PASSED, 7))), Some(7));
        report.step("tests", || Ok((Tally { passed: 3, failed: 1, ignored: 0 }, ())));
        assert_eq!(report.tally(), Tally { passed: 4, failed: 2, ignored: 0 });
        let shown = report.to_string();
        assert!(shown.contains("FAILED") && shown.contains("tests: 3 passed, 1 failed"), "{shown}");
    }

    #[test]
    fn a_step_that_was_left_out_does_not_look_like_one_that_passed() {
        let mut report = Report::default();
        report.step("helm", || Ok((Tally::SKIPPED, ())));
        assert!(report.to_string().contains("SKIPPED"), "{report}");
        assert_eq!(report.tally().to_string(), "0 passed, 0 failed, 1 skipped");
    }
}
