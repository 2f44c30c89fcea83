//! Spoken digits: bits a sample on the official test split, sample by sample through the exported step graph,
//! beside a codec that adapts; and what the graph says when it speaks freely, judged by a referee that learned
//! from real recordings only.

mod planner;
pub mod voice;

use std::path::Path;

use anyhow::{Context, ensure};
use atelier_package::Package;
use atelier_transforms::speech::{Said, TEMPERATURE};

use super::Settings;
use super::adaptive_codec::{AdaptiveCodec, LevelCounts};
use super::frechet::Moments;
use super::referee::{Heard, Referee};
use super::report::{Bound, Figure, Report};
use crate::data::digits::{Clip, DIGITS, Recordings};
use crate::onnx_runtime::OnnxRuntime;
use voice::{Manner, Voice};

/// Utterances of each digit by each speaker.
const TAKES: usize = 20;

/// Bits a sample of some recordings: of all, of those of 16 bits, and by speaker.
struct Bits {
    total: f64,
    fine: f64,
    by_speaker: Vec<f64>,
}

/// The test split as the network sees it.
struct Test {
    said: Vec<Said>,
    tokens: Vec<Vec<i64>>,
    /// Which were recorded with 8 bits.
    coarse: Vec<bool>,
    speakers: usize,
}

impl Test {
    /// Bits a sample, where `bits` says what each recording costs.
    fn mean(&self, bits: &[f64]) -> Bits {
        let of = |right: &dyn Fn(usize) -> bool| {
            let chosen = (0..self.said.len()).filter(|&i| right(i));
            let (sum, count) =
                chosen.fold((0.0, 0), |(sum, count), i| (sum + bits[i], count + self.tokens[i].len()));
            sum / count.max(1) as f64
        };
        let by_speaker = (0..self.speakers).map(|s| of(&|i| self.said[i].speaker == s)).collect();
        Bits { total: of(&|_| true), fine: of(&|i| !self.coarse[i]), by_speaker }
    }
}

