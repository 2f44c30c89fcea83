//! What an evaluation found, for people, programs and the package.

use std::fmt;

use serde::Serialize;

/// A level to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Higher is better.
    AtLeast(f64),
    /// Lower is better.
    AtMost(f64),
}

impl Bound {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(b) => value >= b,
            Self::AtMost(b) => value <= b,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(b) => write!(f, ">= {b:.3}"),
            Self::AtMost(b) => write!(f, "<= {b:.3}"),
        }
    }
}

/// What is said of a figure that misses its accepted level.
const BELOW: &str = "BELOW";

/// One figure beside its baselines.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What is measured; a key in `[metrics]`.
    pub name: String,
    /// The model's value.
    pub value: f64,
    /// The same figure of others.
    pub baselines: Vec<(&'static str, f64)>,
    /// From here on the model is accepted.
    pub accepted: Option<Bound>,
    /// What we aim at.
    pub aim: Option<Bound>,
    /// Whether the accepted level and the aim count: where they ask for another figure as well, they do only if that
    /// one reaches its own.
    #[serde(skip)]
    pub counts: [bool; 2],
}

impl Figure {
    /// A figure without levels or baselines.
    #[must_use]
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self {
            name: name.into(),
            value: seen(value),
            baselines: Vec::new(),
            accepted: None,
            aim: None,
            counts: [true; 2],
        }
    }

    /// With the same figure of others.
    #[must_use]
    pub fn beside(mut self, baselines: &[(&'static str, f64)]) -> Self {
        self.baselines.extend(baselines.iter().map(|(name, value)| (*name, seen(*value))));
        self
    }

    /// With a level to be accepted at, and nothing more to aim at.
    #[must_use]
    pub fn level(mut self, accepted: Bound) -> Self {
        self.accepted = Some(accepted);
        self
    }

    /// With levels that count only where `other` reaches its own too: both are asked for together.
    #[must_use]
    pub fn together_with(mut self, other: &Self) -> Self {
        self.counts =
            [other.accepted, other.aim].map(|bound| bound.is_some_and(|bound| bound.met(other.value)));
        self
    }

    /// With levels.
    #[must_use]
    pub fn levels(mut self, accepted: Bound, aim: Bound) -> Self {
        (self.accepted, self.aim) = (Some(accepted), Some(aim));
        self
    }

    /// Whether the aim or the accepted level is reached, in a word or two; empty without levels.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        let met = |bound: Option<Bound>, counts| counts && bound.is_some_and(|b| b.met(self.value));
        match (self.accepted, met(self.aim, self.counts[1]), met(self.accepted, self.counts[0])) {
            (None, ..) => "",
            (_, true, _) => "aim reached",
            (_, _, true) => "accepted",
            _ => BELOW,
        }
    }
}

/// Without the sign of what is smaller than any figure is shown: rounding is not "-0.0000".
fn seen(value: f64) -> f64 {
    if value.abs() < 5e-6 { 0.0 } else { value }
}

