//! Which endpoint gets a call: the less busy of two drawn among the best (Mitzenmacher, "The power of two choices in
//! randomized load balancing", 2001).
//!
//! Two and not all: gateways that all saw the same idle endpoint would all run there.

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) standing: Standing,
    /// Whether this very call has been there in vain.
    pub(super) tried: bool,
    /// Calls that are under way there.
    pub(super) in_flight: usize,
}

/// How good an endpoint is for a service, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It says that it serves.
    Serving,
    /// It has not said yet.
    Unknown,
    /// It says that it does not serve, cannot be asked, or has failed too often of late.
    Doubtful,
}

/// The place of the endpoint to take; `None` where there is none at all. `below` draws a number below another.
///
/// A doubtful endpoint is better than an error: what it says is at worst the error, and says why.
pub(super) fn pick(candidates: &[Candidate], mut below: impl FnMut(usize) -> usize) -> Option<usize> {
    let class = |it: &Candidate| (it.standing == Standing::Doubtful, it.tried, it.standing);
    let best = candidates.iter().map(class).min()?;
    let fit: Vec<usize> =
        (0..candidates.len()).filter(|&i| candidates.get(i).map(class) == Some(best)).collect();
    let first = below(fit.len());
    // The second among the others, so that two of two are always compared.
    let second = match fit.len() {
        1 => first,
        many => (first + 1 + below(many - 1)) % many,
    };
    let load = |&place: &usize| candidates.get(place).map(|it| it.in_flight);
    [first, second].iter().filter_map(|&at| fit.get(at)).min_by_key(|place| load(place)).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(standing: Standing, tried: bool, in_flight: usize) -> Candidate {
        Candidate { standing, tried, in_flight }
    }

    fn a_candidate() -> impl Strategy<Value = Candidate> {
        let standing =
            prop_oneof![Just(Standing::Serving), Just(Standing::Unknown), Just(Standing::Doubtful)];
        (standing, any::<bool>(), 0..50_usize).prop_map(|(s, t, n)| candidate(s, t, n))
    }

    #[test]
    fn of_two_equals_the_less_busy_is_always_taken() {
        let two = [candidate(Standing::Serving, false, 7), candidate(Standing::Serving, false, 6)];
        for drawn in 0..2 {
            assert_eq!(pick(&two, |n| drawn.min(n - 1)), Some(1));
        }
    }

    #[test]
    fn the_doubtful_are_taken_only_where_there_is_nothing_else_and_the_untried_first() {
        let tried = candidate(Standing::Serving, true, 0);
        let doubtful = candidate(Standing::Doubtful, false, 0);
        assert_eq!(pick(&[doubtful, tried], |_| 0), Some(1));
        assert_eq!(pick(&[doubtful, tried, candidate(Standing::Unknown, false, 90)], |_| 0), Some(2));
        assert_eq!(pick(&[doubtful], |_| 0), Some(0));
        assert_eq!(pick(&[], |_| 0), None);
    }

    #[test]
    fn idle_endpoints_share_what_comes_and_a_busy_one_is_spared() {
        let mut busy = [0_usize, 0, 0, 300];
        let mut state = 1_u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as usize) % n
        };
        for _ in 0..300 {
            let all: Vec<_> = busy.iter().map(|&n| candidate(Standing::Serving, false, n)).collect();
            busy[pick(&all, &mut below).unwrap()] += 1;
        }
        assert_eq!(busy[3], 300, "nothing goes where three others are less busy");
        assert!(busy[..3].iter().all(|n| (90..=110).contains(n)), "{busy:?}");
    }

    proptest! {
        #[test]
        fn what_is_picked_is_of_the_best_class_and_never_the_busiest_of_several(
            all in proptest::collection::vec(a_candidate(), 1..9), seed in any::<u64>(),
        ) {
            let mut seed = seed;
            let place = pick(&all, |n| { seed = seed.rotate_left(7).wrapping_mul(31); (seed % n as u64) as usize });
            let chosen = all[place.unwrap()];
            let class = |it: &Candidate| (it.standing == Standing::Doubtful, it.tried, it.standing);
            let fit: Vec<_> = all.iter().filter(|it| class(it) == class(&chosen)).collect();
            prop_assert!(all.iter().all(|it| class(it) >= class(&chosen)));
            let busiest = fit.iter().map(|it| it.in_flight).max().unwrap();
            let alone = fit.iter().filter(|it| it.in_flight == busiest).count() == 1;
            prop_assert!(fit.len() == 1 || !alone || chosen.in_flight < busiest);
        }
    }
}
