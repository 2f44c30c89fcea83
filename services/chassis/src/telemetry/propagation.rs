//! W3C trace context: one trace from the caller through the gateway to the role.
//!
//! Where no exporter is configured, a caller's trace is only named in the log and passed on as it came.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::global::get_text_map_propagator;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a span a child of the one that the headers (`traceparent`) name, and records its `trace_id`.
pub fn set_parent(span: &Span, headers: &HeaderMap) {
    let parent = get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    let callers = parent.span().span_context().clone();
    // Fails where traces are not exported, and then there is nothing to do.
    let _ = span.set_parent(parent);
    let own = span.context().span().span_context().clone();
    if let Some(context) = [own, callers].into_iter().find(opentelemetry::trace::SpanContext::is_valid) {
        span.record("trace_id", tracing::field::display(context.trace_id()));
    }
}

/// Names the current span in the headers of a request that is about to be sent.
pub fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut HeadersMut(headers)));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
