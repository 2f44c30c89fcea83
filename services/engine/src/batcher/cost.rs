//! What a batch costs, learnt while serving, and what follows from it: how many rows are best run at once.
//!
//! Each batch size has a running mean of the seconds its batches took. A size never run yet is put on the line
//! `a * n + b` through the others. From them follows the cheapest way to run any number of rows: padded up to
//! the next size, or split into several batches.

use std::time::Duration;

/// How much weight a new measurement has.
const NEW: f64 = 0.2;

/// A measurement counts for no more than so many times what was believed: one batch that was held up, as any is at
/// times, says little of the next.
const SPIKE: f64 = 2.0;

/// How far a size that is not run moves towards the line with every batch of another size: what was slow once
/// is tried again after some hundred batches, and not avoided for ever.
const FORGET: f64 = 0.01;

/// A larger batch must be cheaper by this part of the cost: the first in it waits for the last.
const WORTH: f64 = 0.03;

/// Rows are spread over workers that have nothing else to do where all batches together then cost no more than this part
/// above one after the other: they are done in a fraction of the time.
const SPREAD: f64 = 0.1;

/// Up to so many rows the cheapest ways are found anew after each batch; with as many times more, after as many batches:
/// it takes the longer the larger batches may be.
const PLANNED: usize = 64;

/// The seconds that batches take, by their size.
#[derive(Debug, Clone)]
pub(crate) struct Costs {
    /// Ascending by size, never empty.
    sizes: Vec<(usize, Option<f64>)>,
    /// For 0, 1, … rows up to the largest size: the cheapest way to run them.
    best: Vec<Best>,
    /// Measurements that are not in there yet.
    since: usize,
}

/// The cheapest way to run some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Best {
    /// How many of them run first.
    first: usize,
    /// What all of them cost.
    seconds: f64,
}

impl Costs {
    /// Batch sizes, with the seconds that a batch of each took where that is known.
    pub(crate) fn new(sizes: impl IntoIterator<Item = (usize, Option<f64>)>) -> Self {
        let mut sizes: Vec<_> = sizes.into_iter().filter(|(n, _)| *n > 0).collect();
        sizes.sort_by_key(|(n, _)| *n);
        sizes.dedup_by_key(|(n, _)| *n);
        if sizes.is_empty() {
            sizes.push((1, None));
        }
        let mut costs = Self { sizes, best: Vec::new(), since: 0 };
        costs.plan();
        costs
    }

    /// The most rows in a batch.
    pub(crate) fn max(&self) -> usize {
        self.sizes.last().map_or(1, |(n, _)| *n)
    }

    /// A batch of so many rows, padded up to the next size, took so long.
    pub(crate) fn measured(&mut self, rows: usize, took: Duration) {
        let took = took.as_secs_f64();
        let line = self.line();
        let ran = self.padded(rows);
        for (n, seconds) in &mut self.sizes {
            *seconds = match *seconds {
                Some(old) if *n == ran && old > 0.0 => Some(old + NEW * (took.min(SPIKE * old) - old)),
                Some(_) if *n == ran => Some(took),
                None if *n == ran => Some(took),
                Some(old) => Some(old + FORGET * (line.at(*n) - old)),
                None => None,
            };
        }
        self.since += 1;
        if self.since * PLANNED >= self.max() {
            self.plan();
        }
    }

    /// How many of so many waiting rows are best run now, at least 1 where any waits.
    pub(crate) fn rows_now(&self, waiting: usize) -> usize {
        self.best.get(waiting.min(self.max())).map_or(waiting, |best| best.first)
    }

    /// Whether so many rows are about as cheap in one batch as in several.
    pub(crate) fn whole(&self, rows: usize) -> bool {
        let batch = self.sizes.iter().find(|(n, _)| *n >= rows);
        let seconds = |(n, seconds): &(usize, Option<f64>)| seconds.unwrap_or_else(|| self.line().at(*n));
        let best = self.best.get(rows).map(|best| best.seconds);
        batch.map(seconds).zip(best).is_some_and(|(one, best)| one <= best * (1.0 + WORTH))
    }

    /// How many of so many waiting rows are for one of several idle workers: its share, if that is about as cheap as to
    /// have it run all of them.
    pub(crate) fn share(&self, waiting: usize, idle: usize) -> usize {
        let share = waiting.div_ceil(idle.max(1)).max(1);
        let seconds = |rows| self.time(rows).as_secs_f64();
        let apart = seconds(share) * (waiting / share) as f64 + seconds(waiting % share);
        let one = seconds(waiting);
        // While nothing is known everything costs nothing, and one batch is the least trouble.
        if one > 0.0 && apart <= one * (1.0 + SPREAD) { share } else { waiting }
    }

