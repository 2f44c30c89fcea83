//! Speaks: draws sample after sample, digit after digit.

use atelier_engine::seed::Noise;
use atelier_engine::{Cursor, EngineError, Step};
use atelier_package::Audio;
use atelier_transforms::speech::{Condition, Draw, FRAME, Guard, MuLaw, Plan};
use bytes::Bytes;

use crate::utterance::{Utterance, Word};

/// The full scale of 16 bits.
const FULL: f32 = 32768.0;
/// Bytes of a sample.
pub(crate) const SAMPLE: usize = 2;
/// Milliseconds of the first pieces, so that something is heard soon; all others are as long as the last of them.
const PIECES: [usize; 3] = [25, 50, 100];

/// A stream that makes speech. Its sound depends on the utterance, the temperature and the logits alone.
#[derive(Debug)]
pub(crate) struct Speaking {
    utterance: Utterance,
    law: MuLaw,
    condition: Condition,
    /// Of each word; empty where the model does not plan.
    plans: Vec<Plan>,
    sample_rate: u32,
    draw: Draw,
    noise: Noise,
    guard: Guard,
    /// Which word is being said.
    word: usize,
    /// How many of its samples are there.
    at: usize,
    cut: usize,
    /// How many pieces are out.
    sent: usize,
    pcm: Vec<u8>,
}

/// What the stream's client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// 16-bit samples, little-endian.
    pub(crate) pcm: Bytes,
    /// If it is the last: how many digits were cut short.
    pub(crate) cut: Option<usize>,
}

impl Speaking {
    /// Says `utterance`, with a plan for each of its words or with none, by a model with this `[audio]`.
    pub(crate) fn new(audio: &Audio, utterance: Utterance, plans: Vec<Plan>, temperature: f64) -> Self {
        let law = MuLaw::new(audio.levels);
        Self {
            condition: condition(audio),
            plans,
            sample_rate: audio.sample_rate,
            draw: Draw::new(temperature, audio.levels),
            noise: utterance.noise(0),
            guard: Guard::new(audio.sample_rate),
            word: 0,
            at: 0,
            cut: 0,
            sent: 0,
            pcm: Vec::with_capacity(piece(audio.sample_rate, 0)),
            law,
            utterance,
        }
    }

    fn silence(&self) -> i64 {
        // The middle of 65536 levels at most.
        i64::try_from(self.law.silence()).unwrap_or_default()
    }

    fn word(&self) -> Result<Word, EngineError> {
        let none = || EngineError::Runtime(format!("there is no word {}", self.word));
        self.utterance.words.get(self.word).copied().ok_or_else(none)
    }

    /// More sound, once there is enough for a piece.
    fn ready(&mut self) -> Option<Piece> {
        (self.pcm.len() >= piece(self.sample_rate, self.sent)).then(|| Piece { pcm: self.take(), cut: None })
    }

    fn take(&mut self) -> Bytes {
        self.sent += 1;
        let fresh = Vec::with_capacity(piece(self.sample_rate, self.sent));
        std::mem::replace(&mut self.pcm, fresh).into()
    }

    fn be_silent(&mut self, samples: usize) {
        self.pcm.resize(self.pcm.len() + samples * SAMPLE, 0);
    }
}

/// How conditions are written for a model.
pub(crate) fn condition(audio: &Audio) -> Condition {
    Condition::new(audio.digits.len(), audio.speakers.len(), audio.sample_rate)
}

/// Bytes of the piece after so many.
fn piece(sample_rate: u32, sent: usize) -> usize {
    let [.., longest] = PIECES;
    sample_rate as usize * PIECES.get(sent).copied().unwrap_or(longest) / 1000 * SAMPLE
}

impl Cursor for Speaking {
    type Chunk = Piece;

    fn first(&mut self) -> i64 {
        self.silence()
    }

