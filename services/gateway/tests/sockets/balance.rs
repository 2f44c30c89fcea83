//! A role of several processes: who gets a call, and what becomes of it where one of them goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier_chassis::tls::ClientTls;
use atelier_chassis::{Metrics, Response, Server, ServerConfig, ServiceError};
use atelier_gateway::{Gateway, GatewayConfig, Route};
use tokio::task::JoinSet;
use tonic::Code;
use tower::service_fn;

use crate::authority::Authority;
use crate::fleet::{Mortal, TEXT, gateway, nowhere, serving};
use crate::support::{Running, Script, client, config, eventually, generate, next_text, score, text_role};

fn role(script: &Script) -> Server {
    text_role(script, config(Duration::from_secs(10)))
}

fn route(addresses: impl IntoIterator<Item = SocketAddr>) -> Route {
    let uris: Vec<String> = addresses.into_iter().map(|address| format!("http://{address}")).collect();
    Route { role: "text".into(), services: vec![TEXT.into()], uri: uris.join(",") }
}

/// Calls without a pause until the set is dropped; how many were answered, and how the others ended.
#[derive(Clone, Default)]
struct Load {
    answered: Arc<AtomicUsize>,
    failed: Arc<std::sync::Mutex<Vec<tonic::Status>>>,
}

impl Load {
    fn start(&self, address: SocketAddr, callers: usize) -> JoinSet<()> {
        let mut set = JoinSet::new();
        for _ in 0..callers {
            let (load, mut client) = (self.clone(), client(address));
            set.spawn(async move {
                loop {
                    match client.score(score("sleep 1")).await {
                        Ok(_) => drop(load.answered.fetch_add(1, Ordering::SeqCst)),
                        Err(status) => load.failed.lock().unwrap().push(status),
                    }
                }
            });
        }
        set
    }

    /// Waits for so many more answers.
    async fn more(&self, count: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        eventually("more calls are answered", || self.answered.load(Ordering::SeqCst) >= before + count)
            .await;
    }

    fn assert_none_failed(&self) {
        let failed = self.failed.lock().unwrap();
        assert!(failed.is_empty(), "{} calls failed: {:?}", failed.len(), failed[0]);
    }
}

#[tokio::test]
async fn calls_go_to_the_endpoint_that_is_less_busy() {
    let (one, two) = (Script::default(), Script::default());
    let (first, second) = (Running::start(role(&one)).await, Running::start(role(&two)).await);
    let gateway = gateway(vec![route([first.address, second.address])]).await;
    eventually("both have said that they serve", || gateway.health.is_serving(TEXT) == Some(true)).await;
    let mut client = client(gateway.address);
    let mut streams = Vec::new();
    for open in 1..=20_usize {
        let mut stream = client.generate(generate("silent")).await.unwrap().into_inner();
        next_text(&mut stream).await.unwrap();
        streams.push(stream);
        assert!(one.begun().abs_diff(two.begun()) <= 1 + usize::from(open == 1), "as many here as there");
    }
    assert_eq!((one.begun(), two.begun()), (10, 10));
}

#[tokio::test]
async fn an_endpoint_that_is_killed_under_load_takes_no_call_with_it() {
    let (one, two) = (Script::default(), Script::default());
    let first = Mortal::start(role(&one), nowhere().await).await;
    let second = Running::start(role(&two)).await;
    let gateway = gateway(vec![route([first.address, second.address])]).await;
    let load = Load::default();
    let _calls = load.start(gateway.address, 8);
    load.more(200).await;
    assert!(one.begun() > 50 && two.begun() > 50, "{} and {}", one.begun(), two.begun());
    let address = first.address;
    first.kill().await;
    load.more(200).await;
    let again = Mortal::start(role(&one), address).await;
    let before = one.begun();
    eventually("it is used again", || one.begun() > before + 20).await;
    load.assert_none_failed();
    again.kill().await;
    load.more(200).await;
    load.assert_none_failed();
}

/// How long it may take is its deadline's to say.
#[tokio::test]
async fn a_call_that_is_lost_late_is_sent_again_too() {
    let (one, two) = (Script::default(), Script::default());
    let first = Mortal::start(role(&one), nowhere().await).await;
    let second = Mortal::start(role(&two), nowhere().await).await;
    let routes = vec![route([first.address, second.address])];
    let connect_timeout_ms = 300;
    let config = GatewayConfig { routes, connect_timeout_ms, ..GatewayConfig::default() };
    let gateway = serving(Gateway::new(config).unwrap()).await;
    let address = gateway.address;
    let call = tokio::spawn(async move { client(address).score(score("sleep 2000")).await });
    eventually("the call is under way", || one.begun() + two.begun() == 1).await;
    tokio::time::sleep(Duration::from_millis(2 * connect_timeout_ms)).await;
    let taker = if one.begun() == 1 { first } else { second };
    taker.kill().await;
    call.await.unwrap().unwrap();
    assert_eq!(one.begun() + two.begun(), 2);
}

