//! How long requests take, by method and code, and how many are under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramOpts};
use tonic::Code;

use super::Exposition;

/// What a method is called that is not known: so callers cannot make series by making up names.
const OTHER: &str = "other";

/// Upper bounds in seconds: from an answer out of memory to a stream of minutes.
const BOUNDS: [f64; 18] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];

/// Every code, in the order of its number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The meters of one role's server: one for each method there is, and nothing shared between them.
#[derive(Debug)]
pub struct Meters {
    role: String,
    by_path: HashMap<String, Arc<Meter>>,
    by_service: HashMap<String, Arc<Meter>>,
    other: Arc<Meter>,
}

#[derive(Debug)]
struct Meter {
    service: String,
    method: String,
    in_flight: AtomicI64,
    /// Made when the first request ends with that code.
    by_code: [OnceLock<Option<Histogram>>; CODES.len()],
}

impl Meters {
    /// For these services with their methods.
    pub fn new(role: &str, services: Vec<(String, Vec<String>)>) -> Self {
        let (mut by_path, mut by_service) = (HashMap::new(), HashMap::new());
        for (service, methods) in services {
            for method in methods {
                by_path.insert(format!("/{service}/{method}"), Meter::new(&service, &method));
            }
            let other = Meter::new(&service, OTHER);
            by_service.insert(service, other);
        }
        Self { role: role.to_owned(), by_path, by_service, other: Meter::new(OTHER, OTHER) }
    }

    /// A call of `path`, such as `/package.Service/Method`, begins.
    pub fn begin(&self, path: &str) -> Call {
        let service =
            || path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
        let meter = self.by_path.get(path).or_else(|| self.by_service.get(service()?)).unwrap_or(&self.other);
        meter.in_flight.fetch_add(1, Ordering::Relaxed);
        Call { meter: Arc::clone(meter), start: Instant::now() }
    }

    pub(crate) fn collect(&self, exposition: &mut Exposition) {
        let others = self.by_service.values().chain([&self.other]);
        for meter in self.by_path.values() {
            meter.collect(&self.role, exposition, true);
        }
        for meter in others {
            meter.collect(&self.role, exposition, false);
        }
    }
}

impl Meter {
    fn new(service: &str, method: &str) -> Arc<Self> {
        Arc::new(Self {
            service: service.to_owned(),
            method: method.to_owned(),
            in_flight: AtomicI64::new(0),
            by_code: [const { OnceLock::new() }; CODES.len()],
        })
    }

    fn observe(&self, code: Code, time: Duration) {
        let histogram = usize::try_from(code as i32).ok().and_then(|code| self.by_code.get(code));
        let make = || {
            let options = HistogramOpts::new("request_duration_seconds", "-").buckets(BOUNDS.to_vec());
            Histogram::with_opts(options).ok()
        };
        if let Some(Some(histogram)) = histogram.map(|histogram| histogram.get_or_init(make)) {
            histogram.observe(time.as_secs_f64());
        }
    }

    /// A method that there is shows even before its first call; another only when it was asked for.
    fn collect(&self, role: &str, exposition: &mut Exposition, known: bool) {
        let seen = self.by_code.iter().zip(CODES);
        let seen = seen.filter_map(|(kept, code)| Some((kept.get()?.as_ref()?, code)));
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let labels = [("role", role), ("service", &*self.service), ("method", &*self.method)];
        let mut any = known || in_flight != 0;
        for (histogram, code) in seen {
            any = true;
            let [role, service, method] = labels;
            exposition.observed(
                "atelier_request_duration_seconds",
                "Time of whole requests, to the end of the answer's body, in seconds.",
                &[role, service, method, ("code", code)],
                histogram,
            );
        }
        if any {
            exposition.gauge(
                "atelier_requests_in_flight",
                "Requests under way, streams until their end.",
                &labels,
                in_flight as f64,
            );
        }
    }
}

/// A call under way. Dropped, it is no longer.
#[derive(Debug)]
pub struct Call {
    meter: Arc<Meter>,
    start: Instant,
}

impl Call {
    /// It has ended with this code; how long it took.
    pub fn ended(&self, code: Code) -> Duration {
        let time = self.start.elapsed();
        self.meter.observe(code, time);
        time
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.meter.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(meters: &Meters) -> String {
        let mut exposition = Exposition::default();
        meters.collect(&mut exposition);
        exposition.text().unwrap()
    }

    #[test]
    fn a_path_that_a_caller_makes_up_makes_no_series() {
        let meters = Meters::new("test", vec![("a.A".into(), vec!["Do".into()])]);
        for path in ["/a.A/Do", "/a.A/Made", "/a.A/Up", "/b.B/Do", "nothing", "/"] {
            let _ = meters.begin(path).ended(Code::Ok);
        }
        let text = text(&meters);
        let count = |service: &str, method: &str| {
            let start = format!(
                "atelier_request_duration_seconds_count{{role=\"test\",service=\"{service}\",method=\"{method}\",code=\"OK\"}} "
            );
            text.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
        };
        assert_eq!(count("a.A", "Do").as_deref(), Some("1"), "{text}");
        assert_eq!(count("a.A", "other").as_deref(), Some("2"));
        assert_eq!(count("other", "other").as_deref(), Some("3"));
        assert_eq!(text.lines().filter(|line| line.contains("_count{")).count(), 3);
    }

    #[test]
    fn what_is_under_way_is_counted_until_it_is_dropped() {
        let meters = Meters::new("test", vec![("a.A".into(), vec!["Do".into()])]);
        let line = |n: u8| {
            format!("atelier_requests_in_flight{{role=\"test\",service=\"a.A\",method=\"Do\"}} {n}\n")
        };
        assert!(text(&meters).contains(&line(0)));
        let calls = [meters.begin("/a.A/Do"), meters.begin("/a.A/Do")];
        assert!(text(&meters).contains(&line(2)), "{}", text(&meters));
        drop(calls);
        assert!(text(&meters).contains(&line(0)));
        assert!(!text(&meters).contains("_count{"));
    }

    #[test]
    fn codes_are_in_the_order_of_their_numbers() {
        for (number, name) in (0..).zip(CODES) {
            let code = format!("{:?}", Code::from(number)).to_uppercase();
            assert_eq!(name.replace('_', ""), code);
        }
    }
}
