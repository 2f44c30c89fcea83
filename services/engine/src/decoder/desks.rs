//! What the workers of a decoder know of each other: whose the next stream is, and who has the cores to itself. No
//! threads, no clocks.

/// Of one worker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Desk {
    /// Set with every change, cleared by the worker before it looks: so no change is slept through.
    pub(super) woken: bool,
    /// Streams that have a slot of this worker.
    pub(super) active: usize,
    /// It is in a step, and looks around after it.
    pub(super) stepping: bool,
    /// It has no session after a fault, or is in a step that takes too long.
    pub(super) out: bool,
    /// It could not have another at once, or the step does not end.
    pub(super) broken: bool,
}

/// Of all of them.
#[derive(Debug, Default)]
pub(super) struct Desks {
    desks: Vec<Desk>,
    few: usize,
}

impl Desks {
    /// Up to `few` streams are kept together, with one worker; more are spread evenly.
    pub(super) fn new(workers: usize, few: usize) -> Self {
        Self { desks: vec![Desk::default(); workers], few }
    }

    pub(super) fn len(&self) -> usize {
        self.desks.len()
    }

    /// Streams that have a slot.
    pub(super) fn active(&self) -> usize {
        self.desks.iter().map(|desk| desk.active).sum()
    }

    /// Of so many slots those of workers that are not out, and how many of them are free; of all where every worker is
    /// out: some will be back at once.
    pub(super) fn slots(&self, slots: usize) -> (usize, usize) {
        let (each, none) = (slots.div_ceil(self.len().max(1)), self.healthy() == 0);
        let (mut there, mut free) = (0, 0);
        for desk in self.desks.iter().filter(|desk| none || !desk.out) {
            there += each;
            free += each.saturating_sub(desk.active);
        }
        (slots.min(there), free.min(slots.saturating_sub(self.active())))
    }

    #[cfg(test)]
    pub(super) fn each_active(&self) -> Vec<usize> {
        self.desks.iter().map(|desk| desk.active).collect()
    }

    pub(super) fn healthy(&self) -> usize {
        self.desks.iter().filter(|desk| !desk.out).count()
    }

    /// Whether nobody takes steps, nor will at once.
    pub(super) fn all_broken(&self) -> bool {
        self.desks.iter().all(|desk| desk.broken)
    }

    /// Changes a worker's; there is one for each from the start.
    pub(super) fn of<T: Default>(&mut self, worker: usize, change: impl FnOnce(&mut Desk) -> T) -> T {
        self.desks.get_mut(worker).map(change).unwrap_or_default()
    }

    /// Whether the next that waits is this worker's. Of those that are not out it is one that has the fewest
    /// streams, or, while there are few, the one that has the most (of equals the first).
    pub(super) fn is_next(&self, worker: usize) -> bool {
        let Some(own) = self.desks.get(worker) else { return false };
        let mut others =
            self.desks.iter().enumerate().filter(|(number, desk)| *number != worker && !desk.out);
        if self.active() < self.few {
            others.all(|(number, desk)| {
                desk.active < own.active || desk.active == own.active && number > worker
            })
        } else {
            others.all(|(_, desk)| desk.active >= own.active)
        }
    }

    /// Whether no other worker takes steps.
    pub(super) fn is_alone(&self, worker: usize) -> bool {
        self.desks.iter().enumerate().all(|(number, desk)| number == worker || !desk.stepping)
    }

    pub(super) fn wake(&mut self) {
        self.desks.iter_mut().for_each(|desk| desk.woken = true);
    }

    /// Has whoever else the next stream is for look around, and says whether any of them sleeps. Nobody whose turn it is
    /// not: those would only wake each other.
    pub(super) fn wake_next(&mut self, worker: usize) -> bool {
        let mut asleep = false;
        for other in (0..self.desks.len()).filter(|other| *other != worker) {
            if self.is_next(other) {
                asleep |= self.of(other, |desk| {
                    desk.woken = true;
                    !desk.stepping
                });
            }
        }
        asleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives streams to whose turn it is.
    fn filled(desks: &mut Desks, streams: usize) -> Vec<usize> {
        for _ in 0..streams {
            let next = (0..desks.len()).find(|worker| desks.is_next(*worker)).unwrap();
            desks.of(next, |desk| desk.active += 1);
        }
        desks.each_active()
    }

    #[test]
    fn few_streams_are_kept_together_and_more_are_spread() {
        let mut desks = Desks::new(2, 4);
        assert_eq!(filled(&mut desks, 4), [4, 0]);
        assert_eq!(filled(&mut desks, 4), [4, 4]);
        assert_eq!(filled(&mut desks, 3), [6, 5]);
        // Few are left, most of them with the second: who comes now joins those.
        desks.of(0, |desk| desk.active = 1);
        desks.of(1, |desk| desk.active = 2);
        assert_eq!(filled(&mut desks, 1), [1, 3]);
        assert_eq!(filled(&mut Desks::new(3, 0), 7), [3, 2, 2]);
    }

    #[test]
    fn a_worker_without_a_session_is_passed_over() {
        let mut desks = Desks::new(2, 4);
        desks.of(0, |desk| (desk.out, desk.active) = (true, 2));
        assert!(desks.is_next(1));
        assert_eq!((desks.healthy(), desks.all_broken()), (1, false));
    }

    #[test]
    fn the_slots_of_a_worker_that_is_out_do_not_count_unless_all_are() {
        let mut desks = Desks::new(2, 0);
        desks.of(0, |desk| desk.active = 1);
        // Three in sum, though either could have two.
        assert_eq!(desks.slots(3), (3, 2));
        desks.of(1, |desk| desk.out = true);
        assert_eq!(desks.slots(3), (2, 1));
        desks.of(0, |desk| desk.out = true);
        assert_eq!(desks.slots(3), (3, 2));
    }

    #[test]
    fn who_steps_is_alone_until_another_steps() {
        let mut desks = Desks::new(2, 4);
        desks.of(1, |desk| desk.stepping = true);
        assert!(desks.is_alone(1) && !desks.is_alone(0));
        desks.of(0, |desk| desk.stepping = true);
        assert!(!desks.is_alone(1) && !desks.is_alone(0));
    }

    #[test]
    fn only_those_are_woken_whose_turn_it_is() {
        let mut desks = Desks::new(4, 4);
        let woken = |desks: &mut Desks| -> Vec<bool> {
            (0..4).map(|worker| desks.of(worker, |desk| std::mem::take(&mut desk.woken))).collect()
        };
        desks.of(0, |desk| (desk.active, desk.stepping) = (1, true));
        assert!(!desks.wake_next(2), "it is in a step, and will look by itself");
        assert_eq!(woken(&mut desks), [true, false, false, false]);
        desks.of(0, |desk| desk.active = 4);
        assert!(desks.wake_next(0));
        assert_eq!(woken(&mut desks), [false, true, true, true]);
    }

    proptest! {
        #[test]
        fn the_next_stream_is_always_somebodys(
            desks in proptest::collection::vec((0_usize..9, any::<bool>()), 1..6),
            few in 0_usize..20,
        ) {
            let mut all = Desks::new(desks.len(), few);
            for (worker, (active, out)) in desks.iter().enumerate() {
                all.of(worker, |desk| (desk.active, desk.out) = (*active, *out));
            }
            let healthy = (0..desks.len()).filter(|worker| !desks[*worker].1);
            prop_assert_eq!(healthy.clone().any(|w| all.is_next(w)), healthy.count() > 0);
        }
    }
}