pub(super) fn evaluate(
    package: &Package,
    data: &Path,
    runtime: &OnnxRuntime,
    settings: &Settings,
) -> anyhow::Result<Report> {
    let mut voice = Voice::open(package, runtime)?;
    let recordings = Recordings::read(data)?;
    let audio = package.manifest().audio.as_ref().context("the package has no [audio]")?;
    let names: Vec<&str> = recordings.speakers.iter().map(|voice| voice.name.as_str()).collect();
    let known: Vec<&str> = audio.speakers.iter().map(|speaker| speaker.name.as_str()).collect();
    ensure!(names == known, "the package speaks as {known:?}, the recordings are of {names:?}");
    ensure!(audio.digits.len() == DIGITS, "the package says {:?}, the recordings 0 to 9", audio.digits);

    let heard = |clips: &[Clip]| -> Vec<(Said, Vec<i64>)> {
        clips.iter().map(|clip| (clip.said, voice.tokens(clip))).collect()
    };
    let train: Vec<(Said, Vec<i64>)> = [heard(&recordings.train), heard(&recordings.validation)].concat();
    let all = heard(&recordings.test);
    // Evenly over the split, which is in the order of digits.
    let count = settings.limit.map_or(all.len(), |n| n.clamp(1, all.len()));
    let chosen: Vec<usize> = (0..count).map(|i| i * all.len() / count).collect();
    let (said, tokens): (Vec<Said>, Vec<Vec<i64>>) = chosen.iter().map(|&i| all[i].clone()).unzip();
    let coarse = chosen.iter().map(|&i| recordings.test[i].is_coarse()).collect();
    let test = Test { said, tokens, coarse, speakers: known.len() };

    let levels: Vec<Vec<i64>> = train.iter().map(|(_, tokens)| tokens.clone()).collect();
    let counts = LevelCounts::fit(&levels, audio.levels);
    let codec = AdaptiveCodec::fit(&levels, voice.law())?;
    let by = |bits: &dyn Fn(&[i64]) -> f64| {
        test.mean(&test.tokens.iter().map(|tokens| bits(tokens)).collect::<Vec<_>>())
    };
    let unigram = by(&|tokens| counts.unigram_bits(tokens)).total;
    let bigram = by(&|tokens| counts.bigram_bits(tokens)).total;
    let codec = by(&|tokens| codec.bits(tokens));
    let ours = test.mean(&voice.bits(&test.said, &test.tokens)?);

    let sound = |(said, tokens): &(Said, Vec<i64>)| (*said, voice.samples(tokens));
    let real_train: Vec<(Said, Vec<f32>)> = train.iter().map(sound).collect();
    let real_test: Vec<(Said, Vec<f32>)> = all.iter().map(sound).collect();
    let takes: Vec<Said> = (0..TAKES)
        .flat_map(|_| (0..DIGITS).flat_map(|digit| (0..known.len()).map(move |s| Said { digit, speaker: s })))
        .take(settings.limit.unwrap_or(usize::MAX))
        .collect();
    let voice::Spoken { takes: spoken, cut } = voice.speak(&takes, Manner::USUAL)?;
    let referee = Referee::learn(&real_train, DIGITS, known.len());
    let hear = |sounds: &[(Said, Vec<f32>)]| referee.hear(sounds.iter().map(|(_, x)| x.as_slice()));
    let accuracy = |heard: &Heard, sounds: &[(Said, Vec<f32>)]| {
        heard.accuracy(&sounds.iter().map(|(said, _)| *said).collect::<Vec<_>>())
    };
    let (heard_test, heard_spoken) = (hear(&real_test), hear(&spoken));
    let (real_digits, real_speakers) = accuracy(&heard_test, &real_test);
    let (digits, speakers) = accuracy(&heard_spoken, &spoken);
    let reference = Moments::of(&heard_test.features);
    let distance = Moments::of(&heard_spoken.features).distance(&reference);
    let real_distance = Moments::of(&hear(&real_train).features).distance(&reference);
    let (sounding, real_sounding) = (voice::sounding(&spoken), voice::sounding(&real_test));
    let (broken, real_broken) = (voice::broken(&spoken), voice::broken(&real_test));

    let below = |figure: Figure, codec: f64| {
        let levels = (Bound::AtMost(codec - 0.1), Bound::AtMost(codec - 0.6));
        figure.beside(&[("adaptive_codec", codec)]).levels(levels.0, levels.1)
    };
    let mut figures = vec![
        below(Figure::new("bits_per_sample", ours.total), codec.total)
            .beside(&[("bigram", bigram), ("unigram", unigram)]),
        below(Figure::new("bits_per_sample_of_16_bits", ours.fine), codec.fine),
    ];
    for ((name, ours), codec) in known.iter().zip(&ours.by_speaker).zip(&codec.by_speaker) {
        figures.push(
            Figure::new(format!("bits_per_sample_{name}"), *ours).beside(&[("adaptive_codec", *codec)]),
        );
    }
    figures.extend([
        Figure::new("digit_accuracy", digits)
            .beside(&[("real_test", real_digits)])
            .levels(Bound::AtLeast(0.70), Bound::AtLeast(0.95)),
        Figure::new("speaker_accuracy", speakers).beside(&[("real_test", real_speakers)]),
        Figure::new("referee_on_real_test", real_digits).levels(Bound::AtLeast(0.97), Bound::AtLeast(0.97)),
        Figure::new("frechet_distance", distance).beside(&[("real_train", real_distance)]),
        Figure::new("seconds_that_sound", sounding).beside(&[("real_test", real_sounding)]),
        Figure::new("cut_short", cut),
        Figure::new("silent_or_clipped", broken).beside(&[("real_test", real_broken)]),
        Figure::new("real_time_factor_1_voice", voice.real_time_factor(1)?),
        Figure::new("real_time_factor_16_voices", voice.real_time_factor(16)?),
    ]);
    let coarse = test.coarse.iter().filter(|coarse| **coarse).count();
    Ok(Report {
        package: format!("{} {}", package.name(), package.version()),
        protocol: format!(
            "Free Spoken Digit Dataset, official test split, {} recordings, {} levels of mu-law, a fixed gain a \
             speaker; {} utterances spoken at temperature {}",
            test.said.len(),
            audio.levels,
            spoken.len(),
            TEMPERATURE,
        ),
        figures,
        notes: vec![
            "bits_per_sample: the network is told digit, speaker and duration, about 10 bits a recording; what \
             tells it a recording's spectrum counts (the divergence of those numbers from the ones that are drawn \
             when it speaks), so that this is a bound on what the samples cost; the codec \
             is recursive least squares over 16 samples, tuned on the train split"
                .into(),
            format!(
                "bits_per_sample_of_16_bits: without the {coarse} recordings whose samples are all multiples of 256; \
                 they were made with 8 bits and have few levels, which the network knows and the codec does not, so \
                 that the figures of all recordings flatter the network"
            ),
            "digit and speaker accuracy: of what was spoken, by a convolutional network over log-mel pictures \
             that learned from the real train split; frechet_distance: of its 64 features, from the real test \
             split"
                .into(),
            "silent_or_clipped: part of the recordings without sound, or with more than 1 % of their samples at \
             full scale"
                .into(),
            "cut_short: part of what was spoken that ran away into noise; the rest of it is silence, as served"
                .into(),
            "real_time_factor: seconds of this machine for a second of speech of all voices together, under 1 \
             is faster than it sounds; in this evaluation's own loop over the step graph, not in the decoder that \
             serves, whose figures are in docs/bench.md"
                .into(),
        ],
    })
}