#[tokio::test]
async fn endpoints_that_are_restarted_in_turn_take_no_call_with_them() {
    let script = Script::default();
    let mut first = Running::start(role(&script)).await;
    let mut second = Running::start(role(&script)).await;
    let addresses = [first.address, second.address];
    let gateway = gateway(vec![route(addresses)]).await;
    let load = Load::default();
    let _calls = load.start(gateway.address, 8);
    for _ in 0..3 {
        for running in [&mut first, &mut second] {
            load.more(100).await;
            let address = running.address;
            let next = replace(running, address, &script).await;
            assert_eq!(next.cut, 0);
        }
    }
    load.more(100).await;
    load.assert_none_failed();
}

/// Stops a role and starts another at its address.
async fn replace(running: &mut Running, address: SocketAddr, script: &Script) -> atelier_chassis::Drained {
    let spare = Running::start(role(script)).await;
    let drained = std::mem::replace(running, spare).stop().await;
    let server = role(script);
    let health = server.health();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    *running = Running::run_on(listener, health, |listener, stop| async move {
        server.serve(listener, stop).await.unwrap()
    });
    drained
}

#[tokio::test]
async fn an_endpoint_that_says_it_does_not_serve_is_spared() {
    let (one, two) = (Script::default(), Script::default());
    let (first, second) = (Running::start(role(&one)).await, Running::start(role(&two)).await);
    let gateway = gateway(vec![route([first.address, second.address])]).await;
    let mut client = client(gateway.address);
    first.health.set(TEXT, false);
    // The gateway hears of it a moment later.
    let mut quiet = 0;
    for _ in 0..2000 {
        let before = one.begun();
        client.score(score("x")).await.unwrap();
        quiet = if one.begun() == before { quiet + 1 } else { 0 };
        if quiet == 50 {
            break;
        }
    }
    assert_eq!(quiet, 50, "calls still go there");
    first.health.set(TEXT, true);
    second.health.set(TEXT, false);
    let before = one.begun();
    for _ in 0..2000 {
        client.score(score("x")).await.unwrap();
        if one.begun() > before + 50 {
            break;
        }
    }
    assert!(one.begun() > before + 50, "and is used again when it serves");
}

#[tokio::test]
async fn an_endpoint_whose_answers_are_faults_is_left_alone() {
    let faults = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&faults);
    let broken = service_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let answer: Response = ServiceError::internal("the disk is gone").into_response();
        std::future::ready(Ok::<_, std::convert::Infallible>(answer))
    });
    let server = Server::new("text", config(Duration::from_secs(10))).add_name(TEXT).fallback(broken);
    server.health().set_ready();
    let (broken, good) = (Running::start(server).await, Running::start(role(&Script::default())).await);
    let metrics = Metrics::default();
    let routes = vec![route([broken.address, good.address])];
    let gateway = Gateway::new(GatewayConfig { routes, ..GatewayConfig::default() }).unwrap();
    let gateway = serving(gateway.metrics(&metrics)).await;
    let mut client = client(gateway.address);
    let mut codes = Vec::new();
    for _ in 0..300 {
        codes.push(client.score(score("x")).await.map_or_else(|status| status.code(), |_| Code::Ok));
    }
    let failed = codes.iter().filter(|code| **code == Code::Internal).count();
    // A fault is the caller's to have: the call was taken, and it may be the call's fault.
    assert_eq!((failed, faults.load(Ordering::SeqCst)), (5, 5), "{codes:?}");
    let text = metrics.text().unwrap();
    for line in [
        "atelier_gateway_ejections_total{backend=\"text\"} 1",
        "atelier_gateway_endpoints{backend=\"text\",state=\"ejected\"} 1",
        "atelier_gateway_endpoints{backend=\"text\",state=\"in_use\"} 1",
        "atelier_gateway_retries_total{backend=\"text\",reason=\"lost\"} 0",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn calls_are_not_sent_again_without_end_where_every_endpoint_declines() {
    let calls = Arc::new(AtomicUsize::new(0));
    let decline = || {
        let count = Arc::clone(&calls);
        let decline = service_fn(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let answer: Response = ServiceError::unavailable("draining").into_response();
            std::future::ready(Ok::<_, std::convert::Infallible>(answer))
        });
        let server = Server::new("text", config(Duration::from_secs(10))).add_name(TEXT).fallback(decline);
        server.health().set_ready();
        server
    };
    let roles = [
        Running::start(decline()).await,
        Running::start(decline()).await,
        Running::start(decline()).await,
        Running::start(decline()).await,
    ];
    let gateway = gateway(vec![route(roles.iter().map(|role| role.address))]).await;
    let mut client = client(gateway.address);
    for _ in 0..1000 {
        let status = client.score(score("x")).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "draining"), "as the role says it");
    }
    // The first is free, a fifth of all, and a few a second.
    let calls = calls.load(Ordering::SeqCst);
    assert!((1001..1500).contains(&calls), "{calls} for 1000");
}

