//! A real Prometheus scrapes the fleet, and takes its rules.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atelier_proto::text::v1::ScoreRequest;
use atelier_tests::{Start, shipped, workspace};
use serde_json::Value;

/// Prometheus itself, which Debian's package lays beside its promtool. Where there is none, the test is left out, and
/// says so.
fn find() -> Option<PathBuf> {
    let promtool = std::env::var_os("XTASK_PROMTOOL").map(PathBuf::from);
    let found = promtool.map(|promtool| promtool.with_file_name("prometheus")).filter(|path| path.exists());
    if found.is_none() {
        // Not by `eprintln!`, which shows nothing where a test passes.
        let missing = "XTASK_PROMTOOL names no promtool with a Prometheus beside it";
        let _ = writeln!(std::io::stderr(), "SKIPPED, not passed: {missing}");
    }
    found
}

/// Killed where it still runs when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of an answer over HTTP/1.0, which ends with its connection.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// The value of each series that a query gives.
fn query(prometheus: SocketAddr, query: &str) -> Vec<f64> {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let Some(body) = get(prometheus, &format!("/api/v1/query?query={escaped}")) else { return Vec::new() };
    let Ok(answer) = serde_json::from_str::<Value>(&body) else { return Vec::new() };
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    series.iter().map(|it| it["value"][1].as_str().unwrap().parse().unwrap()).collect()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "never {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_the_fleet_and_takes_its_rules() {
    let Some(program) = find() else { return };
    let (admin, own) = (free_port(), free_port());
    let fleet = Start::up(&shipped()).env("ATELIER_ADMIN__LISTEN", admin.to_string()).start();
    let score = async || {
        let request = ScoreRequest { text: "To be, or not to be".into(), ..Default::default() };
        fleet.text().score(request).await.unwrap();
    };
    score().await;
    let directory = tempfile::tempdir().unwrap();
    let rules = workspace().join("deploy/prometheus/rules.yaml");
    let config = format!(
        "global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}\n\
         rule_files: [{rules:?}]\n\
         scrape_configs: [{{job_name: atelier, static_configs: [{{targets: [\"{admin}\"]}}]}}]\n"
    );
    let file = directory.path().join("prometheus.yaml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
    command.arg(format!("--web.listen-address={own}"));
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let _prometheus = Process(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());

    eventually("is the fleet scraped", || query(own, "up{job=\"atelier\"}") == [1.0]);
    // A rate is of what grows from one scrape to the next.
    let of_step = "atelier_engine_compute_seconds_count{graph=\"step\"}";
    eventually("is the first call seen", || query(own, of_step).iter().any(|count| *count > 0.0));
    for _ in 0..6 {
        score().await;
    }
    let counted =
        "sum(atelier_request_duration_seconds_count{role=\"gateway\",method=\"Score\",code=\"OK\"})";
    eventually("are the calls counted", || query(own, counted) == [7.0]);
    assert_eq!(query(own, "atelier_ready{role=\"gateway\"}"), [1.0]);
    assert_eq!(query(own, "atelier_gateway_endpoints{backend=\"text\",state=\"in_use\"}"), [1.0]);
    let p99 = "histogram_quantile(0.99, sum by (le) (rate(atelier_engine_compute_seconds_bucket[1m])))";
    eventually("is there a quantile", || query(own, p99).iter().any(|it| it.is_finite() && *it > 0.0));
    let all_rules = || -> Vec<Value> {
        let body = get(own, "/api/v1/rules").and_then(|body| serde_json::from_str::<Value>(&body).ok());
        let groups = body.map(|body| body["data"]["groups"].clone());
        let groups = groups.and_then(|groups| groups.as_array().cloned()).unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    };
    eventually("are all rules evaluated", || {
        let rules = all_rules();
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
    });
    let firing: Vec<Value> = all_rules()
        .into_iter()
        .filter(|rule| rule["state"] == "firing")
        .map(|rule| rule["name"].clone())
        .collect();
    assert!(firing.is_empty(), "nothing is wrong with the fleet: {firing:?}");
}
