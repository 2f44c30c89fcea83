//! How old a connection may become.
//!
//! A balancer that chooses by connection sees the backends that there were when it connected. An end to every
//! connection is what makes callers look again, and take to what was added, renamed or given a new certificate
//! since.

use std::time::Duration;

use crate::ServerConfig;

/// How far the ages of connections differ, either way, so that callers who came together do not go together.
const JITTER: f64 = 0.1;

/// The age at which one connection is asked to end, and how long it may take over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age {
    limit: Option<Duration>,
    grace: Option<Duration>,
}

impl Age {
    /// For one connection; `chance`, of 0 to 1, says where in the jitter it lies.
    pub(super) fn of(config: &ServerConfig, chance: f64) -> Self {
        let some = |time: Duration| Some(time).filter(|time| !time.is_zero());
        let factor = 1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        let limit = some(config.max_connection_age);
        Self {
            // An age that is beyond all counting is none.
            limit: limit.and_then(|age| Duration::try_from_secs_f64(age.as_secs_f64() * factor).ok()),
            grace: some(config.max_connection_age_grace),
        }
    }

    /// Resolves when the connection is old enough; never where no age was set.
    pub(super) async fn reached(self) {
        sleep(self.limit).await;
    }

    /// Resolves when what is under way has had its time; never where that has no bound.
    pub(super) async fn over(self) {
        sleep(self.grace).await;
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(age: u64, grace: u64) -> ServerConfig {
        ServerConfig {
            max_connection_age: Duration::from_secs(age),
            max_connection_age_grace: Duration::from_secs(grace),
            ..ServerConfig::default()
        }
    }

    #[test]
    fn ages_lie_within_a_tenth_of_what_is_set() {
        let limit = |chance| Age::of(&config(1000, 0), chance).limit.unwrap().as_secs();
        assert_eq!([limit(0.0), limit(0.5), limit(1.0)], [900, 1000, 1100]);
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Age::of(&config(0, 0), 0.5), Age { limit: None, grace: None });
    }

    #[test]
    fn an_age_beyond_counting_is_none_and_no_panic() {
        assert_eq!(Age::of(&config(u64::MAX, 1), 1.0).limit, None);
    }
}
