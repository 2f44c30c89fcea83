//! The parameters of a network, by name and in a fixed order, with their first values and their averages.

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::random;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Square blocks stacked along the first axis, each a random orthogonal matrix (Saxe et al. 2014).
    OrthogonalBlocks,
    /// Four equal quarters, the second (the forget gate) 1, the rest 0.
    ForgetBias,
}

/// One named parameter, or a buffer: something that training keeps beside them, such as the running mean of a
/// batch normalisation.
#[derive(Debug)]
pub struct Parameter {
    /// Unique in its store, such as `decoder.0.weight`.
    pub name: String,
    /// The value that training changes, in place.
    pub value: Tensor,
    /// Whether weight decay pulls at it: matrices and kernels, not biases.
    pub decays: bool,
}

impl Parameter {
    /// Whether training moves it: it is no buffer.
    #[must_use]
    pub fn trains(&self) -> bool {
        self.value.requires_grad()
    }
}

/// The parameters of a network.
///
/// Layers hold shallow clones, so a change made here in place is a change of the network.
#[derive(Debug)]
pub struct Store {
    parameters: Vec<Parameter>,
    device: Device,
    rng: ChaCha8Rng,
}

impl Store {
    /// An empty store whose first values are drawn from `seed`, whatever the device.
    #[must_use]
    pub fn new(seed: u64, device: Device) -> Self {
        Self { parameters: Vec::new(), device, rng: random::generator(&[seed, random::INIT]) }
    }

    /// Adds a parameter and returns a handle to its value.
    pub fn parameter(&mut self, name: &str, shape: &[usize], init: Init) -> Tensor {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let value = self.draw(&shape, init).to_device(self.device).set_requires_grad(true);
        let handle = value.shallow_clone();
        self.parameters.push(Parameter { name: name.to_owned(), value, decays: shape.len() > 1 });
        handle
    }

    /// Adds a buffer and returns a handle to its value: saved and loaded with the parameters, without a
    /// gradient, and taken as it is where parameters are averaged.
    pub fn buffer(&mut self, name: &str, shape: &[usize], init: Init) -> Tensor {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let value = self.draw(&shape, init).to_device(self.device);
        let handle = value.shallow_clone();
        self.parameters.push(Parameter { name: name.to_owned(), value, decays: false });
        handle
    }

    /// Gives the parameters whose names start with `prefix` these values for good: they stay where they are
    /// saved and loaded, but have no gradient any more.
    ///
    /// # Errors
    /// Names a parameter that is missing or has another shape.
    pub fn freeze(&mut self, prefix: &str, values: &HashMap<String, Tensor>) -> Result<(), StoreError> {
        for p in self.parameters.iter_mut().filter(|p| p.name.starts_with(prefix)) {
            let value = matching(p, values)?;
            p.value = p.value.set_requires_grad(false);
            p.value.copy_(value);
        }
        Ok(())
    }

    fn draw(&mut self, shape: &[i64], init: Init) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        match init {
            Init::Constant(c) => Tensor::full(shape, c, (Kind::Float, Device::Cpu)),
            Init::Normal(deviation) => normal(&mut self.rng, count, deviation).reshape(shape),
            Init::OrthogonalBlocks => {
                let n = shape[1];
                let blocks: Vec<Tensor> = (0..shape[0] / n)
                    .map(|_| {
                        let square = normal(&mut self.rng, (n * n) as usize, 1.0).reshape([n, n]);
                        let (q, r) = Tensor::linalg_qr(&square.to_kind(Kind::Double), "reduced");
                        (q * r.diag(0).sign()).to_kind(Kind::Float)
                    })
                    .collect();
                Tensor::cat(&blocks, 0)
            }
            Init::ForgetBias => {
                let quarter = shape[0] / 4;
                let zeros = |n: i64| Tensor::zeros([n], (Kind::Float, Device::Cpu));
                let ones = Tensor::ones([quarter], (Kind::Float, Device::Cpu));
                Tensor::cat(&[zeros(quarter), ones, zeros(2 * quarter)], 0)
            }
        }
    }

    /// All parameters, in the order in which the network asked for them.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Where the values live.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Numbers in all parameters together, without buffers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parameters.iter().filter(|p| p.trains()).map(|p| p.value.numel()).sum()
    }

    /// Detached handles to the values, by name.
    #[must_use]
    pub fn named(&self) -> Vec<(String, Tensor)> {
        self.parameters.iter().map(|p| (p.name.clone(), p.value.detach())).collect()
    }

    /// Takes over values by name.
    ///
    /// # Errors
    /// Names a parameter that is missing or has another shape. Nothing is changed then.
    pub fn load(&mut self, values: &HashMap<String, Tensor>) -> Result<(), StoreError> {
        for p in &self.parameters {
            matching(p, values)?;
        }
        tch::no_grad(|| {
            for p in &mut self.parameters {
                if let Some(value) = values.get(&p.name) {
                    p.value.copy_(value);
                }
            }
        });
        Ok(())
    }
}

