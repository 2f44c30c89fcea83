//! TLS, as clients meet it.

use std::time::Duration;

use atelier_chassis::tls::{ClientTls, TlsConfig};
use atelier_chassis::{Server, ServerConfig};
use atelier_proto::text::v1::text_service_client::TextServiceClient;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

use crate::authority::Authority;
use crate::support::{Running, Script, client, config, eventually, generate, next_text, score, text_role};

fn with_tls(tls: TlsConfig) -> ServerConfig {
    ServerConfig { tls, ..config(Duration::from_secs(10)) }
}

async fn start(tls: TlsConfig) -> Running {
    Running::start(text_role(&Script::default(), with_tls(tls))).await
}

async fn connect(server: &Running, tls: &ClientTls) -> Result<TextServiceClient<Channel>, String> {
    let address = format!("https://localhost:{}", server.address.port());
    let endpoint = Endpoint::from_shared(address).unwrap().tls_config(tls.load().unwrap()).unwrap();
    match endpoint.connect().await {
        Ok(channel) => Ok(TextServiceClient::new(channel)),
        Err(error) => Err(format!("{error:?}")),
    }
}

/// Whether a whole call goes through: with TLS 1.3 a client learns that it was refused from its first read.
async fn call(server: &Running, tls: &ClientTls) -> Result<(), String> {
    let mut client = connect(server, tls).await?;
    client.score(score("abc")).await.map(|_| ()).map_err(|status| format!("{status:?}"))
}

#[tokio::test]
async fn a_client_that_believes_the_authority_is_served_and_others_are_not() {
    let authority = Authority::new();
    authority.issue("tls", "localhost");
    let server = start(authority.server("tls", None)).await;
    call(&server, &authority.client()).await.unwrap();
    assert!(client(server.address).score(score("abc")).await.is_err(), "plaintext is not spoken");
    let other = call(&server, &Authority::new().client()).await.unwrap_err();
    assert!(other.contains("InvalidCertificate"), "{other}");
    call(&server, &authority.client()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_by_the_client() {
    let authority = Authority::new();
    authority.issue("tls", "elsewhere");
    let server = start(authority.server("tls", None)).await;
    let refused = call(&server, &authority.client()).await.unwrap_err();
    assert!(refused.contains("NotValidForName"), "{refused}");
    let named = ClientTls { domain: Some("elsewhere".into()), ..authority.client() };
    call(&server, &named).await.unwrap();
}

#[tokio::test]
async fn with_mutual_tls_only_clients_of_the_authority_are_served() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    authority.issue("tls", "localhost");
    authority.issue("caller", "caller");
    foreign.issue("caller", "caller");
    let server = start(authority.server("tls", Some(&authority.path("ca.crt")))).await;
    call(&server, &authority.client_named("caller", &authority)).await.unwrap();
    assert!(call(&server, &authority.client()).await.is_err(), "no certificate");
    assert!(
        call(&server, &authority.client_named("caller", &foreign)).await.is_err(),
        "of another authority"
    );
    call(&server, &authority.client_named("caller", &authority)).await.unwrap();
}

#[tokio::test]
async fn new_files_are_for_new_connections_and_old_connections_go_on() {
    let (first, second) = (Authority::new(), Authority::new());
    first.issue("tls", "localhost");
    second.issue("tls", "localhost");
    let server = start(first.server("tls", None)).await;
    let mut before = connect(&server, &first.client()).await.unwrap();
    let mut stream = before.generate(generate("pause 2000")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");

    // What is damaged changes nothing.
    std::fs::write(first.path("tls.crt"), "damaged").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    call(&server, &first.client()).await.unwrap();

    for ending in ["key", "crt"] {
        let name = format!("tls.{ending}");
        std::fs::copy(second.path(&name), first.path(&name)).unwrap();
    }
    let mut taken = false;
    for _ in 0..500 {
        taken = call(&server, &second.client()).await.is_ok();
        if taken {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(taken, "the new certificate was never shown");
    assert!(call(&server, &first.client()).await.is_err(), "the old certificate is shown no more");
    before.score(score("abc")).await.unwrap();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "last");
}

#[tokio::test]
async fn a_peer_that_opens_no_tls_or_says_nothing_over_it_holds_nobody_up() {
    let authority = Authority::new();
    authority.issue("tls", "localhost");
    let server = start(authority.server("tls", None)).await;
    let _silent: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(server.address).unwrap()).collect();
    let connector = authority.client().renewal().unwrap().connector("localhost").unwrap();
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let _over_tls = connector.connect(stream).await.unwrap();
    call(&server, &authority.client()).await.unwrap();
    let stopping = server.begin_stop();
    let mut stopped = false;
    eventually("the drain does not wait for them", || {
        stopped = stopped || stopping.is_finished();
        stopped
    })
    .await;
}

#[tokio::test]
async fn a_server_whose_files_cannot_be_used_does_not_start() {
    let authority = Authority::new();
    authority.issue("tls", "localhost");
    authority.issue("other", "localhost");
    let mixed = TlsConfig { key: Some(authority.path("other.key")), ..authority.server("tls", None) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new("text", with_tls(mixed));
    let error = server.serve(listener, std::future::pending()).await.unwrap_err().to_string();
    assert!(error.starts_with("server.tls.key: ") && error.contains("does not belong"), "{error}");
}
