//! What the gateway counts of the calls that it forwards.

use std::time::Duration;

use atelier_chassis::Metrics;
use atelier_gateway::{Gateway, GatewayConfig};

use crate::fleet::{Mortal, TEXT, nowhere, route, serving};
use crate::support::{Script, client, config, eventually, generate, next_text, score, text_role};

#[tokio::test]
async fn forwarded_calls_and_those_that_are_lost_are_counted_by_role() {
    let script = Script::default();
    let role = Mortal::start(text_role(&script, config(Duration::from_secs(10))), nowhere().await).await;
    let routes = vec![route("text", TEXT, role.address), route("codec", "test.v1.Down", nowhere().await)];
    let metrics = Metrics::default();
    let gateway = Gateway::new(GatewayConfig { routes, ..GatewayConfig::default() }).unwrap();
    let gateway = serving(gateway.metrics(&metrics)).await;
    let has = |line: &str| metrics.text().unwrap().lines().any(|own| own == line);
    let lost = |reason: &str, n: u8| {
        has(&format!("atelier_gateway_lost_total{{backend=\"text\",reason=\"{reason}\"}} {n}"))
    };
    let flying = |n: u8| has(&format!("atelier_gateway_in_flight{{backend=\"text\"}} {n}"));
    assert!(flying(0) && lost("unreachable", 0) && lost("broke_off", 0));
    assert!(has("atelier_gateway_forwarded_total{backend=\"codec\"} 0"));

    let mut client = client(gateway.address);
    assert_eq!(client.score(score("abc")).await.unwrap().into_inner().chars, 3);
    eventually("the call is over", || flying(0)).await;
    let mut stream = client.generate(generate("silent")).await.unwrap().into_inner();
    assert_eq!(next_text(&mut stream).await.unwrap().unwrap(), "first");
    assert!(flying(1), "a stream is under way until its end");
    let serving =
        |n: u8| has(&format!("atelier_gateway_service_serving{{backend=\"text\",service=\"{TEXT}\"}} {n}"));
    eventually("the role has said that it serves", || serving(1)).await;
    let others = [("codec", "test.v1.Down"), ("codec", "inference/codec"), ("text", "inference/text")];
    for (backend, service) in others {
        let labels = format!("backend=\"{backend}\",service=\"{service}\"");
        assert!(has(&format!("atelier_gateway_service_serving{{{labels}}} 0")), "{labels}");
    }

    role.kill().await;
    next_text(&mut stream).await.unwrap_err();
    drop(stream);
    client.score(score("x")).await.unwrap_err();
    eventually("all is over", || flying(0) && serving(0)).await;
    assert!(lost("broke_off", 1) && lost("unreachable", 1), "{}", metrics.text().unwrap());
    assert!(has("atelier_gateway_forwarded_total{backend=\"text\"} 3"));
    assert!(has(&format!(
        "atelier_request_duration_seconds_count{{role=\"gateway\",service=\"{TEXT}\",method=\"Score\",code=\"UNAVAILABLE\"}} 1"
    )));
}