    /// What so many rows cost, one batch after the other; zero while nothing was measured.
    pub(crate) fn time(&self, rows: usize) -> Duration {
        let (max, seconds) = (self.max(), |n: usize| self.best.get(n).map_or(0.0, |best| best.seconds));
        let sum = (rows / max) as f64 * seconds(max) + seconds(rows % max);
        Duration::try_from_secs_f64(sum).unwrap_or(Duration::MAX)
    }

    fn padded(&self, rows: usize) -> usize {
        self.sizes.iter().map(|(n, _)| *n).find(|n| *n >= rows).unwrap_or(self.max())
    }

    /// The least-squares line through what was measured, rising or level and never below zero.
    fn line(&self) -> Line {
        let known: Vec<(f64, f64)> =
            self.sizes.iter().filter_map(|(n, s)| s.map(|s| (*n as f64, s))).collect();
        let count = known.len() as f64;
        if known.is_empty() {
            return Line { a: 0.0, b: 0.0 };
        }
        let mean = |f: fn(&(f64, f64)) -> f64| known.iter().map(f).sum::<f64>() / count;
        let (n, s) = (mean(|(n, _)| *n), mean(|(_, s)| *s));
        let spread: f64 = known.iter().map(|(x, _)| (x - n) * (x - n)).sum();
        // One size alone says nothing of what a batch costs apart from its rows.
        let through_zero = Line { a: s / n, b: 0.0 };
        if spread == 0.0 {
            return through_zero;
        }
        let a = known.iter().map(|(x, y)| (x - n) * (y - s)).sum::<f64>() / spread;
        let b = s - a * n;
        match (a < 0.0, b < 0.0) {
            (true, _) => Line { a: 0.0, b: s },
            (_, true) => through_zero,
            _ => Line { a, b },
        }
    }

    /// For each number of rows the cheapest way: one batch of some size, and the cheapest way for the rest.
    fn plan(&mut self) {
        let line = self.line();
        let sizes: Vec<(usize, f64)> =
            self.sizes.iter().map(|(n, seconds)| (*n, seconds.unwrap_or_else(|| line.at(*n)))).collect();
        let mut best = vec![Best::default()];
        for rows in 1..=self.max() {
            // A size is of use if it is filled, or else the smallest that holds the rows.
            let padded = self.padded(rows);
            let ways = sizes.iter().filter(|(size, _)| *size <= padded).map(|(size, cost)| {
                let first = rows.min(*size);
                (first, cost + best.get(rows - first).map_or(0.0, |rest: &Best| rest.seconds))
            });
            let seconds = ways.clone().map(|(_, seconds)| seconds).fold(f64::INFINITY, f64::min);
            // While nothing is known everything costs nothing, and one batch is the least trouble.
            let enough = |way: &(usize, f64)| seconds > 0.0 && way.1 <= seconds * (1.0 + WORTH);
            let first =
                ways.clone().find(enough).or(ways.clone().next_back()).map_or(rows, |(first, _)| first);
            best.push(Best { first, seconds });
        }
        (self.best, self.since) = (best, 0);
    }
}

/// `a * n + b` seconds for `n` rows.
#[derive(Debug, Clone, Copy)]
struct Line {
    a: f64,
    b: f64,
}

