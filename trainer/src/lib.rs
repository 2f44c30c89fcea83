//! Trains the models of the fleet with libtorch and exports them to ONNX.

pub mod adversarial;
pub mod card;
pub mod checkpoint;
pub mod curve;
pub mod data;
pub mod device;
pub mod evaluate;
pub mod events;
pub mod export;
pub mod fit;
pub mod graphs;
pub mod layers;
pub mod memory;
pub mod nets;
pub mod onnx;
pub mod onnx_runtime;
pub mod ops;
pub mod optim;
pub mod page;
pub mod picture;
pub mod plot;
pub mod progress;
pub mod random;
pub mod recipe;
pub mod run;
pub mod store;
