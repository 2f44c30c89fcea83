use std::time::{Duration, Instant};

use atelier_chassis::Deadline;
use atelier_proto::audio::v1::*;
use atelier_proto::models::v1::ModelVersion;
use tonic::Code;

use crate::*;

fn request(text: &str, seed: u64) -> SynthesizeRequest {
    let encoding = AudioEncoding::Pcm16.into();
    SynthesizeRequest { text: text.into(), seed, encoding, ..Default::default() }
}

fn samples(pcm: &[u8]) -> Vec<i16> {
    pcm.chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_tells_what_comes_and_the_sound_is_as_long() {
    let speech = speech();
    let spoken = speak(&speech, request("0 70", 9)).await;
    let header = &spoken.header;
    assert_eq!(header.model, Some(ModelVersion { name: "tiny-voice".into(), version: 1 }));
    assert_eq!((header.seed, header.speaker.as_str(), header.sample_rate), (9, "ann", 8000));
    assert_eq!(header.encoding(), AudioEncoding::Pcm16);
    assert!((header.seconds - header.samples as f64 / 8000.0).abs() < 1e-12);
    let digits: Vec<&str> = header.digits.iter().map(|d| d.digit.as_str()).collect();
    assert_eq!(digits, ["0", "7", "0"]);
    let pcm = samples(&spoken.bytes());
    assert_eq!(pcm.len() as u64, header.samples);
    let mut end = 0;
    for digit in &header.digits {
        let start = digit.first_sample as usize;
        assert!(pcm[end..start].iter().all(|s| *s == 0), "between digits there is silence");
        assert_eq!(start - end, if end == 0 { 0 } else { 800 }, "100 ms of it");
        end = start + digit.samples as usize;
        let loud = pcm[start..end].iter().filter(|s| **s != 0).count();
        assert!(loud * 2 > end - start, "digits are no silence: {loud}");
        let range = if digit.digit == "0" { 1200..=2400 } else { 600..=700 };
        assert!(range.contains(&digit.samples), "{digit:?}");
    }
    assert_eq!((end, spoken.finished.digits_cut), (pcm.len(), 0));
    let (last, others) = spoken.chunks.split_last().unwrap();
    let least = [400, 800].into_iter().chain(std::iter::repeat(1600));
    let sized = |(chunk, least): (&Vec<u8>, usize)| chunk.len() >= least && chunk.len() < least + 1800;
    assert!(others.iter().zip(least).all(sized), "about 25, 50, then 100 ms each");
    assert!(others.len() > 2 && last.len() < 3400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_bytes_alone_and_in_a_crowd() {
    let speech = speech();
    let mut alone = Vec::new();
    for seed in 1..=20 {
        alone.push(speak(&speech, request("07", seed)).await.chunks);
    }
    let crowd = (1..=20).map(|seed| speak(&speech, request("07", seed)));
    let crowd: Vec<_> =
        futures_util::future::join_all(crowd).await.into_iter().map(|spoken| spoken.chunks).collect();
    assert!(crowd == alone, "company changes the sound");
    let different: std::collections::BTreeSet<_> = alone.iter().collect();
    assert_eq!(different.len(), 20, "seeds make no difference");
    let drawn = speak(&speech, request("07", 0)).await;
    assert_ne!(drawn.header.seed, 0, "the seed drawn by the server is said");
    assert!(speak(&speech, request("07", drawn.header.seed)).await.chunks == drawn.chunks);
}

#[tokio::test(flavor = "multi_thread")]
async fn digit_speaker_and_temperature_make_a_difference_and_a_longer_text_begins_alike() {
    let speech = speech();
    let pcm = async |request| samples(&speak(&speech, request).await.bytes());
    let (short, long) = (pcm(request("0", 5)).await, pcm(request("07", 5)).await);
    assert!(long.starts_with(&short), "a longer text begins as a shorter one");
    let first = pcm(SynthesizeRequest { speaker: "ann".into(), ..request("0", 5) }).await;
    assert_eq!(first, short, "the first speaker is the default");
    let other = pcm(SynthesizeRequest { speaker: "bob".into(), ..request("0", 5) }).await;
    assert!(other.len() == 2000 && other[..500] != short[..500]);
    assert!(pcm(request("7", 5)).await[..500] != short[..500]);
    let cold = SynthesizeRequest { temperature: Some(0.0), ..request("0", 5) };
    let cold = pcm(cold).await;
    assert_eq!(cold.len(), short.len());
    assert!(cold != short);
    let hot = SynthesizeRequest { temperature: Some(2.0), ..request("0", 5) };
    let energy = |pcm: &[i16]| pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    assert!(energy(&pcm(hot).await) > energy(&short), "heat makes rarer, louder samples");
    let close = pcm(SynthesizeRequest { pause_ms: Some(0), ..request("07", 5) }).await;
    assert_eq!(close.len() + 800, long.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wav_file_is_the_same_samples_behind_a_head() {
    let speech = speech();
    let wav = SynthesizeRequest { encoding: AudioEncoding::Unspecified.into(), ..request("70", 3) };
    let wav = speak(&speech, wav).await;
    assert_eq!(wav.header.encoding(), AudioEncoding::Wav);
    let (bytes, pcm) = (wav.bytes(), speak(&speech, request("70", 3)).await.bytes());
    assert_eq!(bytes[44..], pcm);
    assert_eq!((&bytes[..4], &bytes[8..12], &bytes[36..40]), (&b"RIFF"[..], &b"WAVE"[..], &b"data"[..]));
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!((number(4), number(24), number(40)), (bytes.len() - 8, 8000, pcm.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digit_that_falls_into_noise_is_cut_and_counted() {
    let speech = speech();
    let noisy = SynthesizeRequest { speaker: "noisy".into(), ..request("07", 1) };
    let spoken = speak(&speech, noisy).await;
    assert_eq!(spoken.finished.digits_cut, 2);
    let pcm = samples(&spoken.bytes());
    for digit in &spoken.header.digits {
        let word = &pcm[digit.first_sample as usize..][..digit.samples as usize];
        let noise = word.iter().rposition(|s| *s != 0).unwrap();
        assert!((20..800).contains(&noise), "{noise} samples of noise before it was heard");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_client_drops_frees_its_slot() {
    let engine = engine(Config { slots: 1, stream_buffer: 2, ..Config::default() });
    let speech = Speech::new(engine.clone());
    let stats = || engine.model("tiny-voice", 0, &[]).unwrap().decoder().unwrap().stats();
    let mut stream = speech.synthesize(Request::new(request(&"0".repeat(64), 1))).await.unwrap().into_inner();
    for _ in 0..3 {
        assert!(stream.next().await.unwrap().is_ok());
    }
    assert_eq!(stats().slots_used, 1);
    drop(stream);
    let end = Instant::now() + Duration::from_secs(10);
    while stats().slots_used > 0 {
        assert!(Instant::now() < end, "the slot was never freed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(stats().finished, 0);
    assert_eq!(speak(&speech, request("7", 2)).await.finished.digits_cut, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_stream_in_its_midst() {
    let speech = speech();
    // Nobody could say this within the time: at most 64 digits of 0.3 s each, read too slowly.
    let mut long = Request::new(request(&"0".repeat(64), 1));
    long.extensions_mut().insert(Deadline::after(Duration::from_millis(150)).unwrap());
    let mut stream = speech.synthesize(long).await.unwrap().into_inner();
    let mut messages = 0;
    let end = loop {
        match stream.next().await.expect("it ends with a status") {
            Ok(_) => messages += 1,
            Err(status) => break status,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(messages > 1, "nothing came before the deadline");
    assert_eq!(end.code(), Code::DeadlineExceeded);
    assert!(stream.next().await.is_none());
}
