//! `atelier codec classify`.

use std::fmt::Write;

use atelier_proto::codec::v1::{ClassifyRequest, ClassifyResponse};
use serde_json::{Value, json};

use super::images::{ImagesArgs, image};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::{input, json as parts, stdout};

/// Tell the class of images, with how likely it is.
///
/// Each line has the image and the likeliest classes, the likeliest first. Every image is given a class, also
/// one that shows nothing of what the model knows.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Classify {
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// How many classes to name [default: 3, or all where there are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

impl Classify {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let images = &self.images;
        input::stdin_once(&images.images)?;
        let connection = Connection::open(server).await?;
        let calls = images.names();
        let work = async |index| {
            let (model, version) = self.model.split();
            let image = Some(image(images.read(index)?));
            let request = ClassifyRequest { model, version, image, fit: images.fit.number(), top: self.top };
            connection.unary(request, async |c, r| service(c).classify(r).await).await
        };
        let done = |index: usize, answer: ClassifyResponse| {
            let name = calls.get(index).map_or("", String::as_str);
            stdout::line(&if self.json { object(name, &answer).to_string() } else { line(name, &answer) })
        };
        images.jobs.each(&calls, "classified", work, done).await
    }
}

/// `shoe.png: Sneaker 97.3 %, Sandal 1.9 %`.
fn line(name: &str, answer: &ClassifyResponse) -> String {
    let mut line = format!("{name}:");
    for (at, guess) in answer.guesses.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(line, "{comma} {} {:.1} %", guess.label, 100.0 * guess.probability);
    }
    line
}

fn object(name: &str, answer: &ClassifyResponse) -> Value {
    let guess = |guess: &atelier_proto::codec::v1::Guess| {
        json!({
            "class": guess.class_id,
            "label": guess.label,
            "probability": parts::number(guess.probability),
        })
    };
    json!({
        "image": name,
        "model": parts::model(answer.model.as_ref()),
        "guesses": answer.guesses.iter().map(guess).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use atelier_proto::codec::v1::Guess;

    use super::*;

    #[test]
    fn guesses_are_printed_for_people_and_for_programs() {
        let guess = |class_id, label: &str, probability| Guess { class_id, label: label.into(), probability };
        let guesses = vec![guess(7, "Sneaker", 0.973), guess(5, "Sandal", 0.02)];
        let answer = ClassifyResponse { model: None, guesses };
        assert_eq!(line("a.png", &answer), "a.png: Sneaker 97.3 %, Sandal 2.0 %");
        let object = object("a.png", &answer);
        assert_eq!(object["guesses"][1], json!({ "class": 5, "label": "Sandal", "probability": 0.02 }));
    }
}
