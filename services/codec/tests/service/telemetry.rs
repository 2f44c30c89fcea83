//! Anomalies in telemetry. The detector of `tiny-telemetry` restores 0.5 (within 0.25) and foretells the value
//! before (within 0.25 for the channel "wave"), in windows of 4 rows; nothing is averaged, the last two rows of
//! a window count, and the limits of "wave" are 2 and 3.

use std::time::Duration;

use atelier_proto::codec::v1::codec_service_client::CodecServiceClient;
use atelier_proto::codec::v1::codec_service_server::{CodecService, CodecServiceServer};
use atelier_proto::codec::v1::detect_anomalies_request::Message;
use atelier_proto::codec::v1::*;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic::{Code as Grpc, Request, Status, Streaming};
use tonic_types::StatusExt;

use crate::refusals::{invalid, refused};
use crate::*;

/// Rows with these values and no command.
fn rows(values: &[f32]) -> Vec<TelemetryRow> {
    values.iter().map(|value| TelemetryRow { values: vec![*value, 0.0, 0.0] }).collect()
}

/// Moves about 0.5, too little to be an alarm.
fn calm(count: usize) -> Vec<f32> {
    (0..count).map(|i| 0.5 + 0.1 * (i as f32).sin()).collect()
}

fn recording(channel: &str, rows: Vec<TelemetryRow>) -> Request<DetectAnomaliesInRecordingRequest> {
    let request = DetectAnomaliesInRecordingRequest { channel: channel.into(), rows, ..Default::default() };
    Request::new(request)
}

async fn whole(values: &[f32]) -> DetectAnomaliesInRecordingResponse {
    codec().detect_anomalies_in_recording(recording("wave", rows(values))).await.unwrap().into_inner()
}

/// The service behind a socket: only there is a stream of requests to be had.
async fn client() -> CodecServiceClient<Channel> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let service = CodecServiceServer::new(codec());
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    CodecServiceClient::connect(format!("http://{address}")).await.unwrap()
}

fn start(channel: &str) -> DetectAnomaliesRequest {
    let start = DetectAnomaliesStart { channel: channel.into(), ..Default::default() };
    DetectAnomaliesRequest { message: Some(Message::Start(start)) }
}

fn message(rows: Vec<TelemetryRow>) -> DetectAnomaliesRequest {
    DetectAnomaliesRequest { message: Some(Message::Rows(TelemetryRows { rows })) }
}

async fn open(requests: Vec<DetectAnomaliesRequest>) -> Streaming<DetectAnomaliesResponse> {
    client().await.detect_anomalies(stream::iter(requests)).await.unwrap().into_inner()
}

async fn answers(requests: Vec<DetectAnomaliesRequest>) -> Vec<DetectAnomaliesResponse> {
    open(requests).await.map(Result::unwrap).collect().await
}

