//! Anomalies in telemetry, found by the detectors of both spacecraft.

use std::ops::Range;
use std::time::Duration;

use atelier_proto::codec::v1::detect_anomalies_request::Message;
use atelier_proto::codec::v1::{
    Alarm, DetectAnomaliesInRecordingRequest, DetectAnomaliesInRecordingResponse, DetectAnomaliesRequest,
    DetectAnomaliesResponse, DetectAnomaliesStart, RowScore, TelemetryRow, TelemetryRows,
};
use atelier_tests::Fleet;
use atelier_tests::client::blamed;
use atelier_tests::models::of_kind;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// How many rows a recording has.
const ROWS: usize = 400;
/// Where its value jumps, if it does.
const JUMP: Range<usize> = 200..220;
/// Rows of a window: before there are so many, a row is judged by its range alone.
const WINDOW: usize = 100;

/// A channel that a detector knows.
#[derive(Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) model: &'static str,
    pub(crate) name: &'static str,
    columns: usize,
}

/// Of each model one whose value did little else in training than rise, from 0 to 1.
pub(crate) const CHANNELS: [Channel; 2] = [
    Channel { model: "telemetry-msl", name: "T-13", columns: 55 },
    Channel { model: "telemetry-smap", name: "G-6", columns: 25 },
];

/// Rows with these values and no command.
pub(crate) fn rows(channel: Channel, values: impl IntoIterator<Item = f32>) -> Vec<TelemetryRow> {
    let row = |value| {
        let mut values = vec![0.0; channel.columns];
        values[0] = value;
        TelemetryRow { values }
    };
    values.into_iter().map(row).collect()
}

/// A value that rises as it did in training.
pub(crate) fn steady() -> Vec<f32> {
    (0..ROWS).map(|at| 0.3 + at as f32 / 2000.0).collect()
}

/// The same with a jump, within the range that it had in training.
pub(crate) fn jumping() -> Vec<f32> {
    let mut values = steady();
    values[JUMP].iter_mut().for_each(|value| *value += 0.5);
    values
}

/// Whether this is the alarm of the jump, which a window that has it in its midst still sees.
pub(crate) fn is_the_jump(first_row: u64, last_row: u64) -> bool {
    let (first, last) = (first_row as usize, last_row as usize);
    JUMP.contains(&first) && first <= last && last < JUMP.end + WINDOW
}

fn recording(channel: Channel, rows: Vec<TelemetryRow>) -> DetectAnomaliesInRecordingRequest {
    let (model, channel) = (channel.model.to_owned(), channel.name.to_owned());
    DetectAnomaliesInRecordingRequest { model, channel, rows, ..Default::default() }
}

async fn whole(fleet: &Fleet, channel: Channel, values: Vec<f32>) -> DetectAnomaliesInRecordingResponse {
    let request = recording(channel, rows(channel, values));
    let answer = fleet.codec().detect_anomalies_in_recording(request).await.unwrap().into_inner();
    assert_eq!(answer.model.as_ref().unwrap().name, channel.model);
    answer
}

fn start(channel: Channel) -> DetectAnomaliesRequest {
    let (model, channel) = (channel.model.to_owned(), channel.name.to_owned());
    let start = DetectAnomaliesStart { model, channel, ..Default::default() };
    DetectAnomaliesRequest { message: Some(Message::Start(start)) }
}

fn message(rows: &[TelemetryRow]) -> DetectAnomaliesRequest {
    DetectAnomaliesRequest { message: Some(Message::Rows(TelemetryRows { rows: rows.to_vec() })) }
}

/// How many answers come before a stream is refused, and how it is refused.
async fn refusal(fleet: &Fleet, requests: Vec<DetectAnomaliesRequest>) -> (usize, Status) {
    let mut codec = fleet.codec();
    let mut answers = match codec.detect_anomalies(tokio_stream::iter(requests)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (0, status),
    };
    let mut count = 0;
    loop {
        match answers.message().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("it ends well after {count} answers"),
            Err(status) => return (count, status),
        }
    }
}

