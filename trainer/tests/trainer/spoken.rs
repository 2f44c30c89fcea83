//! The evaluation of spoken digits: its baselines and its referee, on the real data where `ATELIER_DATA` names
//! it.

use atelier_trainer::data::digits::{Clip, DIGITS, Recordings};
use atelier_trainer::evaluate::adaptive_codec::{AdaptiveCodec, LevelCounts};
use atelier_trainer::evaluate::referee::Referee;
use atelier_transforms::speech::{MuLaw, Said};

use crate::evaluators::real_data;
use crate::support::{fixtures, generator};

struct Split {
    train: Vec<Vec<i64>>,
    test: Vec<(Said, Vec<i64>)>,
    speakers: Vec<String>,
}

impl Split {
    fn of(data: &Recordings, tokens: &dyn Fn(&Clip) -> Vec<i64>) -> Self {
        Self {
            train: data.train.iter().chain(&data.validation).map(tokens).collect(),
            test: data.test.iter().map(|clip| (clip.said, tokens(clip))).collect(),
            speakers: data.speakers.iter().map(|voice| voice.name.clone()).collect(),
        }
    }

    /// Bits a test sample of all speakers, or of one.
    fn mean(&self, speaker: Option<usize>, bits: &dyn Fn(&[i64]) -> f64) -> f64 {
        let chosen = self.test.iter().filter(|(said, _)| speaker.is_none_or(|s| s == said.speaker));
        let (sum, count) =
            chosen.fold((0.0, 0), |(sum, n), (_, tokens)| (sum + bits(tokens), n + tokens.len()));
        sum / count as f64
    }
}

#[test]
fn what_adapts_needs_fewer_bits_than_what_counts() {
    let data = Recordings::read(&fixtures()).unwrap();
    assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (12, 2, 4));
    let law = MuLaw::new(256);
    let split = Split::of(&data, &|clip| data.tokens(clip, &law));
    let counts = LevelCounts::fit(&split.train, 256);
    let codec = AdaptiveCodec::fit(&split.train, &law).unwrap();
    let adaptive = split.mean(None, &|tokens| codec.bits(tokens));
    let bigram = split.mean(None, &|tokens| counts.bigram_bits(tokens));
    let unigram = split.mean(None, &|tokens| counts.unigram_bits(tokens));
    assert!(adaptive < bigram && bigram < unigram && unigram < 8.5, "{adaptive} {bigram} {unigram}");
}

#[test]
fn spoken_digits_cost_what_they_did() {
    let Some(data) = real_data() else { return };
    let data = Recordings::read(&data).unwrap();
    let clips = (data.train.len() + data.validation.len(), data.test.len());
    assert_eq!(clips, (2700, 300));
    let law = MuLaw::new(256);
    // As they were recorded.
    let raw = |clip: &Clip| clip.samples.iter().map(|&x| law.encode(x.into()) as i64).collect();
    let split = Split::of(&data, &raw);
    assert_eq!(split.test.iter().map(|(_, tokens)| tokens.len()).sum::<usize>() / 1000, 1034);
    let counts = LevelCounts::fit(&split.train, 256);
    let unigram = split.mean(None, &|tokens| counts.unigram_bits(tokens));
    let bigram = split.mean(None, &|tokens| counts.bigram_bits(tokens));
    assert!((unigram - 7.18).abs() < 0.005 && (bigram - 5.45).abs() < 0.005, "{unigram} {bigram}");
    // At a fixed gain a speaker.
    let split = Split::of(&data, &|clip| data.tokens(clip, &law));
    let codec = AdaptiveCodec::fit(&split.train, &law).unwrap();
    let bits: Vec<f64> = (0..6).map(|s| split.mean(Some(s), &|tokens| codec.bits(tokens))).collect();
    let all = split.mean(None, &|tokens| codec.bits(tokens));
    assert!((all - 5.169).abs() < 0.002, "{all}");
    assert_eq!(split.speakers, ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]);
    for (bits, expected) in bits.iter().zip([5.33, 4.82, 4.55, 5.79, 5.63, 5.39]) {
        assert!((bits - expected).abs() < 0.01, "{bits:?}");
    }
}

#[test]
fn the_referee_knows_real_digits_and_voices() {
    let Some(data) = real_data() else { return };
    let data = Recordings::read(&data).unwrap();
    let _alone = generator();
    let train: Vec<(Said, Vec<f32>)> =
        data.train.iter().chain(&data.validation).map(|clip| (clip.said, clip.samples.clone())).collect();
    let referee = Referee::learn(&train, DIGITS, data.speakers.len());
    let heard = referee.hear(data.test.iter().map(|clip| clip.samples.as_slice()));
    let said: Vec<Said> = data.test.iter().map(|clip| clip.said).collect();
    let (digits, speakers) = heard.accuracy(&said);
    assert!(digits >= 0.97 && speakers >= 0.97, "{digits} {speakers}");
}
