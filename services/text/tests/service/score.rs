use atelier_proto::text::v1::{GenerateRequest, ScoreRequest, ScoreResponse, UnknownCharacters};

use crate::*;

async fn score(text: &Text, context: &str, scored: &str) -> ScoreResponse {
    let request = ScoreRequest {
        text: scored.into(),
        context: context.into(),
        per_character: true,
        ..ScoreRequest::default()
    };
    text.score(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probabilities_of_all_next_characters_sum_to_one() {
    let text = text();
    let mut sum = 0.0;
    for next in ["\n", " ", "a", "b", "c", "d", "e"] {
        let scored = score(&text, "bad ", next).await;
        assert_eq!((scored.chars, scored.log_probabilities.len(), scored.replaced), (1, 1, 0));
        sum += scored.log_likelihood.exp();
    }
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_score_of_a_text_is_the_sum_over_its_characters_each_given_all_before_it() {
    let text = text();
    let whole = score(&text, "", "a bad decade").await;
    assert_eq!((whole.chars, whole.log_probabilities.len()), (11, 11), "the first is not scored");
    let parts = score(&text, "a", " bad ").await.log_likelihood
        + score(&text, "a bad ", "decade").await.log_likelihood;
    assert!((whole.log_likelihood - parts).abs() < 1e-9, "{} {parts}", whole.log_likelihood);
    let sum: f64 = whole.log_probabilities.iter().map(|x| f64::from(*x)).sum();
    assert!((whole.log_likelihood - sum).abs() < 1e-4);
    let bits = -whole.log_likelihood / std::f64::consts::LN_2 / 11.0;
    assert!((whole.bits_per_char - bits).abs() < 1e-12);
    assert!(whole.log_likelihood < 0.0 && bits > 0.5, "{bits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_character_is_likelier_than_the_one_generated_at_temperature_0() {
    let text = text();
    let request = GenerateRequest {
        prompt: "cab ".into(),
        temperature: Some(0.0),
        max_chars: Some(1),
        ..GenerateRequest::default()
    };
    let first = generate(&text, request).await.text;
    let best = score(&text, "cab ", &first).await.log_likelihood;
    for other in ["\n", " ", "a", "b", "c", "d", "e"] {
        assert!(
            score(&text, "cab ", other).await.log_likelihood <= best,
            "{other:?} is likelier than {first:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_is_the_same_in_a_crowd_and_says_no_more_than_asked() {
    let text = text();
    let alone = score(&text, "", "abcde ").await;
    let crowd = futures_util::future::join_all((0..20).map(|_| score(&text, "", "abcde "))).await;
    assert!(crowd.iter().all(|other| *other == alone));
    let request = ScoreRequest {
        text: "aXb".into(),
        unknown_characters: UnknownCharacters::Replace.into(),
        ..ScoreRequest::default()
    };
    let answer = text.score(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((answer.replaced, answer.chars, answer.log_probabilities.len()), (1, 2, 0));
    assert_eq!(answer.log_likelihood, score(&text, "", "a b").await.log_likelihood);
}