    fn fill(&mut self, _input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        // In between the row is what it was.
        if self.at.is_multiple_of(FRAME) {
            let word = self.word()?;
            let mut filled = self.condition.row(Some(word.said), self.at, word.samples);
            if let Some(plan) = self.plans.get(self.word) {
                filled.extend(plan.row(self.at, word.samples));
            }
            let wrong = || {
                let message = format!("takes {} numbers, but {} are known", row.len(), filled.len());
                EngineError::Runtime(format!("the condition of the graph {message}"))
            };
            if row.len() != filled.len() {
                return Err(wrong());
            }
            row.copy_from_slice(&filled);
        }
        Ok(())
    }

    fn advance(&mut self, logits: &[f32]) -> Result<Step<Piece>, EngineError> {
        let word = self.word()?;
        let none = || EngineError::Runtime("the model gave logits that are no distribution".into());
        let level = self.draw.choose(logits, self.noise.unit()).ok_or_else(none)?;
        let sample = self.law.decode(level);
        // A cast from f32 saturates.
        let pcm = (sample * FULL).round() as i16;
        self.pcm.extend_from_slice(&pcm.to_le_bytes());
        self.at += 1;
        if self.guard.runs_away(sample) && self.at < word.samples {
            self.cut += 1;
            self.be_silent(word.samples - self.at);
            self.at = word.samples;
        }
        if self.at < word.samples {
            let token = i64::try_from(level).map_err(|_| none())?;
            return Ok(Step::Next { token, emit: self.ready() });
        }
        self.word += 1;
        if self.word == self.utterance.words.len() {
            return Ok(Step::Done { emit: Some(Piece { pcm: self.take(), cut: Some(self.cut) }) });
        }
        self.be_silent(self.utterance.pause);
        self.at = 0;
        self.noise = self.utterance.noise(self.word);
        self.guard = Guard::new(self.sample_rate);
        Ok(Step::Restart { token: self.silence(), emit: self.ready() })
    }
}

#[cfg(test)]
mod tests {
    use atelier_package::Speaker;

    use super::*;

    const ROW: usize = 2 + 1 + 11;

    fn audio() -> Audio {
        let durations = vec![vec![1000, 1000], vec![200, 200]];
        let speakers = vec![Speaker { name: "george".into(), gain: 1.0, durations }];
        Audio { sample_rate: 8000, levels: 256, digits: vec!['0', '1'], speakers }
    }

    /// What a stream gave: the tokens that it began with and went on with, the conditions that it gave, its
    /// sound, the lengths of its pieces, and how many digits it cut.
    #[derive(Default)]
    struct Heard {
        tokens: Vec<i64>,
        restarts: Vec<usize>,
        rows: Vec<Vec<f32>>,
        samples: Vec<i16>,
        pieces: Vec<usize>,
        cut: usize,
    }

    /// Runs a stream against a model that is sure of each level, by the step and the place of the digit.
    fn hear(digits: &[usize], pause: usize, levels: impl Fn(usize, usize) -> usize) -> Heard {
        hear_planned(digits, &[], pause, levels)
    }