/// What is answered before the stream is refused, and how it is refused.
async fn refusal(requests: Vec<DetectAnomaliesRequest>) -> (usize, Status) {
    let mut answers = open(requests).await;
    let mut count = 0;
    loop {
        match answers.next().await.expect("it ends with a refusal") {
            Ok(_) => count += 1,
            Err(status) => {
                assert!(answers.next().await.is_none(), "nothing comes after it");
                return (count, status);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_scored_by_range_prediction_and_reconstruction() {
    let answer = whole(&[0.5, 0.5, 0.25, 0.25, 0.75, 1.5]).await;
    assert_eq!(answer.model.unwrap().name, "tiny-telemetry");
    let close = |score: &RowScore, range: f32, prediction: f32, reconstruction: f32| {
        let parts =
            [score.range - range, score.prediction - prediction, score.reconstruction - reconstruction];
        let total = range.max(prediction).max(reconstruction);
        assert!(parts.iter().all(|d| d.abs() < 1e-4) && (score.total - total).abs() < 1e-4, "{score:?}");
    };
    // Before the fourth row there is no window.
    answer.scores[..3].iter().for_each(|score| close(score, 0.0, 0.0, 0.0));
    // As foretold; restored 0.25 too high in both rows, which is one scale of three.
    close(&answer.scores[3], 0.0, 0.0, 1.0 / 3.0);
    // 0.5 more than foretold, which is two scales of two.
    close(&answer.scores[4], 0.0, 1.0, 1.0 / 3.0);
    // 0.5 beyond the range in margins of 0.1; three scales of prediction; one and four of reconstruction.
    close(&answer.scores[5], 5.0, 1.5, 2.5 / 3.0);
    assert_eq!(answer.alarms.len(), 1);
    let alarm = &answer.alarms[0];
    assert_eq!((alarm.first_row, alarm.last_row, alarm.ended), (4, 5, false));
    assert!((alarm.peak - 5.0).abs() < 1e-4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_scores_as_a_recording_does_however_its_rows_come() {
    let mut values = calm(300);
    values[100..104].fill(1.8);
    values[200] = -3.0;
    values[298] = 2.0;
    let expected = whole(&values).await;
    // Rows 3 apart are one alarm: the jump back is one, too.
    assert_eq!(
        expected.alarms.iter().map(|a| (a.first_row, a.ended)).collect::<Vec<_>>(),
        [(100, true), (200, true), (298, false)]
    );
    for chunk in [1, 7, 64, 300] {
        let messages = rows(&values).chunks(chunk).map(|rows| message(rows.to_vec())).collect::<Vec<_>>();
        let count = messages.len();
        let answers = answers([vec![start("wave")], messages].concat()).await;
        assert_eq!(answers.len(), 1 + count + 1, "one for the start, one a message, one for the end");
        let scores: Vec<RowScore> = answers.iter().flat_map(|answer| answer.scores.clone()).collect();
        assert!(scores == expected.scores, "to the bit, in messages of {chunk}");
        let mut alarms: Vec<Alarm> = Vec::new();
        for (at, answer) in answers.iter().enumerate() {
            assert_eq!(answer.model.as_ref().unwrap().name, "tiny-telemetry");
            assert_eq!(answer.first_row as usize, (at.saturating_sub(1) * chunk).min(300));
            for alarm in &answer.alarms {
                alarms.retain(|known| known.first_row != alarm.first_row);
                alarms.push(*alarm);
            }
        }
        assert_eq!(alarms, expected.alarms, "in messages of {chunk}");
        assert_eq!(answers.last().unwrap().alarms, expected.alarms[2..], "the end tells what goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_answered_before_more_are_sent() {
    let (sender, receiver) = mpsc::channel(1);
    let requests = stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async move {
        receiver.recv().await.map(|request| (request, receiver))
    });
    let mut answers = client().await.detect_anomalies(requests).await.unwrap().into_inner();
    let mut next = async || tokio::time::timeout(Duration::from_secs(30), answers.next()).await.unwrap();
    sender.send(start("wave")).await.unwrap();
    assert!(next().await.unwrap().unwrap().scores.is_empty());
    for row in 0..10 {
        sender.send(message(rows(&[0.5]))).await.unwrap();
        let answer = next().await.unwrap().unwrap();
        assert_eq!((answer.first_row, answer.scores.len()), (row, 1));
    }
    drop(sender);
    assert_eq!(next().await.unwrap().unwrap().first_row, 10);
    assert!(next().await.is_none(), "the stream ends when its rows do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_stood_still_in_training_is_judged_by_its_range() {
    let steady = async |values: &[f32]| {
        let answer = codec().detect_anomalies_in_recording(recording("steady", rows(values))).await;
        answer.unwrap().into_inner()
    };
    let calm = steady(&[0.0; 50]).await;
    assert!(calm.alarms.is_empty() && calm.scores.iter().all(|score| score.total == 0.0));
    let moved = steady(&[0.0, 0.0, 0.05, 0.0, 1.0, 0.0]).await;
    assert!((moved.scores[2].total - 0.5).abs() < 1e-4 && (moved.scores[4].total - 10.0).abs() < 1e-3);
    assert_eq!(moved.alarms.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_far_outside_are_limited_and_not_refused() {
    let far = whole(&[0.5, 0.5, 0.5, 0.5, 2000.0]).await;
    let limit = whole(&[0.5, 0.5, 0.5, 0.5, 4.0]).await;
    assert_eq!(far, limit);
    assert!((far.scores[4].total - 30.0).abs() < 1e-3, "3 beyond the range, in margins");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_none_is_refused_naming_the_field() {
    let codec = codec();
    let refuse = async |channel: &str, rows: Vec<TelemetryRow>, field: &str, right: &str| {
        invalid(codec.detect_anomalies_in_recording(recording(channel, rows)).await, field, right);
    };
    let with = |at: usize, values: Vec<f32>| {
        let mut rows = rows(&calm(20));
        rows[at] = TelemetryRow { values };
        rows
    };
    refuse("wave", vec![], "rows", "is empty, but 1 to 65536 rows are right").await;
    refuse("wave", rows(&vec![0.5; 65_537]), "rows", "has 65537 rows, but 1 to 65536 are right").await;
    refuse("wave", rows(&[0.5; 20]), "rows", "is constant: the value is 0.5 in all 20 rows").await;
    let (columns, right) = ("rows[7].values", "the model's rows have 3: the value and 2 commands");
    refuse("wave", with(7, vec![0.5, 0.0]), columns, &format!("has 2 numbers, but {right}")).await;
    refuse("wave", with(7, vec![0.5; 4]), columns, right).await;
    refuse("wave", with(7, vec![]), columns, "has 0 numbers").await;
    refuse("wave", with(19, vec![f32::NAN, 0.0, 0.0]), "rows[19].values", "value 0 (counted from 0) is NaN")
        .await;
    refuse(
        "wave",
        with(3, vec![0.5, 0.0, f32::INFINITY]),
        "rows[3].values",
        "value 2 (counted from 0) is inf",
    )
    .await;
    refuse("", rows(&calm(20)), "channel", "is empty, but the name of a channel, such as \"steady\"").await;
    // Too short to be called constant.
    let short = codec.detect_anomalies_in_recording(recording("wave", rows(&[0.5; 3]))).await;
    assert_eq!(short.unwrap().into_inner().scores.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_channel_or_model_is_not_found_and_comes_with_what_exists() {
    let codec = codec();
    let status = refused(codec.detect_anomalies_in_recording(recording("P-1", rows(&calm(9)))).await);
    let expected = (Grpc::NotFound, "no channel \"P-1\"; there is: steady, wave");
    assert_eq!((status.code(), status.message()), expected);
    let request = DetectAnomaliesInRecordingRequest {
        model: "tiny-vae".into(),
        channel: "wave".into(),
        rows: rows(&calm(9)),
        ..Default::default()
    };
    let right = "needs a model of kind anomaly; there is: tiny-telemetry";
    invalid(codec.detect_anomalies_in_recording(Request::new(request)).await, "model", right);
    let (before, status) = refusal(vec![start("P-1"), message(rows(&calm(9)))]).await;
    assert_eq!((before, status.code(), status.message()), (0, expected.0, expected.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_wrong_ends_with_the_field_that_is() {
    let good = || message(rows(&calm(9)));
    let nan = vec![TelemetryRow { values: vec![0.5, f32::NAN, 0.0] }];
    let none = DetectAnomaliesRequest { message: None };
    let many = message(rows(&vec![0.5; 4097]));
    for (requests, answered, field, right) in [
        (vec![], 0, "start", "the first message must name the channel"),
        (vec![good()], 0, "start", "the first message must name the channel"),
        (vec![start("")], 0, "start.channel", "is empty"),
        (vec![start("wave"), good(), start("wave")], 2, "start", "only the first message may have it"),
        (vec![start("wave"), none], 1, "rows", "every message after the first has rows"),
        (vec![start("wave")], 1, "rows", "ended without a row"),
        (vec![start("wave"), message(vec![])], 1, "rows.rows", "is empty, but 1 to 4096 rows are right"),
        (vec![start("wave"), many], 1, "rows.rows", "send more messages"),
        (
            vec![start("wave"), good(), message(nan)],
            2,
            "rows.rows[0].values",
            "value 1 (counted from 0) is NaN",
        ),
    ] {
        let (before, status) = refusal(requests).await;
        assert_eq!((before, status.code()), (answered, Grpc::InvalidArgument), "{status:?}");
        let details = status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, field);
        assert!(violation.description.contains(right), "{:?}", violation.description);
    }
}
