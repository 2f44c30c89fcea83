//! Text with the shipped model.

use atelier_proto::text::v1::{
    FinishReason, GenerateRequest, ScoreRequest, ScoreResponse, UnknownCharacters,
};
use atelier_tests::Fleet;
use atelier_tests::client::blamed;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// From "The Tempest", IV, 1, which the training text does not have.
const PLAY: &str = "\
PROSPERO:
Our revels now are ended. These our actors,
As I foretold you, were all spirits and
Are melted into air, into thin air:
And, like the baseless fabric of this vision,
The cloud-capp'd towers, the gorgeous palaces,
The solemn temples, the great globe itself,
Yea, all which it inherit, shall dissolve
And, like this insubstantial pageant faded,
Leave not a rack behind. We are such stuff
As dreams are made on, and our little life
Is rounded with a sleep.
";

fn request(seed: u64, max_chars: u32) -> GenerateRequest {
    GenerateRequest { prompt: "ROMEO:\n".into(), seed, max_chars: Some(max_chars), ..Default::default() }
}

async fn score(fleet: &Fleet, text: &str, context: &str) -> ScoreResponse {
    let request = ScoreRequest {
        text: text.into(),
        context: context.into(),
        per_character: true,
        ..Default::default()
    };
    fleet.text().score(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let fleet = Fleet::shared();
    let first = fleet.write(request(11, 300)).await.unwrap();
    assert_eq!(first.text(), fleet.write(request(11, 300)).await.unwrap().text());
    assert_ne!(first.text(), fleet.write(request(12, 300)).await.unwrap().text());
    assert_eq!(first.started.model.unwrap().name, "shakespeare-rnn");
    let drawn = fleet.write(request(0, 100)).await.unwrap();
    assert_ne!(drawn.started.seed, 0, "the seed drawn by the server is said");
    assert_eq!(fleet.write(request(drawn.started.seed, 100)).await.unwrap().text(), drawn.text());
}

#[tokio::test]
async fn chunks_are_whole_characters_and_together_as_many_as_were_asked() {
    let fleet = Fleet::shared();
    let written = fleet.write(request(3, 700)).await.unwrap();
    assert!(written.chunks.len() > 1, "it comes in pieces, as it is made");
    assert!(written.chunks.iter().all(|chunk| !chunk.is_empty()));
    // That each chunk is UTF-8 was checked when it was decoded: a protobuf string is nothing else.
    assert_eq!(written.text().chars().count(), 700);
    assert_eq!((written.finished.chars, written.finished.reason()), (700, FinishReason::MaxChars));
    let short = fleet.write(request(3, 250)).await.unwrap();
    assert!(written.text().starts_with(&short.text()), "a longer text goes on where a shorter one ends");
}

#[tokio::test]
async fn what_is_written_looks_like_a_play() {
    let fleet = Fleet::shared();
    let text = fleet.write(request(1, 3000)).await.unwrap().text();
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty()).collect();
    let common = ["the", "and", "to", "of", "I", "you", "my", "a", "is", "not", "that", "in", "me", "it"];
    let known = words.iter().filter(|word| common.contains(word)).count();
    assert!(known * 8 > words.len(), "{known} of {} words are common ones: {text}", words.len());
    let speakers = text.lines().filter(|line| line.ends_with(':') && line.len() > 3).count();
    assert!(speakers >= 5, "{speakers} speakers: {text}");
}

#[tokio::test]
async fn a_stop_string_ends_the_text_before_it() {
    let fleet = Fleet::shared();
    let free = fleet.write(request(21, 2000)).await.unwrap().text();
    let stop = vec!["\n\n".to_owned(), "no such text".to_owned()];
    let stopped = fleet.write(GenerateRequest { stop, ..request(21, 2000) }).await.unwrap();
    assert_eq!((stopped.finished.reason(), stopped.finished.stop.as_str()), (FinishReason::Stop, "\n\n"));
    assert_eq!(Some(stopped.text().as_str()), free.split("\n\n").next(), "all before it, and nothing of it");
    assert_eq!(stopped.finished.chars as usize, stopped.text().chars().count());
}