    fn hear_planned(
        digits: &[usize],
        plans: &[Plan],
        pause: usize,
        levels: impl Fn(usize, usize) -> usize,
    ) -> Heard {
        let utterance = Utterance::new(&audio(), digits, 0, pause, 7);
        let mut stream = Speaking::new(&audio(), utterance, plans.to_vec(), 1.0);
        let mut heard = Heard { tokens: vec![stream.first()], ..Heard::default() };
        let planned = plans.first().map_or(0, |plan| plan.row(0, 1).count());
        let mut row = vec![f32::NAN; ROW + planned];
        for step in 0.. {
            stream.fill("condition", &mut row).unwrap();
            heard.rows.push(row.clone());
            let mut logits = vec![f32::NEG_INFINITY; 256];
            logits[levels(step, heard.restarts.len())] = 0.0;
            let (token, emit) = match stream.advance(&logits).unwrap() {
                Step::Next { token, emit } => (Some(token), emit),
                Step::Restart { token, emit } => {
                    heard.restarts.push(step + 1);
                    (Some(token), emit)
                }
                Step::Done { emit } => (None, emit),
            };
            if let Some(piece) = emit {
                heard.pieces.push(piece.pcm.len() / 2);
                heard.samples.extend(piece.pcm.chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
                assert_eq!(piece.cut.is_some(), token.is_none(), "the end is told with the last piece");
                heard.cut = piece.cut.unwrap_or_default();
            }
            let Some(token) = token else { return heard };
            heard.tokens.push(token);
        }
        heard
    }

    #[test]
    fn each_digit_begins_after_silence_and_is_as_long_as_was_said() {
        let heard = hear(&[0, 1], 80, |step, _| 100 + step % 50);
        assert_eq!((heard.samples.len(), heard.restarts.as_slice()), (1000 + 80 + 200, &[1000][..]));
        assert_eq!((heard.tokens[0], heard.tokens[1], heard.tokens[1000]), (128, 100, 128));
        assert_eq!(heard.samples[1000..1080], [0; 80]);
        let expected = (MuLaw::new(256).decode(103) * 32768.0).round() as i16;
        assert_eq!((heard.samples[3], heard.samples[1080]), (expected, heard.samples[0]));
        assert_eq!(heard.cut, 0);
        // A 40th, a 20th, then a tenth of a second each, and the rest.
        assert_eq!(heard.pieces, [200, 400, 680]);
    }

    #[test]
    fn the_condition_is_that_of_the_frame_and_of_the_digit() {
        let heard = hear(&[0, 1], 0, |_, _| 128);
        let condition = condition(&audio());
        assert_eq!(heard.rows.len(), 1200);
        for (step, row) in heard.rows.iter().enumerate() {
            let (digit, at, total) = if step < 1000 { (0, step, 1000) } else { (1, step - 1000, 200) };
            let said = atelier_transforms::speech::Said { digit, speaker: 0 };
            assert_eq!(*row, condition.row(Some(said), at, total), "step {step}");
        }
    }

    #[test]
    fn a_digit_is_said_by_its_own_plan() {
        let plans = [Plan::new(2, (0..64).map(|i| i as f32).collect()), Plan::new(2, vec![-1.0, -2.0])];
        let heard = hear_planned(&[0, 1], &plans, 0, |_, _| 128);
        for (step, row) in heard.rows.iter().enumerate() {
            let (word, at, total) = if step < 1000 { (0, step, 1000) } else { (1, step - 1000, 200) };
            let planned: Vec<f32> = plans[word].row(at, total).collect();
            assert_eq!(row[ROW..], planned, "step {step}");
            assert_eq!(row[0], if word == 0 { 1.0 } else { 0.0 }, "what is said stands before it");
        }
    }

    #[test]
    fn a_digit_that_becomes_noise_is_silent_from_there_on_and_the_next_is_said() {
        // From one end to the other: as loud a noise as there is.
        let heard = hear(&[0, 1], 10, |step, place| if place == 0 { 255 * (step % 2) } else { 140 });
        assert_eq!((heard.samples.len(), heard.cut), (1210, 1));
        let loud = heard.samples.iter().position(|s| *s == 0).unwrap();
        assert!((5..100).contains(&loud), "{loud}");
        assert!(heard.samples[loud..1010].iter().all(|s| *s == 0));
        assert_eq!(heard.restarts, [loud]);
        assert!(heard.samples[1010] != 0);
    }

    #[test]
    fn logits_and_conditions_that_cannot_be_are_an_error() {
        let utterance = Utterance::new(&audio(), &[0], 0, 0, 7);
        let mut stream = Speaking::new(&audio(), utterance, Vec::new(), 1.0);
        assert!(stream.advance(&[f32::NAN; 256]).is_err());
        let told = stream.fill("condition", &mut [0.0; 5]).unwrap_err().to_string();
        assert_eq!(told, "the condition of the graph takes 5 numbers, but 14 are known");
    }
}
