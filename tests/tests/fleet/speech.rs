//! Speech, with every such model that is shipped.

use std::collections::HashSet;
use std::time::Duration;

use atelier_proto::audio::v1::synthesize_response::Event;
use atelier_proto::audio::v1::{AudioEncoding, Finished, Header, ListSpeakersRequest, SynthesizeRequest};
use atelier_tests::Fleet;
use atelier_tests::client::{blamed, with_header};
use atelier_tests::models::{Shipped, of_kind};
use tonic::{Code, Status};

/// Speech from its first event to its last.
struct Spoken {
    header: Header,
    chunks: Vec<Vec<u8>>,
    finished: Finished,
}

impl Spoken {
    fn samples(&self) -> Vec<i16> {
        self.chunks.concat().chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
    }
}

async fn speak(fleet: &Fleet, request: SynthesizeRequest) -> Result<Spoken, Status> {
    let mut stream = fleet.audio().synthesize(request).await?.into_inner();
    let mut next = async || Ok::<_, Status>(stream.message().await?.map(|m| m.event.expect("an event")));
    let Some(Event::Header(header)) = next().await? else { panic!("it begins with no Header") };
    let mut chunks = Vec::new();
    loop {
        match next().await? {
            Some(Event::Chunk(chunk)) => chunks.push(chunk.data.to_vec()),
            Some(Event::Finished(finished)) => {
                assert_eq!(next().await?, None, "nothing comes after Finished");
                return Ok(Spoken { header, chunks, finished });
            }
            other => panic!("{other:?} after {} chunks", chunks.len()),
        }
    }
}

fn of(model: &Shipped, text: &str, seed: u64) -> SynthesizeRequest {
    SynthesizeRequest {
        model: model.name.clone(),
        text: text.into(),
        seed,
        encoding: AudioEncoding::Pcm16.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn every_voice_says_every_digit_in_about_the_time_that_it_takes() {
    let fleet = Fleet::shared();
    for model in of_kind("wavenet") {
        let request = ListSpeakersRequest { model: model.name.clone(), version: 0 };
        let voices = fleet.audio().list_speakers(request).await.unwrap().into_inner();
        assert!(!voices.speakers.is_empty() && !voices.digits.is_empty());
        for voice in &voices.speakers {
            let request = SynthesizeRequest { speaker: voice.name.clone(), ..of(&model, &voices.digits, 3) };
            let spoken = speak(&fleet, request).await.unwrap();
            assert_eq!(spoken.header.speaker, voice.name);
            let samples = spoken.samples();
            assert_eq!(
                (samples.len() as u64, spoken.finished.samples),
                (spoken.header.samples, spoken.header.samples)
            );
            let said: String = spoken.header.digits.iter().map(|d| d.digit.as_str()).collect();
            assert_eq!(said, voices.digits);
            for digit in &spoken.header.digits {
                let seconds = f64::from(digit.samples) / f64::from(voices.sample_rate);
                assert!(
                    (0.3..3.0).contains(&(seconds / voice.seconds_per_digit)),
                    "{}: {digit:?}",
                    voice.name
                );
            }
            let energy = samples.iter().map(|s| (f64::from(*s) / 32768.0).powi(2)).sum::<f64>();
            let loudness = (energy / samples.len() as f64).sqrt();
            assert!((0.005..0.7).contains(&loudness), "{}: {loudness}", voice.name);
        }
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_sound_alone_and_in_a_crowd() {
    let fleet = Fleet::shared();
    for model in of_kind("wavenet") {
        let mut alone = Vec::new();
        for seed in 1..=4 {
            alone.push(speak(&fleet, of(&model, "42", seed)).await.unwrap().chunks);
        }
        let crowd: Vec<_> = (1..=4)
            .map(|seed| {
                let (fleet, request) = (fleet.clone(), of(&model, "42", seed));
                tokio::spawn(async move { speak(&fleet, request).await.unwrap().chunks })
            })
            .collect();
        for (crowd, alone) in crowd.into_iter().zip(&alone) {
            assert!(crowd.await.unwrap() == *alone, "company changes the sound");
        }
        assert_eq!(alone.iter().collect::<HashSet<_>>().len(), 4, "seeds make no difference");
        let drawn = speak(&fleet, of(&model, "42", 0)).await.unwrap();
        assert_ne!(drawn.header.seed, 0, "the seed drawn by the server is said");
        assert!(speak(&fleet, of(&model, "42", drawn.header.seed)).await.unwrap().chunks == drawn.chunks);
    }
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_through_the_gateway() {
    let fleet = Fleet::shared();
    for model in of_kind("wavenet") {
        for (request, field) in [
            (of(&model, "", 1), "text"),
            (of(&model, "four", 1), "text"),
            (of(&model, &"1".repeat(65), 1), "text"),
            (SynthesizeRequest { temperature: Some(f32::NAN), ..of(&model, "1", 1) }, "temperature"),
            (SynthesizeRequest { pause_ms: Some(9999), ..of(&model, "1", 1) }, "pause_ms"),
            (SynthesizeRequest { variation: Some(9.0), ..of(&model, "1", 1) }, "variation"),
            (SynthesizeRequest { encoding: 9, ..of(&model, "1", 1) }, "encoding"),
        ] {
            assert_eq!(blamed(&speak(&fleet, request).await.err().unwrap()), field);
        }
        for request in [
            SynthesizeRequest { speaker: "hal".into(), ..of(&model, "1", 1) },
            SynthesizeRequest { version: 999, ..of(&model, "1", 1) },
            SynthesizeRequest { model: "nobody".into(), ..of(&model, "1", 1) },
        ] {
            assert_eq!(speak(&fleet, request).await.err().unwrap().code(), Code::NotFound);
        }
        let long = of(&model, &"1".repeat(64), 1);
        let answer = fleet.audio().synthesize(with_header(long, "grpc-timeout", "200m")).await;
        let late = match answer {
            Err(status) => status,
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                        Ok(None) => panic!("64 digits within 200 ms"),
                        Err(status) => break status,
                    }
                }
            }
        };
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    }
}

#[tokio::test]
async fn the_command_writes_a_wav_file_that_says_its_own_length() {
    let fleet = Fleet::shared();
    for model in of_kind("wavenet") {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("out.wav");
        let line = ["audio", "synthesize", "314", "--seed", "7", "--model", &model.name, "--output"];
        fleet.ok(&[&line[..], &[file.to_str().unwrap()]].concat());
        let wav = std::fs::read(file).unwrap();
        let length = u32::from_le_bytes(wav[40..44].try_into().unwrap()) as usize;
        assert_eq!((&wav[..4], &wav[8..16], wav.len()), (&b"RIFF"[..], &b"WAVEfmt "[..], 44 + length));
        assert_eq!(fleet.output(&[&line[..], &["-"]].concat()).stdout, wav, "stdout gets the same bytes");
        let voices = fleet.ok(&["audio", "speakers", "--model", &model.name]);
        assert!(!voices.is_empty() && voices.lines().all(|line| line.ends_with(" s a digit")), "{voices}");
    }
}
