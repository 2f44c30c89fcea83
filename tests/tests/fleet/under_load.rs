//! The same request gives the same bytes, whatever else is being served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atelier_proto::codec::v1::{DenoiseRequest, EncodeRequest, ReconstructRequest, SampleRequest};
use atelier_proto::text::v1::{GenerateRequest, ScoreRequest};
use atelier_tests::Fleet;
use atelier_tests::client::{Written, next_chunk};
use atelier_tests::pictures::{clothes, message, noisy};
use tokio::task::JoinSet;

fn generate(seed: u64) -> GenerateRequest {
    GenerateRequest { prompt: "JULIET:\n".into(), seed, max_chars: Some(400), ..Default::default() }
}

/// All that is answered to the same requests.
async fn answers(fleet: &Fleet) -> (Vec<Vec<u8>>, Vec<f32>, Written, f64) {
    let picture = noisy(&clothes()[3], 0.25, 1);
    let mut codec = fleet.codec();
    let mut bytes = Vec::new();
    for sigma in [Some(0.25), None] {
        let request = DenoiseRequest { image: message(&picture), sigma, ..Default::default() };
        bytes.push(codec.denoise(request).await.unwrap().into_inner().image.unwrap().data.to_vec());
    }
    let request = ReconstructRequest { image: message(&picture), ..Default::default() };
    bytes.push(codec.reconstruct(request).await.unwrap().into_inner().image.unwrap().data.to_vec());
    let request = SampleRequest { count: Some(5), seed: 8, ..Default::default() };
    let samples = codec.sample(request).await.unwrap().into_inner();
    bytes.extend(samples.images.into_iter().map(|image| image.data.to_vec()));
    let request = EncodeRequest { image: message(&picture), sample: true, seed: 8, ..Default::default() };
    let code = codec.encode(request).await.unwrap().into_inner().sample.unwrap().values;
    let mut written = fleet.write(generate(77)).await.unwrap();
    // How the text is cut into chunks may differ.
    written.chunks = vec![written.text()];
    let text = "But, soft! what light through yonder window breaks?";
    let request = ScoreRequest { text: text.into(), ..Default::default() };
    let likelihood = fleet.text().score(request).await.unwrap().into_inner().log_likelihood;
    (bytes, code, written, likelihood)
}

/// Keeps every graph busy until the set is dropped; counts what was answered.
fn load(fleet: &Arc<Fleet>) -> (JoinSet<()>, Arc<AtomicU64>) {
    let (mut tasks, count) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
    for worker in 0..8 {
        let (fleet, done) = (Arc::clone(fleet), Arc::clone(&count));
        tasks.spawn(async move {
            let mut text = fleet.text();
            for seed in 1.. {
                let request = GenerateRequest { prompt: "KING: ".repeat(worker), ..generate(seed) };
                let mut stream = text.generate(request).await.unwrap().into_inner();
                // Streams join and leave at any step: some are cancelled in their midst.
                for _ in 0..seed % 40 {
                    if next_chunk_or_end(&mut stream).await.is_none() {
                        break;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for worker in 0..6_usize {
        let (fleet, done) = (Arc::clone(fleet), Arc::clone(&count));
        tasks.spawn(async move {
            let mut codec = fleet.codec();
            for seed in 1.. {
                let image = message(&noisy(&clothes()[worker], 0.4, seed));
                let sigma = (worker % 2 == 0).then_some(0.4);
                let request = DenoiseRequest { image: image.clone(), sigma, ..Default::default() };
                codec.denoise(request).await.unwrap();
                codec.encode(EncodeRequest { image, ..Default::default() }).await.unwrap();
                let count = Some(1 + (seed % 9) as u32);
                codec.sample(SampleRequest { count, seed, ..Default::default() }).await.unwrap();
                done.fetch_add(3, Ordering::Relaxed);
            }
        });
    }
    (tasks, count)
}

async fn next_chunk_or_end(
    stream: &mut tonic::Streaming<atelier_proto::text::v1::GenerateResponse>,
) -> Option<()> {
    use atelier_proto::text::v1::generate_response::Event;
    match atelier_tests::client::next(stream).await.unwrap()? {
        Event::Finished(_) => None,
        _ => Some(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_gives_the_same_bytes_while_everything_else_is_busy() {
    let fleet = Fleet::shared();
    let alone = answers(&fleet).await;
    let (tasks, count) = load(&fleet);
    while count.load(Ordering::Relaxed) < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..5 {
        assert_eq!(answers(&fleet).await, alone);
    }
    assert!(!tasks.is_empty());
    drop(tasks);
    assert_eq!(answers(&fleet).await, alone);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_with_eight_other_streams_running() {
    let fleet = Fleet::shared();
    let alone = fleet.write(generate(4)).await.unwrap().text();
    let mut others = Vec::new();
    for seed in 100..108 {
        let request = GenerateRequest { max_chars: Some(50_000), ..generate(seed) };
        let mut stream = fleet.text().generate(request).await.unwrap().into_inner();
        next_chunk(&mut stream).await.unwrap();
        others.push(stream);
    }
    assert_eq!(fleet.write(generate(4)).await.unwrap().text(), alone);
    for mut stream in others {
        // It ran all the while.
        next_chunk(&mut stream).await.unwrap();
    }
}