#[tokio::test]
async fn a_steady_recording_has_no_alarm_and_one_with_a_jump_has_it_there() {
    let fleet = Fleet::shared();
    let models: Vec<String> = of_kind("anomaly").into_iter().map(|model| model.name).collect();
    assert_eq!(models, CHANNELS.map(|channel| channel.model), "each is tested");
    for channel in CHANNELS {
        let calm = whole(&fleet, channel, steady()).await;
        assert_eq!((calm.scores.len(), calm.alarms.len()), (ROWS, 0), "{:?}", calm.alarms);
        let (before, windows) = calm.scores.split_at(WINDOW - 1);
        assert!(before.iter().all(|score| score.total == 0.0), "{before:?}");
        assert!(windows.iter().all(|score| score.reconstruction > 0.0 && score.total < 0.5), "{windows:?}");

        let found = whole(&fleet, channel, jumping()).await;
        let [alarm] = found.alarms.as_slice() else { panic!("{}: {:?}", channel.name, found.alarms) };
        assert!(is_the_jump(alarm.first_row, alarm.last_row) && alarm.ended, "{alarm:?}");
        assert_eq!(alarm.peak, found.scores.iter().map(|score| score.total).fold(0.0, f32::max));
        assert!(found.scores.iter().all(|score| score.range == 0.0), "the network sees it, not the range");
        assert_eq!(found.scores[..JUMP.start], calm.scores[..JUMP.start], "rows to come do not count");
    }
}

#[tokio::test]
async fn a_value_beyond_its_range_is_an_alarm_at_once() {
    let fleet = Fleet::shared();
    for channel in CHANNELS {
        let mut values = steady();
        values.truncate(60);
        values[50] = 1.5;
        let answer = whole(&fleet, channel, values).await;
        // 0.5 beyond, in margins of 0.1.
        assert!((answer.scores[50].range - 5.0).abs() < 1e-3, "{:?}", answer.scores[50]);
        let expected = Alarm { first_row: 50, last_row: 50, peak: answer.scores[50].total, ended: false };
        assert_eq!(answer.alarms, [expected]);
    }
    let unnamed = DetectAnomaliesInRecordingRequest {
        model: String::new(),
        ..recording(CHANNELS[0], rows(CHANNELS[0], steady()))
    };
    let answer = fleet.codec().detect_anomalies_in_recording(unnamed).await.unwrap().into_inner();
    assert_eq!(answer.model.unwrap().name, CHANNELS[0].model, "the default is the first by name");
}

#[tokio::test]
async fn a_stream_gives_the_scores_and_alarms_of_the_recording_however_its_rows_come() {
    let fleet = Fleet::shared();
    let mut codec = fleet.codec();
    for channel in CHANNELS {
        let expected = whole(&fleet, channel, jumping()).await;
        let rows = rows(channel, jumping());
        for chunk in [7, 64, ROWS] {
            let mut requests = vec![start(channel)];
            requests.extend(rows.chunks(chunk).map(message));
            let answers = codec.detect_anomalies(tokio_stream::iter(requests)).await.unwrap();
            let answers: Vec<DetectAnomaliesResponse> =
                answers.into_inner().map(Result::unwrap).collect().await;
            assert_eq!(answers.len(), 1 + ROWS.div_ceil(chunk) + 1, "the start, each message, the end");
            assert!(answers.iter().all(|answer| answer.model.as_ref().unwrap().name == channel.model));
            let scores: Vec<RowScore> = answers.iter().flat_map(|answer| answer.scores.clone()).collect();
            assert!(scores == expected.scores, "{}: to the bit, in messages of {chunk}", channel.name);
            let told: Vec<Alarm> = answers.iter().flat_map(|answer| answer.alarms.clone()).collect();
            assert!(told.iter().all(|alarm| alarm.first_row == expected.alarms[0].first_row), "{told:?}");
            assert_eq!(told.last(), expected.alarms.last(), "{}: in messages of {chunk}", channel.name);
        }
    }
}