#[tokio::test]
async fn a_name_is_looked_up_and_what_does_not_answer_there_is_passed_over() {
    let script = Script::default();
    let role = Running::start(role(&script)).await;
    // It may stand for ::1 too, where nobody is.
    let uri = format!("http://localhost:{}", role.address.port());
    let route = Route { role: "text".into(), services: vec![TEXT.into()], uri };
    let gateway = gateway(vec![route]).await;
    let mut client = client(gateway.address);
    for _ in 0..20 {
        assert_eq!(client.score(score("abc")).await.unwrap().into_inner().chars, 3);
    }
}

#[tokio::test]
async fn a_name_that_stands_for_nothing_is_unavailable() {
    let uri = "http://no-such-host.invalid:1".to_owned();
    let route = Route { role: "text".into(), services: vec![TEXT.into()], uri };
    let gateway = gateway(vec![route]).await;
    let status = client(gateway.address).score(score("abc")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the text role cannot be reached"));
}

#[tokio::test]
async fn roles_that_speak_tls_are_called_by_the_name_of_the_route_and_shown_the_gateways_certificate() {
    let authority = Authority::new();
    authority.issue("role", "localhost");
    authority.issue("gateway", "gateway");
    let tls = authority.server("role", Some(&authority.path("ca.crt")));
    let server = text_role(&Script::default(), ServerConfig { tls, ..config(Duration::from_secs(10)) });
    let role = Running::start(server).await;
    let through = async |host: &str, upstream_tls| {
        let uri = format!("https://{host}:{}", role.address.port());
        let routes = vec![Route { role: "text".into(), services: vec![TEXT.into()], uri }];
        let config = GatewayConfig { routes, upstream_tls, ..GatewayConfig::default() };
        let gateway = serving(Gateway::new(config).unwrap()).await;
        client(gateway.address).score(score("abc")).await.map(|answer| answer.into_inner().chars)
    };
    let shown = authority.client_named("gateway", &authority);
    assert_eq!(through("localhost", shown.clone()).await.unwrap(), 3);
    let by_address = through("127.0.0.1", shown.clone()).await.unwrap_err();
    assert_eq!(by_address.code(), Code::Unavailable, "the certificate is not of this name");
    let named = ClientTls { domain: Some("localhost".into()), ..shown };
    assert_eq!(through("127.0.0.1", named).await.unwrap(), 3);
    let nothing_shown = through("localhost", authority.client()).await.unwrap_err();
    assert_eq!(nothing_shown.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_certificate_that_is_replaced_on_disk_is_shown_to_roles_from_the_next_connection_on() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("role", "localhost");
    // What the gateway begins with is of an authority that the role does not believe.
    other.issue("gateway", "gateway");
    let tls = authority.server("role", Some(&authority.path("ca.crt")));
    let server = text_role(&Script::default(), ServerConfig { tls, ..config(Duration::from_secs(10)) });
    let role = Running::start(server).await;
    let uri = format!("https://localhost:{}", role.address.port());
    let routes = vec![Route { role: "text".into(), services: vec![TEXT.into()], uri }];
    let shown = authority.client_named("gateway", &other);
    let upstream_tls = ClientTls { reload: Duration::from_millis(20), ..shown };
    let config = GatewayConfig { routes, upstream_tls, ..GatewayConfig::default() };
    let gateway = serving(Gateway::new(config).unwrap()).await;
    let mut client = client(gateway.address);
    assert_eq!(client.score(score("abc")).await.unwrap_err().code(), Code::Unavailable);

    authority.issue("renewed", "gateway");
    for kind in ["key", "crt"] {
        std::fs::copy(authority.path(&format!("renewed.{kind}")), other.path(&format!("gateway.{kind}")))
            .unwrap();
    }
    let answered = async {
        while client.score(score("abc")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered)
        .await
        .expect("it shows the old certificate still");
}