impl Line {
    fn at(self, n: usize) -> f64 {
        self.a * n as f64 + self.b
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn costs(sizes: &[(usize, f64)]) -> Costs {
        Costs::new(sizes.iter().map(|(n, s)| (*n, Some(*s))))
    }

    #[test]
    fn rows_are_padded_where_a_batch_costs_more_than_its_rows() {
        // 10 ms a batch and 1 ms a row.
        let costs = costs(&[(1, 0.011), (2, 0.012), (4, 0.014), (8, 0.018)]);
        assert_eq!([1, 2, 3, 5, 7, 8, 20].map(|n| costs.rows_now(n)), [1, 2, 3, 5, 7, 8, 8]);
        assert_eq!(costs.time(5), Duration::from_millis(18));
        assert_eq!(costs.time(20), Duration::from_millis(2 * 18 + 14));
    }

    #[test]
    fn rows_are_split_where_padding_costs_more_than_another_batch() {
        let costs = costs(&[(1, 0.001), (2, 0.002), (4, 0.004), (8, 0.008)]);
        assert_eq!(costs.rows_now(3), 1);
        assert_eq!(costs.time(7), Duration::from_millis(7));
    }

    #[test]
    fn idle_workers_share_rows_where_a_batch_costs_little_more_than_its_rows() {
        let rows = costs(&[(1, 0.0101), (2, 0.0201), (4, 0.0401), (8, 0.0801)]);
        assert_eq!([1, 2, 5, 8, 20].map(|n| rows.share(n, 2)), [1, 1, 3, 4, 10]);
        assert_eq!((rows.share(8, 3), rows.share(8, 1), rows.share(2, 16), rows.share(0, 2)), (3, 8, 1, 0));
        let batches = costs(&[(1, 0.011), (2, 0.012), (4, 0.014), (8, 0.018)]);
        assert_eq!([1, 2, 5, 8].map(|n| batches.share(n, 2)), [1, 2, 5, 8]);
        // More than fit a batch are several batches in any case.
        assert_eq!(batches.share(16, 2), 8);
        assert_eq!(Costs::new([(1, None), (8, None)]).share(8, 2), 8);
    }

    #[test]
    fn a_larger_batch_is_run_only_where_it_pays() {
        // Twice the rows at twice the cost; at four there is something to gain.
        let costs = costs(&[(1, 0.010), (2, 0.020), (4, 0.030)]);
        assert_eq!([1, 2, 3, 4].map(|n| costs.rows_now(n)), [1, 1, 1, 4]);
    }

    #[test]
    fn rows_that_came_together_are_whole_unless_that_is_dearer() {
        let costs = costs(&[(1, 0.010), (2, 0.020), (4, 0.060)]);
        assert_eq!([1, 2, 3, 4, 5].map(|n| costs.whole(n)), [true, true, false, false, false]);
    }

    #[test]
    fn one_batch_that_was_held_up_says_little() {
        let mut costs = costs(&[(1, 0.010)]);
        costs.measured(1, Duration::from_secs(3));
        assert!(costs.time(1) < Duration::from_millis(13), "{:?}", costs.time(1));
    }

    #[test]
    fn a_size_never_run_is_put_on_the_line_through_the_others() {
        let mut costs = Costs::new([1, 2, 4, 8].map(|n| (n, None)));
        assert_eq!(costs.time(8), Duration::ZERO);
        assert_eq!(costs.rows_now(5), 5, "nothing is known, so one batch");
        costs.measured(1, Duration::from_millis(11));
        costs.measured(3, Duration::from_millis(14));
        let eight = costs.time(8).as_secs_f64();
        assert!((eight - 0.018).abs() < 1e-9, "{eight}");
    }

    #[test]
    fn the_cheapest_ways_to_run_large_batches_are_found_anew_now_and_then() {
        let mut costs = costs(&[(1, 0.001), (256, 0.010)]);
        let measured = [(); 4].map(|()| {
            costs.measured(1, Duration::from_millis(2));
            costs.time(1) > Duration::from_millis(1)
        });
        assert_eq!(measured, [false, false, false, true]);
    }

    #[test]
    fn what_was_slow_once_is_tried_again() {
        let mut costs = costs(&[(1, 0.010), (2, 0.011), (4, 0.5)]);
        assert_eq!(costs.rows_now(4), 2, "the large size had a bad moment");
        for _ in 0..1500 {
            costs.measured(1, Duration::from_millis(10));
            costs.measured(2, Duration::from_millis(11));
        }
        assert_eq!(costs.rows_now(4), 4);
    }

    #[test]
    fn the_mean_follows_what_batches_take_now() {
        let mut costs = costs(&[(1, 0.001)]);
        for _ in 0..40 {
            costs.measured(1, Duration::from_millis(5));
        }
        assert!((costs.time(1).as_secs_f64() - 0.005).abs() < 1e-5);
    }

    proptest! {
        #[test]
        fn no_other_way_to_run_the_rows_is_cheaper(
            steps in proptest::collection::vec((1_usize..4, 1_u32..1000), 1..6),
            rows in 1_usize..20,
        ) {
            let mut size = 0;
            let sizes: Vec<(usize, f64)> = steps.iter().map(|(d, ms)| {
                size += d;
                (size, f64::from(*ms) / 1e3)
            }).collect();
            let costs = costs(&sizes);
            let rows = rows.min(costs.max());
            // The oracle tries every sequence of batches.
            fn cheapest(sizes: &[(usize, f64)], rows: usize) -> f64 {
                if rows == 0 {
                    return 0.0;
                }
                let padded = sizes.iter().find(|(n, _)| *n >= rows).unwrap().0;
                let usable = sizes.iter().filter(|(n, _)| *n <= padded);
                usable.map(|(n, s)| s + cheapest(sizes, rows.saturating_sub(*n))).fold(f64::INFINITY, f64::min)
            }
            let least = cheapest(&sizes, rows);
            prop_assert!((costs.time(rows).as_secs_f64() - least).abs() < 1e-6);
            // What runs now is the beginning of a way that is about as cheap.
            let now = costs.rows_now(rows);
            prop_assert!((1..=rows).contains(&now));
            let batch = sizes.iter().find(|(n, _)| *n >= now).unwrap().1;
            prop_assert!(batch + cheapest(&sizes, rows - now) <= least * (1.0 + WORTH) + 1e-6);
        }
    }
}
