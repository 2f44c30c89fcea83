//! `atelier audio synthesize`.

use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};

use atelier_proto::audio::v1::synthesize_response::Event;
use atelier_proto::audio::v1::{AudioEncoding, Finished, Header, SynthesizeRequest};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Connection, ServerArgs, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::{Answered, ModelArgs};
use crate::files::{input, json as parts, progress, stdout, whole};

/// Say digits, as a WAV file or as raw samples.
///
/// What is not said is left to the server, whose defaults are named here.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Synthesize {
    /// The digits, for example 314 or "3 14"
    #[arg(value_name = "DIGITS")]
    text: String,
    #[command(flatten)]
    model: ModelArgs,
    /// Whose voice; `atelier audio speakers` lists them [default: the model's first]
    #[arg(long, short, value_name = "NAME")]
    speaker: Option<String>,
    /// The same seed, from 1, gives the same sound [default: drawn by the server]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seed: Option<u64>,
    /// 0 to 2; lower is clearer and duller, higher noisier [default: 0.95]
    #[arg(long, short, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// 0 to 1.5; how much the ways of saying a digit differ, of models that plan [default: 1]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    variation: Option<f32>,
    /// The silence between two digits in milliseconds, 0 to 2000 [default: 100]
    #[arg(long, value_name = "MS")]
    pause_ms: Option<u32>,
    /// How the sound is written [default: pcm16 for a file that ends in .pcm or .raw, otherwise wav]
    #[arg(long, value_enum, value_name = "ENCODING")]
    encoding: Option<Encoding>,
    /// The file to write; `-` is stdout, and there the sound comes as it is made
    #[arg(long, short, value_name = "FILE", default_value = "speech.wav")]
    output: PathBuf,
    /// Print one JSON object at the end: model, seed, speaker, samples, where each digit lies
    #[arg(long)]
    json: bool,
}

/// How the sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Encoding {
    /// A WAV file
    Wav,
    /// Signed 16-bit samples alone, little-endian
    Pcm16,
}

impl Synthesize {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let standard = input::is_standard(&self.output);
        if standard {
            if self.json {
                return Err(Failure::usage("--json and --output - would both write to stdout"));
            }
            stdout::refuse_terminal()?;
        } else {
            whole::prepare(&self.output, &[])?;
        }
        let connection = Connection::open(server).await?;
        let mut events =
            connection.stream(self.request(), async |c, r| service(c).synthesize(r).await).await?;
        let spinner = progress::spinner("bytes of sound");
        let mut answer = Answer::default();
        while let Some(event) = events.next().await? {
            match event.event {
                Some(Event::Header(header)) => answer.header = header,
                Some(Event::Chunk(chunk)) if standard => stdout::binary(&chunk.data)?,
                Some(Event::Chunk(chunk)) => {
                    spinner.inc(chunk.data.len() as u64);
                    answer.sound.extend_from_slice(&chunk.data);
                }
                Some(Event::Finished(finished)) => answer.finished = Some(finished),
                // An event of a later API.
                None => {}
            }
        }
        spinner.finish_and_clear();
        let Some(finished) = &answer.finished else {
            return Err(Failure::new(Exit::Other, "the server's answer stopped before its end"));
        };
        if !standard {
            let replaces = self.output.is_file();
            // Only what is whole is written: half a file would look like a whole one.
            whole::write(&self.output, &answer.sound)?;
            if replaces {
                // Where stderr cannot be written to, nothing is lost.
                let _ = writeln!(stderr(), "replaced {}", self.output.display());
            }
        }
        if self.json {
            stdout::line(&answer.json(finished, &self.output).to_string())?;
        }
        answer.remark(finished);
        Ok(())
    }

    fn request(&self) -> SynthesizeRequest {
        let (model, version) = self.model.split();
        SynthesizeRequest {
            model,
            version,
            text: self.text.clone(),
            speaker: self.speaker.clone().unwrap_or_default(),
            seed: self.seed.unwrap_or_default(),
            temperature: self.temperature,
            pause_ms: self.pause_ms,
            encoding: self.encoding().into(),
            variation: self.variation,
        }
    }

    fn encoding(&self) -> AudioEncoding {
        let raw =
            |extension: &std::ffi::OsStr| ["pcm", "raw"].iter().any(|e| extension.eq_ignore_ascii_case(e));
        match self.encoding {
            Some(Encoding::Wav) => AudioEncoding::Wav,
            Some(Encoding::Pcm16) => AudioEncoding::Pcm16,
            None if self.output.extension().is_some_and(raw) => AudioEncoding::Pcm16,
            None => AudioEncoding::Wav,
        }
    }
}

