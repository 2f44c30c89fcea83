//! The model package format: read, verify, write.
//!
//! A package is a directory that holds one version of one model:
//!
//! ```text
//! models/fashion-dae/1/package.toml         what it is: graphs, tensors, hashes, metrics
//! models/fashion-dae/1/denoiser.onnx        one file for each graph
//! models/fashion-dae/1/golden.safetensors   inputs with the outputs that the trainer saw
//! ```
//!
//! [`Package::open`] believes nothing that it has not checked: unknown fields, wrong hashes, path tricks,
//! and graphs that do not fit the package's [`Kind`] are errors that name the file and the field.
//! [`Repository::scan`] opens a whole tree and sets a bad package aside without losing the good ones.
//! [`PackageWriter`] is the trainer's side: a package appears whole or not at all.
//!
//! ```no_run
//! use atelier_package::Repository;
//!
//! let repository = Repository::scan("models".as_ref())?;
//! for package in repository.latest() {
//!     println!("{} {}: {}", package.name(), package.version(), package.manifest().summary);
//! }
//! # Ok::<(), atelier_package::PackageError>(())
//! ```

mod error;
mod golden;
mod manifest;
mod name;
mod package;
mod repository;
mod tensor;
mod writer;

pub use error::{FieldError, PackageError};
pub use golden::{DEFAULT_TOLERANCE, Golden, GoldenCase, Mismatch, compare};
pub use manifest::kind::Kind;
pub use manifest::spec::{Bindings, Dim, ShapeMismatch, TensorSpec};
pub use manifest::{
    Audio, Curve, DelayLines, ErrorLimits, GraphSpec, ImageShape, Labels, Manifest, Novelty, Segmentation,
    Speaker, StatePair, Telemetry, TelemetryChannel, Training, Vocabulary,
};
pub use name::{NameError, PackageName, Version};
pub use package::{GOLDEN_FILE, MANIFEST_FILE, Package};
pub use repository::{Rejected, Repository};
pub use tensor::{Dtype, Tensor, TensorData, TensorError};
pub use writer::{Existing, PackageWriter};
