//! What `package.toml` must say beyond its syntax.

use std::collections::BTreeSet;

use super::{GraphSpec, Manifest, Vocabulary};
use crate::error::FieldError;
use crate::name::shorten;

/// Metrics are nested by what they measure; deeper than this is an accident or an attack.
const METRICS_DEPTH: usize = 8;

impl Manifest {
    /// Whether every field says something possible, and the package has the graphs of its kind.
    pub fn validate(&self) -> Result<(), FieldError> {
        let lines = [("summary", &self.summary), ("licence", &self.licence), ("data", &self.data)];
        for (field, text) in lines.into_iter().chain(self.limits.as_ref().map(|text| ("limits", text))) {
            if text.trim().is_empty() || text.len() > 1000 || text.chars().any(char::is_control) {
                return Err(FieldError::new(field, "must be one line of 1 to 1000 bytes"));
            }
        }
        if self.graphs.is_empty() || self.graphs.len() > 64 {
            return Err(FieldError::new("graph", "there must be 1 to 64 graphs"));
        }
        let mut names = BTreeSet::new();
        let mut files = BTreeSet::new();
        for graph in &self.graphs {
            graph.validate()?;
            if !names.insert(graph.name.as_str()) {
                return Err(FieldError::new("graph.name", format!("`{}` is there twice", graph.name)));
            }
            if !files.insert(graph.file.as_str()) {
                return Err(FieldError::new(
                    format!("graph.{}.file", graph.name),
                    format!("`{}` belongs to another graph already", graph.file),
                ));
            }
        }
        if let Some(vocabulary) = &self.vocabulary {
            vocabulary.validate()?;
        }
        if let Some(labels) = &self.labels {
            labels.validate()?;
        }
        if let Some(novelty) = &self.novelty {
            novelty.validate()?;
        }
        if let Some(audio) = &self.audio {
            audio.validate()?;
        }
        if let Some(training) = &self.training
            && !(training.minutes.is_finite() && training.minutes >= 0.0)
        {
            return Err(FieldError::new("training.minutes", "must be a finite number, 0 or more"));
        }
        metrics("metrics", &self.metrics, METRICS_DEPTH)?;
        self.kind.validate(self)
    }
}

impl GraphSpec {
    fn validate(&self) -> Result<(), FieldError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            return Err(FieldError::new(
                "graph.name",
                format!("`{}` is no graph name: 1 to 64 of a-z, 0-9, '-' and '_' are", shorten(&self.name)),
            ));
        }
        let at = format!("graph.{}", self.name);
        // A plain name can neither leave the directory nor be hidden in it.
        let stem = self.file.strip_suffix(".onnx").unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if stem.is_empty() || self.file.len() > 128 || !stem.bytes().all(plain) {
            return Err(FieldError::new(
                format!("{at}.file"),
                format!(
                    "`{}` is no file name: letters, digits, '-' and '_' and then `.onnx` are, without a directory",
                    shorten(&self.file)
                ),
            ));
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(FieldError::new(format!("{at}.sha256"), "must be 64 lower-case hexadecimal digits"));
        }
        for (side, specs) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            let at = format!("{at}.{side}");
            if specs.is_empty() || specs.len() > 256 {
                return Err(FieldError::new(at, "there must be 1 to 256"));
            }
            let mut names = BTreeSet::new();
            for spec in specs {
                spec.validate(&at)?;
                if !names.insert(spec.name.as_str()) {
                    return Err(FieldError::new(at, format!("`{}` is there twice", spec.name)));
                }
            }
        }
        if let Some(both) = self.inputs.iter().find(|s| self.output(&s.name).is_some()) {
            return Err(FieldError::new(
                format!("{at}.outputs"),
                format!("`{}` is an input too, but in an ONNX graph each name is given once", both.name),
            ));
        }
        self.validate_state(&at)
    }

    fn validate_state(&self, at: &str) -> Result<(), FieldError> {
        let mut seen = BTreeSet::new();
        for pair in &self.state {
            let field = format!("{at}.state.{}", shorten(&pair.input));
            let (Some(input), Some(output)) = (self.input(&pair.input), self.output(&pair.output)) else {
                return Err(FieldError::new(
                    field,
                    format!(
                        "must pair an input with an output; `{}` and `{}` are not both there",
                        shorten(&pair.input),
                        shorten(&pair.output)
                    ),
                ));
            };
            if input.dtype != output.dtype || input.shape != output.shape {
                return Err(FieldError::new(
                    field,
                    format!(
                        "is {} {} as input, but {} {} as output",
                        input.dtype,
                        input.shape_text(),
                        output.dtype,
                        output.shape_text()
                    ),
                ));
            }
            if input.batch_axis().is_none() {
                return Err(FieldError::new(field, "must have a dimension \"batch\""));
            }
            if !seen.insert(("in", &pair.input)) || !seen.insert(("out", &pair.output)) {
                return Err(FieldError::new(field, "an input or output belongs to two states"));
            }
        }
        for lines in &self.delays {
            lines.validate(self)?;
            if !seen.insert(("in", &lines.input)) || !seen.insert(("out", &lines.output)) {
                return Err(FieldError::new(
                    format!("{at}.delay.{}", lines.input),
                    "an input or output belongs to two states or delay lines",
                ));
            }
        }
        Ok(())
    }
}

impl Vocabulary {
    fn validate(&self) -> Result<(), FieldError> {
        if self.characters.is_empty() || self.characters.len() > 65_536 {
            return Err(FieldError::new("vocabulary.characters", "there must be 1 to 65536"));
        }
        let mut seen = BTreeSet::new();
        match self.characters.iter().find(|c| !seen.insert(**c)) {
            Some(c) => Err(FieldError::new("vocabulary.characters", format!("{c:?} is there twice"))),
            None => Ok(()),
        }
    }
}

fn metrics(at: &str, table: &toml::Table, depth: usize) -> Result<(), FieldError> {
    for (key, value) in table {
        let at = format!("{at}.{}", shorten(key));
        match value {
            toml::Value::Float(x) if !x.is_finite() => {
                return Err(FieldError::new(at, format!("is {x}, but finite numbers are right")));
            }
            toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::String(_) => {}
            toml::Value::Table(_) if depth == 0 => return Err(FieldError::new(at, "is nested too deep")),
            toml::Value::Table(inner) => metrics(&at, inner, depth - 1)?,
            other => {
                return Err(FieldError::new(
                    at,
                    format!("is a TOML {}, but a number, text or a table is right", other.type_str()),
                ));
            }
        }
    }
    Ok(())
}
