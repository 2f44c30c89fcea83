//! What each path answers.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};

use super::{ARRIVE, Admin};

/// No filter is longer.
const MAX_FILTER_BYTES: usize = 4 << 10;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

type Answer = Response<Full<Bytes>>;

/// Answers one request.
pub(super) async fn answer<B>(admin: &Admin, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let method = request.method().clone();
    match (request.uri().path(), &method) {
        ("/metrics", &Method::GET) => match admin.metrics.text() {
            Ok(text) => answer_with(StatusCode::OK, prometheus::TEXT_FORMAT, text),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                say(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written; see the log")
            }
        },
        ("/debug/queues", &Method::GET) => {
            answer_with(StatusCode::OK, JSON, format!("{:#}\n", admin.queues.dump()))
        }
        ("/livez", &Method::GET) => say(StatusCode::OK, "alive"),
        ("/readyz", &Method::GET) => match admin.probes.is_ready() {
            true => say(StatusCode::OK, "ready"),
            false => say(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        },
        ("/log", &Method::GET) => match &admin.log {
            Some(log) => say(StatusCode::OK, &log.current()),
            None => no_log(),
        },
        ("/log", &Method::PUT) => set_log(admin, request.into_body()).await,
        ("/metrics" | "/debug/queues" | "/livez" | "/readyz", _) => not_allowed("GET"),
        ("/log", _) => not_allowed("GET, PUT"),
        _ => say(StatusCode::NOT_FOUND, "there is /metrics, /debug/queues, /livez, /readyz and /log"),
    }
}

async fn set_log<B>(admin: &Admin, body: B) -> Answer
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let Some(log) = &admin.log else { return no_log() };
    let body = match tokio::time::timeout(ARRIVE, Limited::new(body, MAX_FILTER_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return bad(&format!("the filter must come whole, with {MAX_FILTER_BYTES} bytes at most"));
        }
        Err(_) => return say(StatusCode::REQUEST_TIMEOUT, "the filter took too long to arrive"),
    };
    let Ok(filter) = std::str::from_utf8(&body) else { return bad("the filter is not UTF-8") };
    let filter = filter.trim();
    if filter.is_empty() {
        return bad("the filter is empty; \"off\" logs nothing");
    }
    let before = log.current();
    if let Err(error) = log.set(filter) {
        let behind = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
        return bad(&format!("{error}{behind}"));
    }
    tracing::warn!(before, filter, "the log filter was changed");
    say(StatusCode::OK, &log.current())
}

fn no_log() -> Answer {
    say(StatusCode::NOT_FOUND, "the log of this process has no filter")
}

fn bad(message: &str) -> Answer {
    say(StatusCode::BAD_REQUEST, message)
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, &format!("must be {methods}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// One line of text.
fn say(status: StatusCode, line: &str) -> Answer {
    answer_with(status, TEXT, format!("{}\n", line.replace(['\r', '\n'], " ")))
}

fn answer_with(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(method: &str, path: &str) -> (u16, String, Option<String>) {
        let request = Request::builder().method(method).uri(path).body(Full::<Bytes>::default()).unwrap();
        let answer = answer(&Admin::default(), request).await;
        let allow = answer.headers().get(ALLOW).map(|allow| allow.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap(), allow)
    }

    #[tokio::test]
    async fn what_there_is_not_is_404_and_what_cannot_be_done_is_405() {
        assert_eq!(ask("GET", "/").await.0, 404);
        assert_eq!(ask("GET", "/metrics/").await.0, 404);
        assert!(ask("GET", "/healthz").await.1.contains("/metrics, /debug/queues, /livez, /readyz and /log"));
        for path in ["/metrics", "/debug/queues", "/livez", "/readyz"] {
            let (status, line, allow) = ask("POST", path).await;
            assert_eq!((status, allow.as_deref()), (405, Some("GET")));
            assert_eq!(line, "must be GET\n");
        }
        assert_eq!(ask("DELETE", "/log").await.2.as_deref(), Some("GET, PUT"));
    }

    #[tokio::test]
    async fn a_process_lives_before_it_is_ready_and_after() {
        let admin = Admin::default();
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Full::<Bytes>::default()).unwrap();
            answer(&admin, request).await.status().as_u16()
        };
        assert_eq!((ask("/livez").await, ask("/readyz").await), (200, 503), "nothing is there yet");
        let health = crate::Health::new(["a.A"]);
        admin.probes.follow(health.clone());
        assert_eq!((ask("/livez").await, ask("/readyz").await), (200, 503), "it loads");
        health.set_ready();
        assert_eq!((ask("/livez").await, ask("/readyz").await), (200, 200));
        health.stop();
        assert_eq!((ask("/livez").await, ask("/readyz").await), (200, 503), "it drains");
    }

    #[tokio::test]
    async fn a_process_without_models_has_no_queues() {
        let (status, body, _) = ask("GET", "/debug/queues").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body), (200, serde_json::json!({"graphs": []})));
    }
}