/// What an evaluation found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name and version.
    pub package: String,
    /// Data, split, count and conventions, in a line.
    pub protocol: String,
    /// The figures, the most important first.
    pub figures: Vec<Figure>,
    /// What figures and baselines are, where those come from that were not computed in this run, and what was chosen
    /// by what.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether every figure that has an accepted level meets it.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.figures.iter().all(|f| f.verdict() != BELOW)
    }

    /// As the `[metrics]` of a package.
    #[must_use]
    pub fn metrics(&self) -> toml::Table {
        let round = |x: f64| toml::Value::Float((x * 1e5).round() / 1e5);
        let mut table = toml::Table::new();
        table.insert("protocol".into(), self.protocol.clone().into());
        let accepted = if self.accepted() { "yes" } else { "no" };
        table.insert("accepted".into(), accepted.into());
        for figure in &self.figures {
            table.insert(figure.name.clone(), round(figure.value));
        }
        for figure in self.figures.iter().filter(|f| !f.baselines.is_empty()) {
            let others = figure.baselines.iter().map(|(name, x)| ((*name).to_owned(), round(*x))).collect();
            table.insert(format!("baseline_{}", figure.name), toml::Value::Table(others));
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.package, self.protocol)?;
        let width = self.figures.iter().map(|x| x.name.len()).max().unwrap_or(0);
        for figure in &self.figures {
            write!(f, "  {:width$}  {:>10.4}", figure.name, figure.value)?;
            for (name, value) in &figure.baselines {
                write!(f, "   {name} {value:.4}")?;
            }
            if let Some(accepted) = figure.accepted {
                let aim = figure.aim.map_or(String::new(), |aim| format!(", aim {aim}"));
                write!(f, "   accepted {accepted}{aim}: {}", figure.verdict())?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_under_its_accepted_level_is_said_to_be_below() {
        let figure = |x| Figure::new("psnr", x).levels(Bound::AtLeast(20.0), Bound::AtLeast(22.0));
        assert_eq!(figure(19.9).verdict(), "BELOW");
        assert_eq!(figure(20.0).verdict(), "accepted");
        assert_eq!(figure(22.5).verdict(), "aim reached");
        let nan = figure(f64::NAN);
        assert_eq!(nan.verdict(), "BELOW");
    }

    #[test]
    fn levels_of_two_figures_are_reached_by_both_or_by_neither() {
        let pair = |slope, verified| {
            let slope = Figure::new("slope", slope).levels(Bound::AtLeast(0.4), Bound::AtLeast(0.8));
            let verified = Figure::new("verified", verified);
            let verified = verified.levels(Bound::AtLeast(0.80), Bound::AtLeast(0.97));
            let both = [slope.clone().together_with(&verified), verified.together_with(&slope)];
            both.map(|figure| figure.verdict())
        };
        assert_eq!(pair(0.81, 0.98), ["aim reached"; 2]);
        assert_eq!(pair(0.81, 0.88), ["accepted"; 2]);
        // A copy, and somebody else.
        assert_eq!(pair(0.0, 1.0), ["BELOW"; 2]);
        assert_eq!(pair(0.9, 0.01), ["BELOW"; 2]);
    }

    #[test]
    fn a_figure_may_have_a_level_and_no_aim() {
        let figure = |x| Figure::new("elbo", x).level(Bound::AtMost(235.0));
        assert_eq!((figure(230.0).verdict(), figure(236.0).verdict()), ("accepted", "BELOW"));
        let figures = vec![figure(236.0)];
        let report = Report { package: String::new(), protocol: String::new(), figures, notes: Vec::new() };
        assert!(report.to_string().contains("accepted <= 235.000: BELOW") && !report.accepted());
    }

    #[test]
    fn what_rounds_to_nothing_has_no_sign_and_what_does_not_keeps_it() {
        let figure = |x| Figure::new("slope", x).beside(&[("copy", x)]);
        let none = figure(-1e-9);
        assert!(none.value.is_sign_positive() && none.baselines[0].1.is_sign_positive());
        assert_eq!((figure(-1e-5).value, figure(-1e-5).baselines[0].1), (-1e-5, -1e-5));
        assert!(figure(f64::NAN).value.is_nan());
    }

    #[test]
    fn metrics_hold_every_figure_and_its_baselines() {
        let report = Report {
            package: "p 1".into(),
            protocol: "test".into(),
            figures: vec![Figure::new("nats", 1.5).beside(&[("seven_gram", 1.6)])],
            notes: Vec::new(),
        };
        let metrics = report.metrics();
        assert_eq!(metrics["nats"].as_float(), Some(1.5));
        assert_eq!(metrics["baseline_nats"]["seven_gram"].as_float(), Some(1.6));
        assert_eq!(metrics["accepted"].as_str(), Some("yes"));
    }
}
