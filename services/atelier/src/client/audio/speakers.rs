//! `atelier audio speakers`.

use atelier_proto::audio::v1::{ListSpeakersRequest, ListSpeakersResponse};
use serde_json::{Value, json};

use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::{json as parts, stdout};

/// List what a model can say, and in whose voices.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Speakers {
    #[command(flatten)]
    model: ModelArgs,
    /// Print one JSON object: model, sample rate, digits, speakers
    #[arg(long)]
    json: bool,
}

impl Speakers {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let connection = Connection::open(server).await?;
        let (model, version) = self.model.split();
        let request = ListSpeakersRequest { model, version };
        let answer = connection.unary(request, async |c, r| service(c).list_speakers(r).await).await?;
        match self.json {
            true => stdout::line(&json(&answer).to_string()),
            false => stdout::text(&table(&answer)),
        }
    }
}

/// A line for each speaker: the name, and how long a digit usually takes.
fn table(answer: &ListSpeakersResponse) -> String {
    let width = answer.speakers.iter().map(|speaker| speaker.name.chars().count()).max().unwrap_or_default();
    let line = |name: &str, seconds: f64| format!("{name:width$}  {seconds:.2} s a digit\n");
    answer.speakers.iter().map(|speaker| line(&speaker.name, speaker.seconds_per_digit)).collect()
}

fn json(answer: &ListSpeakersResponse) -> Value {
    let speakers = answer
        .speakers
        .iter()
        .map(|speaker| json!({ "name": speaker.name, "seconds_per_digit": speaker.seconds_per_digit }));
    json!({
        "model": parts::model(answer.model.as_ref()),
        "sample_rate": answer.sample_rate,
        "digits": answer.digits,
        "speakers": speakers.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use atelier_proto::audio::v1::Speaker;

    use super::*;

    #[test]
    fn a_line_for_each_speaker() {
        let speaker = |name: &str, seconds| Speaker { name: name.into(), seconds_per_digit: seconds };
        let speakers = vec![speaker("theo", 0.3449), speaker("yweweler", 0.5)];
        let answer = ListSpeakersResponse { digits: "01".into(), sample_rate: 8000, speakers, model: None };
        assert_eq!(table(&answer), "theo      0.34 s a digit\nyweweler  0.50 s a digit\n");
        assert_eq!(json(&answer)["speakers"][1]["name"], "yweweler");
    }
}