#[derive(Debug, Default)]
struct Answer {
    header: Header,
    sound: Vec<u8>,
    finished: Option<Finished>,
}

impl Answer {
    fn json(&self, finished: &Finished, output: &Path) -> Value {
        let header = &self.header;
        let digits = header
            .digits
            .iter()
            .map(|d| json!({ "digit": d.digit, "first_sample": d.first_sample, "samples": d.samples }));
        json!({
            "output": output.display().to_string(),
            "model": parts::model(header.model.as_ref()),
            "seed": header.seed,
            "speaker": header.speaker,
            "encoding": match header.encoding() {
                AudioEncoding::Pcm16 => "pcm16",
                AudioEncoding::Wav | AudioEncoding::Unspecified => "wav",
            },
            "sample_rate": header.sample_rate,
            "samples": finished.samples,
            "seconds": header.seconds,
            "digits": digits.collect::<Vec<_>>(),
            "digits_cut": finished.digits_cut,
        })
    }

    /// On a terminal only: what is piped somewhere does not want remarks. But a digit that is missing is no
    /// remark.
    fn remark(&self, finished: &Finished) {
        let header = &self.header;
        if finished.digits_cut > 0 {
            let (cut, all) = (finished.digits_cut, header.digits.len());
            // Where stderr cannot be written to, nothing is lost.
            let _ = writeln!(
                stderr(),
                "warning: {cut} of {all} digits became noise and were cut short; try another --seed"
            );
        }
        if stderr().is_terminal() {
            let model = Answered(header.model.as_ref());
            let (speaker, seed, seconds) = (&header.speaker, header.seed, header.seconds);
            let _ =
                writeln!(stderr(), "[{model}, --speaker {speaker} --seed {seed}, {seconds:.2} s of sound]");
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
        synthesize: Synthesize,
    }

    fn parse(line: &[&str]) -> Result<Synthesize, clap::Error> {
        Line::try_parse_from(std::iter::once("x").chain(line.iter().copied())).map(|line| line.synthesize)
    }

    #[test]
    fn what_is_not_said_is_left_to_the_server() {
        let request = parse(&["314"]).unwrap().request();
        let expected = SynthesizeRequest {
            text: "314".into(),
            encoding: AudioEncoding::Wav.into(),
            ..SynthesizeRequest::default()
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn every_option_reaches_the_request() {
        let line = ["3 1", "-s", "jackson", "--seed", "7", "-t", "0.5", "--pause-ms", "0"];
        let more = ["--encoding", "pcm16", "-m", "digits@2", "-o", "a.wav", "--variation", "0.25"];
        let request = parse(&[&line[..], &more[..]].concat()).unwrap().request();
        let expected = SynthesizeRequest {
            model: "digits".into(),
            version: 2,
            text: "3 1".into(),
            speaker: "jackson".into(),
            seed: 7,
            temperature: Some(0.5),
            pause_ms: Some(0),
            encoding: AudioEncoding::Pcm16.into(),
            variation: Some(0.25),
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn the_name_of_the_file_says_how_it_is_written_unless_that_is_said() {
        let encoding = |line: &[&str]| parse(line).unwrap().encoding();
        assert_eq!(encoding(&["1", "-o", "a.PCM"]), AudioEncoding::Pcm16);
        assert_eq!(encoding(&["1", "-o", "raw"]), AudioEncoding::Wav);
        assert_eq!(encoding(&["1", "-o", "a.raw", "--encoding", "wav"]), AudioEncoding::Wav);
        assert_eq!(encoding(&["1", "-o", "-"]), AudioEncoding::Wav);
    }
}
