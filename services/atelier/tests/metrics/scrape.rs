//! What a scrape says.

use std::collections::BTreeSet;

/// A scrape, line by line.
pub(crate) struct Scrape {
    text: String,
}

impl Scrape {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The sum of the samples of this name with at least these labels; 0 where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples()
            .filter(|(sample, own, _)| {
                let has = |(key, value): &(&str, &str)| own.contains(&format!("{key}=\"{value}\""));
                *sample == name && labels.iter().all(has)
            })
            .map(|(_, _, value)| value.parse::<f64>().unwrap())
            .sum()
    }

    /// The names of all samples.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.samples().map(|(name, _, _)| name.to_owned()).collect()
    }

    /// Name, labels and value of each sample. No label of ours has a brace or a space in it.
    fn samples(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            (name, labels, value)
        })
    }
}
