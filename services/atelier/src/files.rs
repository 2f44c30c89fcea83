//! Files and standard streams, in and out.

pub(crate) mod destination;
pub(crate) mod input;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod stdout;
pub(crate) mod whole;
