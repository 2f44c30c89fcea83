//! From scores to alarms.

/// Rows that belong together as one anomaly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarm {
    /// The first row whose score was 1 or more, counted from 0.
    pub first: u64,
    /// The last such row so far.
    pub last: u64,
    /// The greatest score of all.
    pub peak: f32,
}

/// What a row did to the alarms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AlarmEvent {
    /// An alarm begins with this row.
    Began(Alarm),
    /// So many rows without an alarm have come that this one is over.
    Ended(Alarm),
}

/// Joins rows into alarms.
#[derive(Debug, Clone)]
pub struct Alarms {
    merge: u64,
    row: u64,
    open: Option<Alarm>,
}

impl Alarms {
    /// Rows with an alarm that lie at most `merge` rows apart are one alarm; at least 1.
    pub fn new(merge: usize) -> Self {
        Self { merge: merge.max(1) as u64, row: 0, open: None }
    }

    /// Takes the score of the next row.
    pub fn push(&mut self, score: f32) -> Option<AlarmEvent> {
        let row = self.row;
        self.row += 1;
        match &mut self.open {
            Some(alarm) if score >= 1.0 => {
                alarm.last = row;
                alarm.peak = alarm.peak.max(score);
                None
            }
            Some(alarm) if row - alarm.last >= self.merge => self.open.take().map(AlarmEvent::Ended),
            None if score >= 1.0 => {
                let alarm = Alarm { first: row, last: row, peak: score };
                self.open = Some(alarm);
                Some(AlarmEvent::Began(alarm))
            }
            _ => None,
        }
    }

    /// The alarm that goes on, as it stands.
    pub fn open(&self) -> Option<Alarm> {
        self.open
    }

    /// Ends the stream; the alarm that is still open, as it stands.
    pub fn finish(self) -> Option<Alarm> {
        self.open
    }

    /// All alarms of a whole recording's scores.
    pub fn of(scores: impl IntoIterator<Item = f32>, merge: usize) -> Vec<Alarm> {
        let mut alarms = Self::new(merge);
        let mut all: Vec<Alarm> = Vec::new();
        for score in scores {
            if let Some(AlarmEvent::Ended(alarm)) = alarms.push(score) {
                all.push(alarm);
            }
        }
        all.extend(alarms.finish());
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_near_each_other_are_one_alarm_and_others_are_two() {
        let mut scores = [0.0; 12];
        (scores[1], scores[4], scores[8]) = (1.0, 2.5, 1.5);
        let alarm = |first, last, peak| Alarm { first, last, peak };
        assert_eq!(Alarms::of(scores, 3), [alarm(1, 4, 2.5), alarm(8, 8, 1.5)]);
        assert_eq!(Alarms::of(scores, 4), [alarm(1, 8, 2.5)]);
        assert_eq!(Alarms::of(scores, 2).len(), 3);
        assert_eq!(Alarms::of([0.99; 5], 1), []);
    }

    #[test]
    fn an_alarm_is_told_when_it_begins_and_when_it_is_over() {
        let mut alarms = Alarms::new(2);
        let events: Vec<_> = [0.0, 1.0, 3.0, 0.0, 0.0, 0.0].map(|score| alarms.push(score)).into();
        let begun = Alarm { first: 1, last: 1, peak: 1.0 };
        let over = Alarm { first: 1, last: 2, peak: 3.0 };
        assert_eq!(events[1], Some(AlarmEvent::Began(begun)));
        assert_eq!(events[4], Some(AlarmEvent::Ended(over)));
        assert_eq!(events.iter().flatten().count(), 2);
        assert_eq!(alarms.finish(), None);
    }

    proptest! {
        #[test]
        fn every_row_from_1_on_is_in_one_alarm_and_alarms_lie_apart(
            scores in proptest::collection::vec(0.0_f32..2.0, 0..200), merge in 1_usize..20,
        ) {
            let alarms = Alarms::of(scores.iter().copied(), merge);
            for (row, score) in scores.iter().enumerate() {
                let within = alarms.iter().filter(|a| (a.first..=a.last).contains(&(row as u64))).count();
                prop_assert!(within == 1 || (within == 0 && *score < 1.0));
            }
            for pair in alarms.windows(2) {
                prop_assert!(pair[1].first - pair[0].last > merge as u64);
            }
            for alarm in &alarms {
                prop_assert!(scores[alarm.first as usize] >= 1.0 && scores[alarm.last as usize] >= 1.0);
            }
        }
    }
}
