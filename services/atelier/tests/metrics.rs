//! The operator's port of a fleet, over real sockets: what it shows of requests that went in all the ways that
//! they can, and what can be changed there.

// Helpers stand outside of test functions, where clippy does not know them for tests.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

#[path = "metrics/door.rs"]
mod door;
#[path = "metrics/names.rs"]
mod names;
#[path = "metrics/promtool.rs"]
mod promtool;
#[path = "metrics/scrape.rs"]
mod scrape;

use door::Door;
use promtool::Promtool;

const TEXT: &str = "atelier.text.v1.TextService";

/// One slot and no place to wait: so that a second stream is refused.
const NARROW: [(&str, &str); 2] = [("ATELIER_ENGINE__SLOTS", "1"), ("ATELIER_ENGINE__WAITING", "0")];

#[test]
fn a_scrape_shows_every_request_once_by_how_it_ended_and_gauges_go_back() {
    let door = Door::up(&NARROW);
    let graph = [("model", "rnn"), ("version", "1"), ("graph", "step")];
    let ended = |reason: &str| {
        let [model, version, graph] = graph;
        door.scrape().sum("atelier_engine_requests_total", &[model, version, graph, ("reason", reason)])
    };
    let calls = |role: &str, code: &str| {
        let labels = [("role", role), ("service", TEXT), ("method", "Generate"), ("code", code)];
        door.scrape().sum("atelier_request_duration_seconds_count", &labels)
    };
    assert_eq!(door.scrape().sum("atelier_engine_slots", &graph), 1.0);

    door.text("12", &[]).ok();
    door.until("the first is counted", || calls("gateway", "OK") == 1.0 && calls("text", "OK") == 1.0);

    // It has the slot as long as nobody reads what it says.
    let held = door.stream();
    door.until("the slot is taken", || door.scrape().sum("atelier_engine_slots_used", &graph) == 1.0);
    let flying = [("role", "gateway"), ("service", TEXT)];
    assert_eq!(door.scrape().sum("atelier_requests_in_flight", &flying), 1.0);
    assert_eq!(door.scrape().sum("atelier_gateway_in_flight", &[("backend", "text")]), 1.0);
    let refused = door.text("12", &[]);
    assert_eq!(refused.code(), Some(5), "{}", refused.error());
    door.until("the refusal is counted", || ended("refused") >= 1.0);
    drop(held);
    door.until("the cut stream is counted", || ended("cancelled") == 1.0);
    door.until("the gateway has it too", || calls("gateway", "CANCELLED") == 1.0);

    assert_eq!(door.expire(), tonic::Code::DeadlineExceeded);
    door.until("the deadline is counted", || ended("expired") == 1.0);

    door.until("all is quiet", || {
        let scrape = door.scrape();
        let zero = |name: &str, labels: &[(&str, &str)]| scrape.sum(name, labels) == 0.0;
        zero("atelier_requests_in_flight", &[("service", TEXT)])
            && zero("atelier_gateway_in_flight", &[("backend", "text")])
            && zero("atelier_engine_slots_used", &graph)
            && zero("atelier_engine_running", &[])
            && zero("atelier_engine_queue_depth", &[])
            && zero("atelier_engine_oldest_queued_seconds", &[])
    });
    let scrape = door.scrape();
    assert_eq!((ended("answered"), ended("failed")), (1.0, 0.0));
    // Every stream that came in waited for a slot, and each step was one run of one row.
    let sum = |name: &str| scrape.sum(name, &graph);
    assert_eq!(sum("atelier_engine_queue_seconds_count"), 3.0);
    let batches = sum("atelier_engine_batches_total");
    assert!(batches > 12.0);
    assert_eq!(sum("atelier_engine_compute_seconds_count"), batches);
    assert_eq!(sum("atelier_engine_rows_total"), batches);
    assert_eq!(sum("atelier_engine_padding_rows_total"), 0.0);
    for code in ["OK", "RESOURCE_EXHAUSTED", "CANCELLED"] {
        assert!(calls("gateway", code) >= 1.0, "{code}: {}", scrape.text());
    }
    assert_eq!(scrape.sum("atelier_ready", &[("role", "gateway")]), 1.0);
    assert_eq!(scrape.sum("atelier_draining", &[]), 0.0);
    let provider = [("model", "rnn"), ("provider", "cpu")];
    assert_eq!(scrape.sum("atelier_engine_provider_info", &provider), 1.0);
    let on = [("provider", "cpu"), ("device", "cpu")];
    let (cores, limit) =
        (scrape.sum("atelier_engine_cores", &on), scrape.sum("atelier_engine_threads_limit", &on));
    let threads = scrape.sum("atelier_engine_session_threads", &graph);
    assert!(1.0 <= threads && threads <= limit && limit <= cores, "{threads} of {limit} of {cores}");
    assert_eq!(scrape.sum("atelier_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(scrape.sum("process_resident_memory_bytes", &[]) > 1e6);
    let healthy = scrape.sum("atelier_engine_workers_healthy", &[]);
    assert!(healthy > 0.0 && healthy == scrape.sum("atelier_engine_workers", &[]));
}

#[test]
fn a_picture_that_is_drawn_shows_what_its_encoding_took() {
    let door = Door::with_pictures();
    let stage = |stage: &str| door.scrape().sum("atelier_picture_seconds_count", &[("stage", stage)]);
    assert_eq!((stage("encode"), stage("wait")), (0.0, 0.0));
    door.picture().ok();
    assert_eq!((stage("decode"), stage("encode"), stage("wait")), (0.0, 1.0, 1.0));
}

#[test]
fn prometheus_own_judge_finds_nothing_wrong_with_a_scrape() {
    let Some(promtool) = Promtool::find() else { return };
    let door = Door::up(&[]);
    door.text("12", &[]).ok();
    promtool.check_metrics(door.scrape().text());
}

#[test]
fn the_log_filter_is_shown_set_and_kept_where_a_new_one_is_malformed() {
    let door = Door::up(&[]);
    let log = || std::fs::read_to_string(door.log()).unwrap();
    assert_eq!(door.get("/log"), (200, "info\n".to_owned()));
    door.text("12", &[]).ok();
    assert!(!log().contains("a stream came to its end"), "that is logged as debug");

    let filter = "info,atelier_engine=debug";
    assert_eq!(door.ask("PUT", "/log", filter).0, 200);
    let (_, shown) = door.get("/log");
    assert!(shown.contains("atelier_engine=debug") && shown.contains("info"), "{shown}");
    door.text("12", &[]).ok();
    door.until("the end of the stream is logged", || log().contains("a stream came to its end"));

    for (wrong, words) in [("atelier=loud", "atelier=loud"), ("", "is empty"), ("\u{0}[", "filter")] {
        let (status, line) = door.ask("PUT", "/log", wrong);
        assert_eq!((status, line.lines().count()), (400, 1), "{wrong:?}: {line}");
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(door.ask("PUT", "/log", &"x".repeat(5000)).0, 400);
    assert_eq!(door.get("/log").1, shown, "a filter that is refused changes nothing");
    assert_eq!(door.ask("PUT", "/log", "off").0, 200);
    let before = log().len();
    door.text("12", &[]).ok();
    assert_eq!(log().len(), before, "nothing is logged any more");
}

#[test]
fn the_queues_are_json_with_every_graph_and_the_stream_in_its_slot() {
    let door = Door::up(&[]);
    let held = door.stream();
    let (status, text) = door.get("/debug/queues");
    let dump: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    let graphs = dump["graphs"].as_array().unwrap();
    let rnn = graphs.iter().find(|graph| graph["model"] == "rnn").unwrap();
    assert_eq!((&rnn["running"], &rnn["slots"], &rnn["queued"]), (&1.into(), &32.into(), &0.into()));
    assert_eq!((&rnn["device"], &rnn["graph"], &rnn["version"]), (&"cpu".into(), &"step".into(), &1.into()));
    assert!(graphs.len() >= 3, "{text}");
    drop(held);
}

#[test]
fn what_there_is_not_is_404_and_a_wrong_method_405() {
    let door = Door::up(&[]);
    assert_eq!(door.get("/").0, 404);
    assert_eq!(door.ask("POST", "/metrics", "").0, 405);
    assert_eq!(door.ask("PUT", "/debug/queues", "").0, 405);
    assert_eq!(door.ask("DELETE", "/log", "").0, 405);
    assert_eq!(door.get("/metrics").0, 200);
}

#[test]
fn a_drain_is_seen_on_the_operators_port_until_the_process_ends() {
    let door = Door::up(&[("ATELIER_SERVER__SHUTDOWN__DRAIN", "20s")]);
    let held = door.stream();
    door.signal();
    door.until("the gateway says that it drains", || {
        let scrape = door.scrape();
        scrape.sum("atelier_draining", &[("role", "gateway")]) == 1.0
            && scrape.sum("atelier_ready", &[("role", "gateway")]) == 0.0
    });
    let scrape = door.scrape();
    assert!(scrape.sum("atelier_drain_seconds", &[("role", "gateway")]) > 0.0);
    assert_eq!(scrape.sum("atelier_drain_limit_seconds", &[("role", "gateway")]), 20.0);
    drop(held);
    assert_eq!(door.wait(), Some(0));
}

#[test]
fn every_metric_in_rules_dashboards_and_the_readme_is_one_that_a_scrape_has() {
    let door = Door::up(&[]);
    door.text("12", &[]).ok();
    let mut known = door.scrape().names();
    let pictures = Door::with_pictures();
    pictures.picture().ok();
    known.extend(pictures.scrape().names());
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.toml");
    std::fs::write(&keys, format!("[[key]]\nname = \"ci\"\nsha256 = \"{}\"\n", "0".repeat(64))).unwrap();
    let guarded = Door::up(&[("ATELIER_ACCESS__KEYS", keys.to_str().unwrap())]);
    known.extend(guarded.scrape().names());
    let used = names::used();
    assert!(used.len() >= 20, "{used:?}");
    for (name, file) in &used {
        assert!(known.contains(name), "{file} uses {name}, which no scrape has: {known:?}");
    }
    for name in known.iter().filter(|name| name.starts_with("atelier_")) {
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
        let family = format!("`{}`", suffix.unwrap_or(name));
        assert!(names::readme().contains(&family), "README.md does not tell of {family}");
    }
}

#[test]
fn the_alerts_fire_when_they_should_and_not_before() {
    let Some(promtool) = Promtool::find() else { return };
    promtool.test_rules();
}
