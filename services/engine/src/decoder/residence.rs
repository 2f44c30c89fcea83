//! Where the states of streams are that a step left in its frame. No threads, no clocks.

use super::sessions::Place;

/// The frame that holds the states of the last step, and whose they are.
#[derive(Debug, Default)]
pub(super) struct Residence {
    place: Option<Place>,
    /// The slot of each row, none where it forgot its state since.
    rows: Vec<Option<usize>>,
    /// The next step was begun with them there.
    begun: bool,
}

impl Residence {
    /// The place that these slots' states, or others', have to be taken from before a step of these slots in `place`:
    /// none if they are there already row for row, or in no frame.
    pub(super) fn elsewhere(&self, slots: &[(usize, i64)], place: Place) -> Option<Place> {
        let same = || self.rows.iter().copied().eq(slots.iter().map(|(slot, _)| Some(*slot)));
        self.place.filter(|at| *at != place || !same())
    }

    /// A step of these slots left their states in `place`.
    pub(super) fn leave(&mut self, slots: &[(usize, i64)], place: Place) {
        self.rows.clear();
        self.rows.extend(slots.iter().map(|(slot, _)| Some(*slot)));
        (self.place, self.begun) = (Some(place), false);
    }

    /// What a slot left is not wanted any more.
    pub(super) fn forget(&mut self, slot: usize) {
        self.rows.iter_mut().filter(|row| **row == Some(slot)).for_each(|row| *row = None);
    }

    /// The rows whose states are wanted, with their slots.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, usize)> {
        self.rows.iter().enumerate().filter_map(|(row, slot)| slot.map(|slot| (row, slot)))
    }

    /// A step begins with the states that are there, if there are any.
    pub(super) fn begin(&mut self) -> bool {
        self.begun = self.place.is_some();
        self.begun
    }

    /// The frame of a step that began with the states there, and has not left any since.
    pub(super) fn begun(&self) -> Option<Place> {
        self.place.filter(|_| self.begun)
    }

    /// No frame holds a state any more: they were taken out, or lost.
    pub(super) fn clear(&mut self) {
        (self.place, self.begun) = (None, false);
        self.rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::sessions::Which;
    use super::*;

    const HERE: Place = Place { session: Which::Own, rows: 3 };

    #[test]
    fn states_stay_in_their_frame_only_while_the_same_slots_go_on_in_it() {
        let mut residence = Residence::default();
        let picked = [(1, 7), (3, 8)];
        assert_eq!(residence.elsewhere(&picked, HERE), None, "there was no step");
        residence.leave(&picked, HERE);
        assert_eq!(residence.elsewhere(&[(1, 0), (3, 0)], HERE), None);
        for other in [&[(1, 0)][..], &[(3, 0), (1, 0)], &[(1, 0), (2, 0)], &[(1, 0), (2, 0), (3, 0)]] {
            assert_eq!(residence.elsewhere(other, HERE), Some(HERE), "{other:?}");
        }
        assert_eq!(residence.elsewhere(&picked, Place { rows: 4, ..HERE }), Some(HERE));
        assert_eq!(residence.elsewhere(&picked, Place { session: Which::Divided, ..HERE }), Some(HERE));
    }

    #[test]
    fn a_step_that_began_with_states_in_its_frame_is_known_until_it_leaves_them() {
        let mut residence = Residence::default();
        assert!(!residence.begin());
        assert_eq!(residence.begun(), None);
        residence.leave(&[(1, 7)], HERE);
        assert!(residence.begun().is_none() && residence.begin());
        assert_eq!(residence.begun(), Some(HERE));
        residence.leave(&[(1, 7)], HERE);
        assert_eq!(residence.begun(), None);
    }

    #[test]
    fn what_a_slot_forgot_is_not_taken_out_and_does_not_go_on() {
        let mut residence = Residence::default();
        residence.leave(&[(1, 7), (3, 8)], HERE);
        residence.forget(1);
        assert_eq!(residence.elsewhere(&[(1, 0), (3, 0)], HERE), Some(HERE), "slot 1 has another stream");
        assert_eq!(residence.rows().collect::<Vec<_>>(), [(1, 3)]);
        residence.clear();
        assert_eq!(residence.elsewhere(&[(1, 0), (3, 0)], HERE), None);
        assert_eq!(residence.rows().count(), 0);
    }
}
