use std::time::{Duration, Instant};

use atelier_chassis::Deadline;
use atelier_proto::models::v1::ModelVersion;
use atelier_proto::text::v1::*;
use futures_util::FutureExt;
use tonic::Code;

use crate::*;

fn request(prompt: &str, seed: u64) -> GenerateRequest {
    GenerateRequest { prompt: prompt.into(), seed, max_chars: Some(60), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuation_has_as_many_characters_as_asked_and_says_what_made_it() {
    let text = text();
    let made = generate(&text, request("abc", 9)).await;
    assert_eq!(made.started.model, Some(ModelVersion { name: "rnn".into(), version: 1 }));
    assert_eq!((made.started.seed, made.started.replaced), (9, 0));
    assert_eq!(made.text.chars().count(), 60);
    assert!(made.text.chars().all(|c| "\n abcde".contains(c)), "{:?}", made.text);
    assert_eq!((made.finished.reason(), made.finished.stop.as_str()), (FinishReason::MaxChars, ""));
    let default = generate(&text, GenerateRequest { prompt: "abc".into(), ..Default::default() }).await;
    assert_eq!(default.text.chars().count(), 500);
    assert_ne!(default.started.seed, 0);
    let again = GenerateRequest { prompt: "abc".into(), seed: default.started.seed, ..Default::default() };
    assert_eq!(generate(&text, again).await.text, default.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_text_alone_and_in_a_crowd() {
    let text = text();
    let mut alone = Vec::new();
    for seed in 1..=30 {
        alone.push(generate(&text, request("dead ", seed)).await.text);
    }
    let crowd = (1..=30).map(|seed| generate(&text, request("dead ", seed)));
    let crowd: Vec<String> =
        futures_util::future::join_all(crowd).await.into_iter().map(|c| c.text).collect();
    assert_eq!(crowd, alone);
    let different: std::collections::BTreeSet<&String> = alone.iter().collect();
    assert_eq!(different.len(), 30, "seeds make no difference");
    // The little network forgets quickly: a prompt shows in some of many texts.
    let other =
        futures_util::future::join_all((1..=30).map(|seed| generate(&text, request("deae", seed)))).await;
    assert!(other.iter().zip(&alone).any(|(c, alone)| c.text != *alone), "the prompt makes no difference");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_prompt_it_begins_as_after_a_line_break() {
    let text = text();
    let (empty, line) = (generate(&text, request("", 4)).await, generate(&text, request("\n", 4)).await);
    assert_eq!(empty.text, line.text);
    assert_ne!(empty.text, generate(&text, request(" ", 4)).await.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_string_ends_the_text_before_it_and_is_not_sent() {
    let text = text();
    let whole = generate(&text, request("ab", 2)).await.text;
    let wanted = &whole[20..24];
    let at = whole.find(wanted).unwrap();
    let stop = vec!["never".to_owned(), wanted.to_owned()];
    let made = generate(&text, GenerateRequest { stop, ..request("ab", 2) }).await;
    assert_eq!(made.text, whole[..at]);
    assert_eq!((made.finished.reason(), made.finished.stop.as_str()), (FinishReason::Stop, wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_likeliest_character_is_taken_at_temperature_0_and_with_top_k_1_and_a_small_top_p() {
    let text = text();
    let with = async |request: GenerateRequest| generate(&text, request).await.text;
    let cold = with(GenerateRequest { temperature: Some(0.0), ..request("ab", 1) }).await;
    assert_eq!(with(GenerateRequest { temperature: Some(0.0), ..request("ab", 2) }).await, cold);
    assert_eq!(with(GenerateRequest { top_k: Some(1), ..request("ab", 3) }).await, cold);
    assert_eq!(with(GenerateRequest { top_p: Some(0.01), ..request("ab", 4) }).await, cold);
    assert_ne!(with(GenerateRequest { temperature: Some(5.0), ..request("ab", 1) }).await, cold);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_characters_are_replaced_and_counted_where_asked() {
    let text = text();
    let replace = UnknownCharacters::Replace.into();
    let made = generate(&text, GenerateRequest { unknown_characters: replace, ..request("aXéb", 6) }).await;
    assert_eq!(made.started.replaced, 2);
    // The model knows a space, and neither of the characters that would be taken before it.
    assert_eq!(made.text, generate(&text, request("a  b", 6)).await.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_client_drops_frees_its_slot() {
    let engine = engine(Config { slots: 2, ..Config::default() });
    let text = Text::new(engine.clone());
    let stats = || engine.model("rnn", 0, &[]).unwrap().decoder().unwrap().stats();
    let long = || Request::new(GenerateRequest { max_chars: Some(100_000), ..request("a", 1) });
    let mut stream = text.generate(long()).await.unwrap().into_inner();
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
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_long_prompt_is_read_others_go_on_writing() {
    // One worker, whose steps all share.
    let engine = engine(Config { parallelism: Some(1), ..Config::default() });
    let text = Text::new(engine.clone());
    let long = request(&"abcde".repeat(20_000), 1);
    let mut long = text.generate(Request::new(long)).await.unwrap().into_inner();
    assert!(matches!(long.next().await.unwrap().unwrap().event, Some(Event::Started(_))));
    for seed in 1..=3 {
        assert_eq!(generate(&text, request("ab", seed)).await.text.chars().count(), 60);
    }
    assert!(long.next().now_or_never().is_none(), "the prompt was read while the others waited");
    let stats = engine.model("rnn", 0, &[]).unwrap().decoder().unwrap().stats();
    assert_eq!(stats.slots_used, 1, "it is being read");
    assert!(stats.steps < 100_000, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_stream_in_its_midst() {
    let text = text();
    let mut long = Request::new(GenerateRequest { max_chars: Some(100_000), ..request("a", 1) });
    long.extensions_mut().insert(Deadline::after(Duration::from_millis(150)).unwrap());
    let mut stream = text.generate(long).await.unwrap().into_inner();
    let mut messages = 0;
    let end = loop {
        match stream.next().await.expect("it ends with a status") {
            Ok(_) => messages += 1,
            Err(status) => break status,
        }
    };
    assert!(messages > 1, "nothing came before the deadline");
    assert_eq!(end.code(), Code::DeadlineExceeded);
    assert!(stream.next().await.is_none());
}
