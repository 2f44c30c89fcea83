//! An interpolated Kneser-Ney n-gram with modified discounts (Chen and Goodman 1999): what counting alone
//! reaches on a text.

use std::collections::HashMap;

/// Contexts are packed into an integer, a byte and one for each character; this many fit.
const MAX_ORDER: usize = 8;

#[derive(Default)]
struct Context {
    counts: HashMap<u8, u32>,
    total: u32,
    /// Characters seen here once, twice, and more often.
    seen: [u32; 3],
}

/// The model.
pub struct KneserNey {
    order: usize,
    vocabulary: usize,
    /// By length of the context.
    levels: Vec<HashMap<u64, Context>>,
    discounts: Vec<[f64; 3]>,
}

fn pack(context: &[u8]) -> u64 {
    context.iter().fold(0, |key, &c| key << 8 | (u64::from(c) + 1))
}

impl KneserNey {
    /// Counts the characters of `train`, ids below `vocabulary`, in contexts of up to `order - 1`.
    /// `order` is limited to 1..=8.
    #[must_use]
    pub fn fit(train: &[u8], vocabulary: usize, order: usize) -> Self {
        let order = order.clamp(1, MAX_ORDER);
        let mut levels: Vec<HashMap<u64, Context>> = (0..order).map(|_| HashMap::new()).collect();
        for window in train.windows(order) {
            if let Some((&c, context)) = window.split_last() {
                *levels[order - 1].entry(pack(context)).or_default().counts.entry(c).or_default() += 1;
            }
        }
        // A shorter context counts the longer ones in which a character was seen, not how often.
        for length in (0..order - 1).rev() {
            let mask = (1u64 << (8 * length)) - 1;
            let (shorter, longer) = levels.split_at_mut(length + 1);
            for (key, context) in &longer[0] {
                let counts = &mut shorter[length].entry(key & mask).or_default().counts;
                for &c in context.counts.keys() {
                    *counts.entry(c).or_default() += 1;
                }
            }
        }
        let discounts = levels.iter_mut().map(discounts).collect();
        Self { order, vocabulary, levels, discounts }
    }

    /// The chance of `next` after `history` (its last `order - 1` characters count).
    #[must_use]
    pub fn chance(&self, history: &[u8], next: u8) -> f64 {
        let mut chance = 1.0 / self.vocabulary as f64;
        for length in 0..self.order.min(history.len() + 1) {
            let key = pack(&history[history.len() - length..]);
            let Some(context) = self.levels[length].get(&key) else { break };
            let [d1, d2, d3] = self.discounts[length];
            let count = context.counts.get(&next).copied().unwrap_or(0);
            let discount = [0.0, d1, d2, d3][count.min(3) as usize];
            let [once, twice, more] = context.seen.map(f64::from);
            let kept = f64::from(count) - discount;
            chance = (kept + (d1 * once + d2 * twice + d3 * more) * chance) / f64::from(context.total);
        }
        chance
    }

    /// Mean nats a character of `text`, with the `history` before it.
    #[must_use]
    pub fn nats(&self, history: &[u8], text: &[u8]) -> f64 {
        let keep = history.len().min(self.order);
        let joined: Vec<u8> = history[history.len() - keep..].iter().chain(text).copied().collect();
        let sum: f64 = (keep..joined.len())
            .map(|i| -self.chance(&joined[i.saturating_sub(self.order - 1)..i], joined[i]).max(1e-12).ln())
            .sum();
        sum / text.len() as f64
    }
}

fn discounts(level: &mut HashMap<u64, Context>) -> [f64; 3] {
    let mut with_count = [0f64; 4];
    for context in level.values_mut() {
        context.total = context.counts.values().sum();
        for &count in context.counts.values() {
            context.seen[(count.min(3) - 1) as usize] += 1;
            if let Some(n) = with_count.get_mut(count as usize - 1) {
                *n += 1.0;
            }
        }
    }
    let [n1, n2, n3, n4] = with_count;
    if n1 == 0.0 {
        return [0.0; 3];
    }
    let y = n1 / (n1 + 2.0 * n2 + 1e-9);
    [
        (1.0 - 2.0 * y * n2 / n1).max(0.0),
        (2.0 - 3.0 * y * n3 / n2.max(1.0)).max(0.0),
        (3.0 - 4.0 * y * n4 / n3.max(1.0)).max(0.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chances_after_any_history_sum_to_one() {
        let text: Vec<u8> = b"abracadabra abracadabra".iter().map(|c| c % 7).collect();
        for order in 1..=5 {
            let model = KneserNey::fit(&text, 7, order);
            for history in [&text[..0], &text[..3], &[6, 6, 6, 6], &text[4..9]] {
                let sum: f64 = (0..7).map(|c| model.chance(history, c)).sum();
                assert!((sum - 1.0).abs() < 1e-9, "order {order}: {sum}");
            }
        }
    }

    #[test]
    fn what_was_seen_is_likelier_than_what_was_not() {
        let text = [0u8, 1, 2, 3].repeat(50);
        let model = KneserNey::fit(&text, 8, 3);
        assert!(model.chance(&[1, 2], 3) > 0.9);
        assert!(model.nats(&[], &text) < 0.2);
    }
}
