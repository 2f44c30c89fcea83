//! `atelier text score`.

use std::fmt::Write;
use std::path::PathBuf;

use atelier_proto::text::v1::{ScoreRequest, ScoreResponse, UnknownCharacters};
use serde_json::{Value, json};

use super::{Connection, ServerArgs, service, text_of};
use crate::cli::failure::Failure;
use crate::client::model_arg::{Answered, ModelArgs};
use crate::files::{input, json as parts, stdout};

/// Say how likely a text is under a model.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Score {
    /// The text; `-` reads it from stdin, as does neither text nor --file
    #[arg(value_name = "TEXT", conflicts_with = "file", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read the text from a file; `-` is stdin
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// What comes before the text: read, but not scored
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    context: String,
    /// Also print the logarithm of the probability of each character, in nats
    #[arg(long)]
    per_character: bool,
    /// Replace characters that the model does not know, rather than refuse
    #[arg(long)]
    replace_unknown: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Score {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let text = match text_of(self.text.as_deref(), self.file.as_ref())? {
            Some(text) => text,
            None => input::text("-".as_ref())?,
        };
        let (model, version) = self.model.split();
        let unknown =
            if self.replace_unknown { UnknownCharacters::Replace } else { UnknownCharacters::Refuse };
        let request = ScoreRequest {
            model,
            version,
            text: text.clone(),
            context: self.context,
            per_character: self.per_character,
            unknown_characters: unknown.into(),
        };
        let connection = Connection::open(server).await?;
        let answer = connection.unary(request, async |c, r| service(c).score(r).await).await?;
        if self.json {
            return stdout::line(&as_json(&answer).to_string());
        }
        stdout::text(&as_text(&answer, &text))
    }
}

fn as_json(answer: &ScoreResponse) -> Value {
    let mut value = json!({
        "model": parts::model(answer.model.as_ref()),
        "log_likelihood": answer.log_likelihood,
        "bits_per_char": answer.bits_per_char,
        "chars": answer.chars,
        "replaced": answer.replaced,
    });
    if let (Value::Object(fields), false) = (&mut value, answer.log_probabilities.is_empty()) {
        fields.insert("log_probabilities".into(), parts::numbers(&answer.log_probabilities));
    }
    value
}

fn as_text(answer: &ScoreResponse, text: &str) -> String {
    let mut lines = String::new();
    // Without a context the first character is not scored; what is, is the end of the text.
    let unscored = text.chars().count().saturating_sub(answer.log_probabilities.len());
    for (character, log_probability) in text.chars().skip(unscored).zip(&answer.log_probabilities) {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{log_probability:>10.4}  {character:?}");
    }
    let _ = writeln!(lines, "bits per character  {:.4}", answer.bits_per_char);
    let _ = writeln!(lines, "log-likelihood      {:.4} nats", answer.log_likelihood);
    let _ = writeln!(lines, "characters          {}", answer.chars);
    if answer.replaced > 0 {
        let _ = writeln!(lines, "replaced            {}", answer.replaced);
    }
    let _ = writeln!(lines, "model               {}", Answered(answer.model.as_ref()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_probability_stands_beside_the_character_that_it_is_of() {
        let answer = ScoreResponse { log_probabilities: vec![-1.5, -0.25], chars: 2, ..Default::default() };
        let text = as_text(&answer, "añ\n");
        let lines: Vec<&str> = text.lines().take(2).collect();
        assert_eq!(lines, ["   -1.5000  'ñ'", "   -0.2500  '\\n'"]);
        assert_eq!(as_json(&answer)["log_probabilities"], json!([-1.5, -0.25]));
    }
}
