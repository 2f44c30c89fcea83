//! How likely a text is: the model reads it, and is asked at each step for the next character.

use atelier_engine::{Cursor, EngineError, Step, log_probability};

/// A stream that scores text.
#[derive(Debug)]
pub(crate) struct Scoring {
    tokens: Vec<i64>,
    first_scored: usize,
    read: usize,
    scored: Scored,
}

/// The score of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scored {
    /// The natural logarithm of the probability of each scored character given all before it.
    pub(crate) log_probabilities: Vec<f64>,
}

impl Scored {
    /// Of the whole text, in nats.
    pub(crate) fn log_likelihood(&self) -> f64 {
        self.log_probabilities.iter().sum()
    }

    /// In bits for each scored character.
    pub(crate) fn bits_per_char(&self) -> f64 {
        // Not -0 for a text that is certain.
        (0.0 - self.log_likelihood()) / std::f64::consts::LN_2 / self.log_probabilities.len().max(1) as f64
    }
}

impl Scoring {
    /// Scores `tokens` from `first_scored` on, which must be at least 1 and less than their number: what is
    /// first cannot be scored, since there is nothing before it.
    pub(crate) fn new(tokens: Vec<i64>, first_scored: usize) -> Self {
        Self { tokens, first_scored, read: 0, scored: Scored::default() }
    }
}

impl Cursor for Scoring {
    type Chunk = Scored;

    fn first(&mut self) -> i64 {
        // A token that no model has, for a text that there never is: the engine refuses it.
        self.tokens.first().copied().unwrap_or(-1)
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Scored>, EngineError> {
        self.read += 1;
        let Some(token) = self.tokens.get(self.read).copied() else {
            return Ok(Step::Done { emit: Some(std::mem::take(&mut self.scored)) });
        };
        if self.read >= self.first_scored {
            let id = usize::try_from(token).map_err(|_| EngineError::Runtime(format!("token {token}")))?;
            self.scored.log_probabilities.push(log_probability(logits, id)?);
        }
        if self.read + 1 == self.tokens.len() {
            // The last character need not be read: nothing comes after it.
            return Ok(Step::Done { emit: Some(std::mem::take(&mut self.scored)) });
        }
        Ok(Step::Next { token, emit: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under a model that gives each token twice the weight of the one before it, whatever came before.
    fn score(tokens: &[i64], first_scored: usize) -> (usize, Scored) {
        let mut stream = Scoring::new(tokens.to_vec(), first_scored);
        let logits: Vec<f32> = (0..3).map(|id| id as f32 * std::f32::consts::LN_2).collect();
        assert_eq!(stream.first(), tokens[0]);
        let mut steps = 0;
        loop {
            steps += 1;
            match stream.advance(&logits).unwrap() {
                Step::Next { token, emit } => assert_eq!((token, emit), (tokens[steps], None)),
                Step::Done { emit } => return (steps, emit.unwrap()),
                Step::Restart { .. } => panic!("a score has one start"),
            }
        }
    }

    #[test]
    fn each_scored_character_has_the_probability_that_the_model_gives_it() {
        let (steps, scored) = score(&[0, 2, 1, 0], 1);
        let wanted = [4.0_f64 / 7.0, 2.0 / 7.0, 1.0 / 7.0];
        assert_eq!((steps, scored.log_probabilities.len()), (3, 3));
        for (got, wanted) in scored.log_probabilities.iter().zip(wanted) {
            assert!((got.exp() - wanted).abs() < 1e-6);
        }
        let likelihood = wanted.iter().product::<f64>();
        assert!((scored.log_likelihood() - likelihood.ln()).abs() < 1e-6);
        assert!((scored.bits_per_char() + likelihood.log2() / 3.0).abs() < 1e-6);
    }

    #[test]
    fn the_context_is_read_and_not_scored() {
        let (steps, scored) = score(&[0, 1, 2, 0], 3);
        assert_eq!((steps, scored.log_probabilities.len()), (3, 1));
        let (steps, scored) = score(&[0, 1], 1);
        assert_eq!((steps, scored.log_probabilities.len()), (1, 1));
    }
}
