//! Everything that a run needs to go on exactly: one safetensors file, replaced atomically.
//!
//! Tensors are named `model/…`, `average/…`, `optimiser/…` and `memory/…` (what a recipe carries from step
//! to step); the metadata holds the number of steps done, the recipe's fingerprint, which runs it builds upon
//! and, where the state was kept for its validation, what that came to. No random state: see
//! [`random`](crate::random).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor};

/// A run's state after `step` steps.
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Hash of everything in the recipe that decides what a step does.
    pub fingerprint: String,
    /// Which states of which other runs it builds upon; empty where there are none.
    pub builds_upon: String,
    /// The figure of its validation that it was kept for, if it was kept for one.
    pub figure: Option<f64>,
    /// f32 tensors by group and name.
    pub tensors: Vec<(String, Tensor)>,
}

/// A checkpoint that cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not a checkpoint of ours.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Checkpoint {
    /// Writes to `path`: a reader sees the old file or the new one, never a part.
    ///
    /// # Errors
    /// Names the file, when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let malformed = |message: String| CheckpointError::Malformed { path: path.to_owned(), message };
        let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                let shape = tensor.size().iter().map(|&n| n as usize).collect();
                let data = crate::ops::eager::to_vec(tensor).iter().flat_map(|x| x.to_le_bytes()).collect();
                (name.clone(), shape, data)
            })
            .collect();
        let mut views = Vec::with_capacity(bytes.len());
        for (name, shape, data) in &bytes {
            let view =
                TensorView::new(Dtype::F32, shape.clone(), data).map_err(|e| malformed(e.to_string()))?;
            views.push((name, view));
        }
        let mut metadata = HashMap::from([
            ("step".to_owned(), self.step.to_string()),
            ("fingerprint".to_owned(), self.fingerprint.clone()),
            ("builds_upon".to_owned(), self.builds_upon.clone()),
        ]);
        metadata.extend(self.figure.map(|figure| ("figure".to_owned(), figure.to_string())));
        let io = |source| CheckpointError::Io { path: path.to_owned(), source };
        let packed = safetensors::serialize(views, Some(metadata)).map_err(|e| malformed(e.to_string()))?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, packed).map_err(io)?;
        std::fs::rename(&partial, path).map_err(io)
    }

    /// Reads what [`Checkpoint::write`] wrote.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let malformed = |message: String| CheckpointError::Malformed { path: path.to_owned(), message };
        let bytes =
            std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        let broken = |e: safetensors::SafeTensorError| malformed(format!("not a checkpoint: {e}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| {
            metadata.get(key).cloned().ok_or_else(|| malformed(format!("not a checkpoint: no {key} in it")))
        };
        let step = entry("step")?;
        let step = step.parse().map_err(|_| malformed(format!("step is {step:?}, not a number")))?;
        let figure = metadata.get("figure").map(|text| {
            text.parse::<f64>().map_err(|_| malformed(format!("figure is {text:?}, not a number")))
        });
        let mut tensors = Vec::new();
        for (name, view) in SafeTensors::deserialize(&bytes).map_err(broken)?.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(malformed(format!("{name} is {:?}, not F32", view.dtype())));
            }
            let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
            tensors.push((name, Tensor::from_data_size(view.data(), &shape, Kind::Float)));
        }
        let builds_upon = metadata.get("builds_upon").cloned().unwrap_or_default();
        Ok(Self {
            step,
            fingerprint: entry("fingerprint")?,
            builds_upon,
            figure: figure.transpose()?,
            tensors,
        })
    }

    /// The tensors of one group by name, on `device`.
    #[must_use]
    pub fn group(&self, group: &str, device: Device) -> HashMap<String, Tensor> {
        let prefix = format!("{group}/");
        self.tensors
            .iter()
            .filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_owned(), t.to_device(device))))
            .collect()
    }

    /// Adds tensors under a group.
    pub fn add(&mut self, group: &str, named: Vec<(String, Tensor)>) {
        self.tensors.extend(named.into_iter().map(|(name, t)| (format!("{group}/{name}"), t)));
    }
}
