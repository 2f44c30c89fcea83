//! What will be said: which digits, and how long each takes.

use std::ops::Range;

use atelier_engine::seed::Noise;
use atelier_package::Audio;
use atelier_transforms::speech::{Said, duration};

/// Digits in a voice, with silence between them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Utterance {
    /// In their order; at least one.
    pub(crate) words: Vec<Word>,
    /// Samples of silence between two digits.
    pub(crate) pause: usize,
    /// What is drawn is drawn from this.
    pub(crate) seed: u64,
}

/// A digit in a voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    /// Which.
    pub(crate) said: Said,
    /// How many samples it takes, at least 1.
    pub(crate) samples: usize,
}

impl Utterance {
    /// These digits by this speaker, as places in `[audio]`. How long each takes is drawn here.
    pub(crate) fn new(audio: &Audio, digits: &[usize], speaker: usize, pause: usize, seed: u64) -> Self {
        let word = |(place, digit): (usize, &usize)| {
            let durations = audio.speakers.get(speaker).and_then(|s| s.durations.get(*digit));
            let uniform = noise(seed, place).unit();
            let samples = duration::draw(durations.map(Vec::as_slice).unwrap_or_default(), uniform).max(1);
            Word { said: Said { digit: *digit, speaker }, samples }
        };
        Self { words: digits.iter().enumerate().map(word).collect(), pause, seed }
    }

    /// The random numbers that the samples of a digit are drawn from, by its place in the text.
    pub(crate) fn noise(&self, place: usize) -> Noise {
        let mut noise = noise(self.seed, place);
        // The first is how long it takes.
        noise.unit();
        noise
    }

    /// The random numbers that a digit is planned by, from the standard normal distribution.
    pub(crate) fn plan_noise(&self, place: usize, count: usize) -> impl Iterator<Item = f32> {
        // Not those of any place: a model that plans draws its samples from the same numbers as one that does not.
        let mut noise = Noise::new(self.seed, u64::MAX - place as u64);
        (0..count).map(move |_| noise.normal())
    }

    /// Where each digit lies in the sound.
    pub(crate) fn places(&self) -> impl Iterator<Item = Range<usize>> {
        self.words.iter().scan(0, |start, word| {
            let place = *start..*start + word.samples;
            *start = place.end + self.pause;
            Some(place)
        })
    }

    /// Samples in all.
    pub(crate) fn samples(&self) -> usize {
        self.places().last().map_or(0, |place| place.end)
    }
}

fn noise(seed: u64, place: usize) -> Noise {
    Noise::new(seed, place as u64)
}

#[cfg(test)]
mod tests {
    use atelier_package::Speaker;

    use super::*;

    fn audio() -> Audio {
        let speaker = |name: &str, longer: u32| Speaker {
            name: name.into(),
            gain: 1.0,
            durations: vec![vec![1000 + longer, 2000 + longer], vec![500, 500]],
        };
        let speakers = vec![speaker("george", 0), speaker("theo", 5000)];
        Audio { sample_rate: 8000, levels: 256, digits: vec!['0', '1'], speakers }
    }

    #[test]
    fn a_digit_takes_as_long_as_the_speaker_does() {
        let utterance = |speaker, seed| Utterance::new(&audio(), &[0, 1], speaker, 100, seed);
        let mut drawn = std::collections::BTreeSet::new();
        for seed in 1..50 {
            let [zero, one] = utterance(0, seed).words[..] else { panic!("two words") };
            assert!((1000..=2000).contains(&zero.samples) && one.samples == 500);
            assert_eq!((zero.said.digit, one.said.digit), (0, 1));
            assert_eq!(utterance(1, seed).words[0].samples, zero.samples + 5000);
            drawn.insert(zero.samples);
        }
        assert!(drawn.len() > 30, "{drawn:?}");
    }

    #[test]
    fn the_pause_lies_between_digits_and_a_longer_text_begins_as_a_shorter_one() {
        let two = Utterance::new(&audio(), &[1, 1], 0, 100, 7);
        assert_eq!(two.places().collect::<Vec<_>>(), [0..500, 600..1100]);
        assert_eq!(two.samples(), 1100);
        let (short, long) =
            (Utterance::new(&audio(), &[0, 0], 0, 0, 7), Utterance::new(&audio(), &[0, 0, 0], 0, 0, 7));
        assert_eq!(long.words[..2], short.words);
        assert_ne!(long.words[1], long.words[2], "each digit draws for itself");
        assert_eq!(long.noise(1).unit(), short.noise(1).unit());
        assert_ne!(long.noise(1).unit(), long.noise(2).unit());
    }
}
