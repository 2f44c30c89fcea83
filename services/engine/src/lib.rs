//! Runs packages on ONNX Runtime: sessions, batcher, decoder, compute plan. No gRPC in here.
//!
//! ```text
//! handler -> check -> queue -> scheduler -> worker (OS thread, session)
//!    ^                                        |
//!    '------ oneshot / bounded stream --------'
//! ```
//!
//! * [`Engine`] holds the loaded [`Model`]s; [`GraphHandle::run`] answers a request on a stateless graph,
//!   [`Decoder::stream`] advances a stream through a step graph together with others.
//! * Nothing on a tokio thread ever runs inference; no lock is held around a run.
//! * An answer has the same bits whatever else is being served ([`Batching::Exact`]): a batch size is only
//!   used if every row comes out of it as it does alone, which is tried when the model is loaded.
//! * Whether a session's threads divide each run or sessions of one thread run side by side is tried for each graph.
//! * How many rows run at once follows from what batches of each size cost, measured while loading and serving.
//! * A batch that fails is halved until what breaks it stands alone. A session that panicked, or does not do what it did
//!   when it was loaded, is made anew, and [`Health`] says so. A run that nobody waits for any more is stopped, and one
//!   that takes too long given up.
//! * Every worker has run every batch size before it serves anyone.
//! * Models come and go while others are served ([`Engine::add`], [`Engine::retire`]).

mod batcher;
mod calibration;
mod decoder;
mod engine;
mod error;
mod fault;
mod gauge;
mod golden;
mod histogram;
pub mod import;
pub mod measure;
mod model;
mod opening;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod orders;
mod plan;
mod priority;
mod rows;
mod runtime;
mod sampler;
pub mod seed;
mod sizes;
mod split;
mod stats;
mod sync;
mod turnstile;
mod watchdog;

pub use atelier_package::{Dtype, Tensor, TensorData};
pub use batcher::GraphHandle;
pub use calibration::{Calibration, GraphCalibration, Machine};
pub use decoder::{Cursor, Decoder, Step, Stream};
pub use engine::{Config, Engine, NotLoaded};
pub use error::EngineError;
pub use histogram::Distribution;
pub use model::Model;
pub use plan::{GraphLoad, GraphPlan, Plan};
pub use priority::{Priority, Terms};
pub use runtime::{Device, Runtime};
pub use sampler::{Sampler, Sampling, log_probability};
pub use sizes::Batching;
pub use stats::{Activity, DecoderStats, GraphStats, Health, Line, Outcomes, Times, Work, Workers};