#[tokio::test]
async fn the_likeliest_character_needs_no_seed() {
    let fleet = Fleet::shared();
    let greedy = |seed| GenerateRequest { temperature: Some(0.0), ..request(seed, 200) };
    let first = fleet.write(greedy(1)).await.unwrap().text();
    assert_eq!(first, fleet.write(greedy(2)).await.unwrap().text());
    let one = GenerateRequest { top_k: Some(1), temperature: Some(2.0), ..request(3, 200) };
    assert_eq!(first, fleet.write(one).await.unwrap().text());
    let likeliest = GenerateRequest { top_p: Some(1e-6), temperature: Some(2.0), ..request(4, 200) };
    assert_eq!(first, fleet.write(likeliest).await.unwrap().text());
}

#[tokio::test]
async fn text_of_a_play_scores_better_than_its_letters_shuffled() {
    let fleet = Fleet::shared();
    let mut letters: Vec<char> = PLAY.chars().collect();
    letters.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let play = score(&fleet, PLAY, "").await.bits_per_char;
    let shuffled = score(&fleet, &letters.into_iter().collect::<String>(), "").await.bits_per_char;
    // Characters drawn without a look at the text would need log2(65) = 6.02 bits.
    assert!(play < 2.8, "{play:.3} bits a character");
    assert!(shuffled > play + 1.5, "{shuffled:.3} bits a character shuffled, {play:.3} not");
}

#[tokio::test]
async fn a_score_is_the_sum_of_its_characters_each_given_all_before_it() {
    let fleet = Fleet::shared();
    let whole = score(&fleet, PLAY, "").await;
    let count = PLAY.chars().count() as u32;
    assert_eq!((whole.chars, whole.log_probabilities.len() as u32), (count - 1, count - 1));
    let sum: f64 = whole.log_probabilities.iter().map(|x| f64::from(*x)).sum();
    assert!((sum - whole.log_likelihood).abs() < 1e-3, "{sum} is not {}", whole.log_likelihood);
    let bits = -whole.log_likelihood / std::f64::consts::LN_2 / f64::from(whole.chars);
    assert!((bits - whole.bits_per_char).abs() < 1e-9);
    // The same in two parts, the first being the context of the second.
    let (context, text) = PLAY.split_at(200);
    let parts = [score(&fleet, context, "").await, score(&fleet, text, context).await];
    let joined: Vec<f32> = parts.into_iter().flat_map(|part| part.log_probabilities).collect();
    assert_eq!(joined, whole.log_probabilities);
}

#[tokio::test]
async fn unknown_characters_are_refused_by_name_and_replaced_where_asked() {
    let fleet = Fleet::shared();
    let prompt = GenerateRequest { prompt: "Où est Roméo?".into(), ..request(1, 20) };
    let status = fleet.write(prompt.clone()).await.unwrap_err();
    assert_eq!(blamed(&status), "prompt");
    // Named so that a terminal shows them as they are.
    for unknown in ["'\\u{f9}' at 1", "'\\u{e9}' at 10", "has 2 characters"] {
        assert!(status.message().contains(unknown), "{}", status.message());
    }
    let unknown_characters = UnknownCharacters::Replace.into();
    let replaced = fleet.write(GenerateRequest { unknown_characters, ..prompt }).await.unwrap();
    assert_eq!((replaced.started.replaced, replaced.finished.chars), (2, 20));

    let text = ScoreRequest { text: "naïve".into(), ..Default::default() };
    assert_eq!(blamed(&fleet.text().score(text.clone()).await.unwrap_err()), "text");
    let replaced =
        fleet.text().score(ScoreRequest { unknown_characters, ..text }).await.unwrap().into_inner();
    assert_eq!((replaced.replaced, replaced.chars), (1, 4));
}
