//! What a stream of telemetry comes to, which may be without end: counts alone.

use atelier_proto::codec::v1::DetectAnomaliesResponse;
use atelier_proto::models::v1::ModelVersion;

use super::report;

/// How many rows and alarms there were so far.
pub(super) struct Tally {
    channel: String,
    model: Option<ModelVersion>,
    rows: usize,
    alarms: usize,
    /// The first row of the last alarm, by which it is known when it is told again.
    last: Option<u64>,
}

impl Tally {
    /// Of a channel, nothing yet.
    pub(super) fn new(channel: &str) -> Self {
        Self { channel: channel.to_owned(), model: None, rows: 0, alarms: 0, last: None }
    }

    /// Counts one answer.
    pub(super) fn add(&mut self, answer: DetectAnomaliesResponse) {
        self.model = answer.model;
        self.rows += answer.scores.len();
        for alarm in answer.alarms {
            // One that goes on is told again, and they come in order.
            if self.last != Some(alarm.first_row) {
                self.alarms += 1;
                self.last = Some(alarm.first_row);
            }
        }
    }

    /// One line with the counts.
    pub(super) fn summary(&self) -> String {
        report::summary(&self.channel, self.rows, self.alarms, self.model.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use atelier_proto::codec::v1::{Alarm, RowScore};

    use super::*;

    #[test]
    fn an_alarm_that_is_told_again_is_counted_once() {
        let mut tally = Tally::new("P-1");
        assert_eq!(tally.summary(), "P-1: 0 rows, 0 alarms (unnamed)\n");
        let alarm = |first_row| Alarm { first_row, last_row: first_row, ..Default::default() };
        for alarms in [vec![alarm(0)], vec![], vec![alarm(0), alarm(9)], vec![alarm(9)]] {
            let scores = vec![RowScore::default(); 2];
            tally.add(DetectAnomaliesResponse { scores, alarms, ..Default::default() });
        }
        assert_eq!(tally.summary(), "P-1: 8 rows, 2 alarms (unnamed)\n");
    }
}