#[tokio::test]
async fn rows_are_answered_through_the_gateway_before_more_are_sent() {
    let fleet = Fleet::shared();
    let (channel, mut codec) = (CHANNELS[1], fleet.codec());
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(start(channel)).await.unwrap();
    let mut answers = codec.detect_anomalies(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let mut next = async || tokio::time::timeout(Duration::from_secs(30), answers.message()).await.unwrap();
    assert!(next().await.unwrap().unwrap().scores.is_empty());
    for (at, row) in rows(channel, steady()).chunks(1).take(5).enumerate() {
        sender.send(message(row)).await.unwrap();
        let answer = next().await.unwrap().unwrap();
        assert_eq!((answer.first_row as usize, answer.scores.len()), (at, 1));
    }
    drop(sender);
    assert_eq!(next().await.unwrap().unwrap().first_row, 5, "the last word");
    assert_eq!(next().await.unwrap(), None, "the stream ends when its rows do");
}

#[tokio::test]
async fn a_recording_that_is_none_is_refused_by_field() {
    let fleet = Fleet::shared();
    for channel in CHANNELS {
        let with = |values: Vec<f32>| {
            let mut rows = rows(channel, steady());
            rows[7] = TelemetryRow { values };
            recording(channel, rows)
        };
        let nan = [&[f32::NAN][..], &vec![0.0; channel.columns - 1]].concat();
        let good = with(vec![0.5; channel.columns]);
        for (request, field) in [
            (with(vec![0.0; channel.columns - 1]), "rows[7].values"),
            (with(vec![0.0; channel.columns + 1]), "rows[7].values"),
            (with(vec![]), "rows[7].values"),
            (with(nan), "rows[7].values"),
            (with(vec![f32::INFINITY; channel.columns]), "rows[7].values"),
            (recording(channel, vec![]), "rows"),
            (recording(channel, rows(channel, [0.5; ROWS])), "rows"),
            (DetectAnomaliesInRecordingRequest { channel: String::new(), ..good.clone() }, "channel"),
            (DetectAnomaliesInRecordingRequest { model: "fashion-ae".into(), ..good.clone() }, "model"),
        ] {
            let refused = fleet.codec().detect_anomalies_in_recording(request).await.unwrap_err();
            assert_eq!(blamed(&refused), field);
        }
        let unknown = DetectAnomaliesInRecordingRequest { channel: "Q-9".into(), ..good.clone() };
        let refused = fleet.codec().detect_anomalies_in_recording(unknown).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let says = refused.message();
        assert!(says.contains("no channel \"Q-9\"") && says.contains("there is: "), "{says}");
        fleet.codec().detect_anomalies_in_recording(good).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_is_wrong_ends_with_the_field_that_is() {
    let fleet = Fleet::shared();
    let channel = CHANNELS[0];
    let good = || message(&rows(channel, [0.3, 0.4]));
    let nan = || message(&rows(channel, [0.3, f32::NAN]));
    let narrow = || message(&[TelemetryRow { values: vec![0.3] }]);
    let many = || message(&rows(channel, [0.3; 4097]));
    let nameless = || start(Channel { name: "", ..channel });
    for (requests, answered, field) in [
        (vec![], 0, "start"),
        (vec![good()], 0, "start"),
        (vec![nameless(), good()], 0, "start.channel"),
        (vec![start(channel), good(), start(channel)], 2, "start"),
        (vec![start(channel), message(&[])], 1, "rows.rows"),
        (vec![start(channel), many()], 1, "rows.rows"),
        (vec![start(channel), good(), nan()], 2, "rows.rows[1].values"),
        (vec![start(channel), narrow(), good()], 1, "rows.rows[0].values"),
        (vec![start(channel), DetectAnomaliesRequest { message: None }], 1, "rows"),
    ] {
        let (before, status) = refusal(&fleet, requests).await;
        assert_eq!((before, blamed(&status).as_str()), (answered, field));
    }
    let (before, status) = refusal(&fleet, vec![start(Channel { name: "Q-9", ..channel }), good()]).await;
    assert_eq!((before, status.code()), (0, Code::NotFound), "{status:?}");
}
