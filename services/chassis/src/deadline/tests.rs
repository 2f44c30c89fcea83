use http_body_util::BodyExt;
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{Response, ServiceError};

fn request(timeout: &str) -> Request {
    http::Request::builder().header(GRPC_TIMEOUT, timeout).body(Body::empty()).unwrap()
}

fn status(headers: &HeaderMap) -> Option<Status> {
    Status::from_header_map(headers)
}

/// A body that sends one frame and then nothing, for ever.
fn endless() -> Body {
    use futures_util::StreamExt;
    let frames = futures_util::stream::iter([Ok::<_, Status>(http_body::Frame::data("one".into()))])
        .chain(futures_util::stream::pending());
    Body::new(http_body_util::StreamBody::new(frames))
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_answered_with_deadline_exceeded() {
    let slow = service_fn(|_: Request| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<Response, Infallible>(http::Response::default())
    });
    let start = Instant::now();
    let response = DeadlineLayer.layer(slow).oneshot(request("250m")).await.unwrap();
    assert_eq!(status(response.headers()).unwrap().code(), tonic::Code::DeadlineExceeded);
    assert_eq!(start.elapsed(), Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_runs_past_the_deadline_ends_with_deadline_exceeded() {
    let streaming = service_fn(|_: Request| async { Ok::<Response, Infallible>(Response::new(endless())) });
    let start = Instant::now();
    let response = DeadlineLayer.layer(streaming).oneshot(request("2S")).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    assert_eq!(status(collected.trailers().unwrap()).unwrap().code(), tonic::Code::DeadlineExceeded);
    assert_eq!(collected.to_bytes(), "one");
}

#[tokio::test(start_paused = true)]
async fn the_handler_is_given_what_is_left() {
    let looking = service_fn(|request: Request| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = Deadline::from_extensions(request.extensions()).unwrap().remaining();
        assert_eq!(left, Duration::from_secs(4));
        Ok::<Response, Infallible>(http::Response::default())
    });
    let response = DeadlineLayer.layer(looking).oneshot(request("5S")).await.unwrap();
    assert!(status(response.headers()).is_none());
}

#[tokio::test]
async fn a_malformed_timeout_is_refused_and_the_handler_not_called() {
    let never = service_fn(|_: Request| async { panic!("the handler was called") });
    let response = DeadlineLayer.layer(never).oneshot(request("5 minutes")).await.unwrap();
    let status = status(response.headers()).unwrap();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("grpc-timeout"), "{}", status.message());
}

#[tokio::test]
async fn a_timeout_beyond_the_clock_is_no_deadline() {
    assert!(deadline(request("1S").headers()).unwrap().is_some());
    assert!(ServiceError::deadline_passed().to_string().contains("deadline"));
    assert!(Deadline::after(Duration::MAX).is_none());
}