/// The value that is meant for a parameter.
fn matching<'a>(p: &Parameter, values: &'a HashMap<String, Tensor>) -> Result<&'a Tensor, StoreError> {
    let value = values.get(&p.name).ok_or_else(|| StoreError::Missing { name: p.name.clone() })?;
    if value.size() != p.value.size() {
        return Err(StoreError::Shape {
            name: p.name.clone(),
            found: value.size(),
            expected: p.value.size(),
        });
    }
    Ok(value)
}

fn normal(rng: &mut ChaCha8Rng, count: usize, deviation: f64) -> Tensor {
    let values: Vec<f32> = random::normals(rng, count).map(|x| (x * deviation) as f32).collect();
    Tensor::from_slice(&values)
}

/// Values that do not fit the network.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A parameter of the network is not among the values.
    #[error("parameter {name} is missing")]
    Missing {
        /// The parameter.
        name: String,
    },
    /// A value has another shape than the network's parameter.
    #[error("parameter {name} has shape {found:?}, the network wants {expected:?}")]
    Shape {
        /// The parameter.
        name: String,
        /// In the file.
        found: Vec<i64>,
        /// In the network.
        expected: Vec<i64>,
    },
    /// A value is of no parameter of the network.
    #[error("the network has no parameter {name}")]
    Surplus {
        /// What the value is called.
        name: String,
    },
}

/// An exponential moving average of a store's values: what is evaluated and exported.
///
/// The decay is warmed up as `min(decay, (1 + step) / (10 + step))`, so that the first values are soon
/// forgotten.
#[derive(Debug)]
pub struct Average {
    values: Vec<Tensor>,
    decay: f64,
}

impl Average {
    /// Starts at the store's present values.
    #[must_use]
    pub fn new(store: &Store, decay: f64) -> Self {
        Self { values: store.parameters().iter().map(|p| p.value.detach().copy()).collect(), decay }
    }

    /// Moves towards the present values after step `step` (counted from 0).
    pub fn update(&mut self, store: &Store, step: u64) {
        let warm = (1.0 + step as f64) / (10.0 + step as f64);
        let weight = 1.0 - self.decay.min(warm);
        tch::no_grad(|| {
            for (average, p) in self.values.iter_mut().zip(store.parameters()) {
                let weight = if p.trains() { weight } else { 1.0 };
                let _ = average.lerp_(&p.value.detach(), weight);
            }
        });
    }

    /// The averages, by name.
    #[must_use]
    pub fn named(&self, store: &Store) -> Vec<(String, Tensor)> {
        store
            .parameters()
            .iter()
            .zip(&self.values)
            .map(|(p, v)| (p.name.clone(), v.shallow_clone()))
            .collect()
    }

    /// Exchanges averages and present values: once to evaluate, once more to go on training.
    pub fn swap(&mut self, store: &mut Store) {
        tch::no_grad(|| {
            for (average, p) in self.values.iter_mut().zip(&mut store.parameters) {
                let kept = p.value.detach().copy();
                p.value.copy_(average);
                average.copy_(&kept);
            }
        });
    }

    /// Takes over averages by name.
    ///
    /// # Errors
    /// Names a parameter that is missing.
    pub fn load(&mut self, store: &Store, values: &HashMap<String, Tensor>) -> Result<(), StoreError> {
        for (average, p) in self.values.iter_mut().zip(store.parameters()) {
            let value = values.get(&p.name).ok_or_else(|| StoreError::Missing { name: p.name.clone() })?;
            average.copy_(value);
        }
        Ok(())
    }
}
