//! How face ageing is judged: by ages, by verification, and by what needs no network.

pub mod baselines;
pub mod jury;
pub mod refusals;
pub mod response;
pub mod ridge;
pub mod verification;
