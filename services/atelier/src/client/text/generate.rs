//! `atelier text generate`.

use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;

use atelier_proto::text::v1::generate_response::Event;
use atelier_proto::text::v1::{FinishReason, Finished, GenerateRequest, Started, UnknownCharacters};
use serde_json::{Value, json};

use super::{Connection, ServerArgs, service, text_of};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::{Answered, ModelArgs};
use crate::files::{json as parts, progress, stdout};

/// Continue a text, printed as it is made.
///
/// What is not said is left to the server, whose defaults are named here.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Generate {
    /// The text to continue; `-` reads it from stdin [default: begin as after a line break]
    #[arg(value_name = "PROMPT", conflicts_with = "file", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Read the text to continue from a file; `-` is stdin
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// How many characters at most, 1 to 100000 [default: 500]
    #[arg(long, short = 'n', value_name = "N")]
    max_chars: Option<u32>,
    /// 0 to 5; lower is safer, 0 always takes the likeliest character [default: 0.8]
    #[arg(long, short, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Draw among this many of the likeliest characters only [default: all]
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
    /// Draw among the fewest likeliest characters that make up this probability, over 0 to 1 [default: 1]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// End before this text appears; may be given up to 16 times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// The same seed, from 1, gives the same text [default: drawn by the server]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seed: Option<u64>,
    /// Replace characters of the prompt that the model does not know, rather than refuse
    #[arg(long)]
    replace_unknown: bool,
    /// Print the prompt before its continuation
    #[arg(long, conflicts_with = "json")]
    echo: bool,
    /// Print one JSON object at the end: text, model, seed, why it ended
    #[arg(long)]
    json: bool,
}

impl Generate {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let prompt = text_of(self.prompt.as_deref(), self.file.as_ref())?.unwrap_or_default();
        let connection = Connection::open(server).await?;
        let request = self.request(prompt.clone());
        let mut events = connection.stream(request, async |c, r| service(c).generate(r).await).await?;
        let mut shown =
            if self.json { Shown::AtTheEnd(progress::spinner("characters")) } else { Shown::AtOnce };
        if self.echo {
            stdout::text(&prompt)?;
        }
        let mut answer = Answer::default();
        while let Some(event) = events.next().await? {
            match event.event {
                Some(Event::Started(started)) => answer.started = Some(started),
                Some(Event::Chunk(chunk)) => {
                    shown.chunk(&chunk.text)?;
                    answer.text.push_str(&chunk.text);
                }
                Some(Event::Finished(finished)) => answer.finished = Some(finished),
                // An event of a later API.
                None => {}
            }
        }
        let Some(finished) = &answer.finished else {
            return Err(Failure::new(Exit::Other, "the server's answer stopped before its end"));
        };
        match shown {
            Shown::AtTheEnd(spinner) => {
                spinner.finish_and_clear();
                stdout::line(&answer.json(finished).to_string())
            }
            Shown::AtOnce => {
                // A file or a pipe gets the text alone, to the byte.
                if stdout::is_terminal() && !answer.text.ends_with('\n') {
                    stdout::text("\n")?;
                }
                answer.tell_how_to_repeat();
                Ok(())
            }
        }
    }

    fn request(&self, prompt: String) -> GenerateRequest {
        let (model, version) = self.model.split();
        let unknown =
            if self.replace_unknown { UnknownCharacters::Replace } else { UnknownCharacters::Refuse };
        GenerateRequest {
            model,
            version,
            prompt,
            max_chars: self.max_chars,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            stop: self.stop.clone(),
            seed: self.seed.unwrap_or_default(),
            unknown_characters: unknown.into(),
        }
    }
}

enum Shown {
    AtOnce,
    AtTheEnd(indicatif::ProgressBar),
}

impl Shown {
    fn chunk(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::AtOnce => stdout::text(text),
            Self::AtTheEnd(spinner) => {
                spinner.inc(text.chars().count() as u64);
                Ok(())
            }
        }
    }
}

#[derive(Debug, Default)]
struct Answer {
    started: Option<Started>,
    text: String,
    finished: Option<Finished>,
}

impl Answer {
    fn json(&self, finished: &Finished) -> Value {
        let started = self.started.clone().unwrap_or_default();
        let mut answer = json!({
            "text": self.text,
            "model": parts::model(started.model.as_ref()),
            "seed": started.seed,
            "replaced": started.replaced,
            "chars": finished.chars,
            "reason": match finished.reason() {
                FinishReason::MaxChars => "max_chars",
                FinishReason::Stop => "stop",
                FinishReason::Unspecified => "unspecified",
            },
        });
        if let (Value::Object(fields), FinishReason::Stop) = (&mut answer, finished.reason()) {
            fields.insert("stop".into(), json!(finished.stop));
        }
        answer
    }

    /// On a terminal only: what is piped somewhere does not want remarks.
    fn tell_how_to_repeat(&self) {
        let Some(started) = &self.started else { return };
        if stdout::is_terminal() && stderr().is_terminal() {
            let model = Answered(started.model.as_ref());
            let replaced = match started.replaced {
                0 => String::new(),
                n => format!(", {n} characters of the prompt replaced"),
            };
            // Where stderr cannot be written to, nothing is lost.
            let _ = writeln!(stderr(), "[{model}, --seed {}{replaced}]", started.seed);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        generate: Generate,
    }

    fn parse(line: &[&str]) -> Result<Generate, clap::Error> {
        Line::try_parse_from(std::iter::once("x").chain(line.iter().copied())).map(|line| line.generate)
    }

    #[test]
    fn what_is_not_said_is_left_to_the_server() {
        let request = parse(&["ROMEO:"]).unwrap().request("ROMEO:".into());
        assert_eq!((request.max_chars, request.temperature, request.top_p), (None, None, None));
        assert_eq!((request.model.as_str(), request.version, request.seed), ("", 0, 0));
    }

    #[test]
    fn every_option_reaches_the_request() {
        let line = ["-n", "9", "-t", "0", "--top-k", "3", "--top-p", "0.5", "--stop", "\n", "--stop", "--"];
        let more = ["--seed", "7", "--replace-unknown", "-m", "bard@2", "-5 degrees"];
        let generate = parse(&[&line[..], &more[..]].concat()).unwrap();
        assert_eq!(generate.prompt.as_deref(), Some("-5 degrees"));
        let request = generate.request("p".into());
        let expected = GenerateRequest {
            model: "bard".into(),
            version: 2,
            prompt: "p".into(),
            max_chars: Some(9),
            temperature: Some(0.0),
            top_k: Some(3),
            top_p: Some(0.5),
            stop: vec!["\n".into(), "--".into()],
            seed: 7,
            unknown_characters: UnknownCharacters::Replace.into(),
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn a_prompt_comes_from_one_place() {
        assert!(parse(&["a", "--file", "b"]).is_err());
        assert!(parse(&["--echo", "--json"]).is_err());
    }
}
