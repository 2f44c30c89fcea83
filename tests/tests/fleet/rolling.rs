//! Every process of a fleet is restarted in turn, under load, and no call is lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atelier_proto::audio::v1::SynthesizeRequest;
use atelier_proto::audio::v1::audio_service_client::AudioServiceClient;
use atelier_proto::codec::v1::SampleRequest;
use atelier_proto::codec::v1::codec_service_client::CodecServiceClient;
use atelier_proto::image::v1::GenerateRequest as DrawRequest;
use atelier_proto::image::v1::image_service_client::ImageServiceClient;
use atelier_proto::text::v1::text_service_client::TextServiceClient;
use atelier_proto::text::v1::{GenerateRequest, ScoreRequest};
use atelier_tests::client::{finish, transport};
use atelier_tests::models::Models;
use atelier_tests::{Fleet, Start};
use tokio::task::JoinSet;
use tonic::{Code, Status};

const ROLES: [(&str, &str); 4] = [
    ("codec", "fashion-vae"),
    ("image", "fashion-dcgan"),
    ("text", "shakespeare-rnn"),
    ("audio", "digits-wavenet"),
];

/// Calls that go on without a pause, to whichever gateway.
#[derive(Clone)]
struct Load {
    gateways: Arc<[SocketAddr; 2]>,
    answered: Arc<AtomicUsize>,
    /// Calls that the first gateway did not take, so that they went to the other.
    switched: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
}

/// One call of each kind.
#[derive(Debug, Clone, Copy)]
enum Call {
    Sample,
    Draw,
    Score,
    Write,
    Speak,
}

impl Call {
    const ALL: [Self; 5] = [Self::Sample, Self::Draw, Self::Score, Self::Write, Self::Speak];

    async fn send(self, gateway: SocketAddr, seed: u64) -> Result<(), Status> {
        let origin: http::Uri = format!("http://{gateway}").parse().unwrap();
        match self {
            Self::Sample => {
                let request = SampleRequest { count: Some(1), seed, ..Default::default() };
                CodecServiceClient::with_origin(transport(), origin).sample(request).await.map(drop)
            }
            Self::Draw => {
                let request = DrawRequest { count: Some(1), seed, ..Default::default() };
                ImageServiceClient::with_origin(transport(), origin).generate(request).await.map(drop)
            }
            Self::Score => {
                let request = ScoreRequest { text: "To be, or not".into(), ..Default::default() };
                TextServiceClient::with_origin(transport(), origin).score(request).await.map(drop)
            }
            Self::Write => {
                let request = GenerateRequest { seed, max_chars: Some(60), ..Default::default() };
                let mut client = TextServiceClient::with_origin(transport(), origin);
                let written = finish(client.generate(request).await?.into_inner()).await?;
                assert_eq!(written.finished.chars, 60);
                Ok(())
            }
            Self::Speak => {
                let request = SynthesizeRequest { text: "1".into(), seed, ..Default::default() };
                let mut client = AudioServiceClient::with_origin(transport(), origin);
                let mut stream = client.synthesize(request).await?.into_inner();
                while stream.message().await?.is_some() {}
                Ok(())
            }
        }
    }
}

impl Load {
    fn start(gateways: [SocketAddr; 2]) -> (Self, JoinSet<()>) {
        let (answered, switched, failed) = (Arc::default(), Arc::default(), Arc::default());
        let load = Self { gateways: Arc::new(gateways), answered, switched, failed };
        let mut tasks = JoinSet::new();
        for (caller, call) in Call::ALL.into_iter().cycle().take(10).enumerate() {
            let load = load.clone();
            tasks.spawn(async move {
                for seed in 1.. {
                    load.call(call, caller, seed).await;
                }
            });
        }
        (load, tasks)
    }

    /// As a client does that knows both gateways: to the other where one says UNAVAILABLE or cannot be reached.
    async fn call(&self, call: Call, caller: usize, seed: u64) {
        let mut last = None;
        for attempt in 0..4 {
            match call.send(self.gateways[(caller + attempt) % 2], seed).await {
                Ok(()) => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                // Unknown is what a connection that is refused becomes in this client.
                Err(status) if matches!(status.code(), Code::Unavailable | Code::Unknown) => {
                    self.switched.fetch_add(1, Ordering::SeqCst);
                    last = Some(status);
                }
                Err(status) => {
                    last = Some(status);
                    break;
                }
            }
        }
        self.failed.lock().unwrap().push(format!("{call:?}: {last:?}"));
    }

    async fn more(&self, count: usize) {
        let (start, before) = (Instant::now(), self.answered.load(Ordering::SeqCst));
        while self.answered.load(Ordering::SeqCst) < before + count {
            assert!(start.elapsed() < Duration::from_secs(120), "the fleet answers no more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn assert_none_failed(&self) {
        let failed = self.failed.lock().unwrap();
        assert!(failed.is_empty(), "{} calls failed, the first: {}", failed.len(), failed[0]);
    }
}

fn quick(start: Start) -> Start {
    // Longer than it takes a gateway to hear of it; a cluster's balancer would need seconds.
    start.env("ATELIER_SERVER__SHUTDOWN__NOT_READY_WAIT", "300ms")
}

/// Stops a process, and starts its like at its address.
fn restart(place: &mut Option<Fleet>, new: impl FnOnce(&str) -> Start) {
    tokio::task::block_in_place(|| {
        let old = place.take().unwrap();
        let address = old.address().to_string();
        old.signal("TERM");
        assert_eq!(old.wait(), Some(0), "it drained");
        *place = Some(new(&address).start());
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_every_service_under_load_fails_no_call() {
    let models = Models::new();
    for (_, package) in ROLES {
        models.copy(package, 1);
    }
    let role = |name: &'static str, listen: &str| {
        quick(Start::role(name, models.path(), listen)).env("ATELIER_ENGINE__PARALLELISM", "1")
    };
    let anywhere = "127.0.0.1:0";
    let mut roles: Vec<(&'static str, [Option<Fleet>; 2])> = ROLES
        .into_iter()
        .map(|(name, _)| (name, [(); 2].map(|()| Some(role(name, anywhere).start()))))
        .collect();
    let address = |place: &Option<Fleet>| place.as_ref().unwrap().address();
    let routes: Vec<(&'static str, Vec<SocketAddr>)> =
        roles.iter().map(|(name, pair)| (*name, pair.iter().map(address).collect())).collect();
    let gateway = |listen: &str| quick(Start::balanced(listen, &routes));
    let mut gateways = [(); 2].map(|()| Some(gateway(anywhere).start()));
    for gateway in gateways.iter().flatten() {
        for service in
            ["codec.v1.CodecService", "image.v1.ImageService", "text.v1.TextService", "audio.v1.AudioService"]
        {
            let start = Instant::now();
            while gateway.is_serving(&format!("atelier.{service}")).await != Some(true) {
                assert!(start.elapsed() < Duration::from_secs(30), "{service} is not served");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    let (load, _calls) = Load::start([address(&gateways[0]), address(&gateways[1])]);
    load.more(50).await;

    for (name, pair) in &mut roles {
        for place in pair {
            restart(place, |address| role(name, address));
            load.more(30).await;
            load.assert_none_failed();
        }
    }
    assert_eq!(load.switched.load(Ordering::SeqCst), 0, "the gateways hid every restart behind them");

    for place in &mut gateways {
        restart(place, gateway);
        load.more(30).await;
        load.assert_none_failed();
    }
    let (answered, switched) = (load.answered.load(Ordering::SeqCst), load.switched.load(Ordering::SeqCst));
    println!("{answered} calls answered, {switched} of them by the other gateway, none failed");
}
