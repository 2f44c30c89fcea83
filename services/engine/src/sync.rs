//! The locks, conditions, flags and threads that callers and workers share.
//!
//! The standard ones; with the feature `shuttle` those that try the orders in which threads may take their turns
//! (`orders`).

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic},
    thread,
};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic},
    thread,
};
