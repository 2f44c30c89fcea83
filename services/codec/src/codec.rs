//! What the methods do, in the terms of pictures and codes.

use std::sync::Arc;
use std::time::Instant;

use atelier_chassis::models::graph::{Outputs, run};
use atelier_chassis::{Blocking, Deadline, ServiceError, Stage, models};
use atelier_engine::{Engine, Model, TensorData};
use atelier_package::{ImageShape, Kind};
use atelier_picture::{Encoded, Fit, Picture, message};
use atelier_proto::codec::v1 as api;

use crate::fields;
use crate::graph;

/// Kinds with codes, the default first.
pub(crate) const CODING: [Kind; 2] = [Kind::VariationalAutoencoder, Kind::Autoencoder];
/// Kinds that remove noise.
pub(crate) const DENOISING: [Kind; 1] = [Kind::DenoisingAutoencoder];
/// Kinds that may have a classifier.
pub(crate) const CLASSIFYING: [Kind; 1] = [Kind::Autoencoder];
/// Kinds that fill holes.
pub(crate) const INPAINTING: [Kind; 1] = [Kind::Inpainter];
/// Kinds that tell foreground from background.
pub(crate) const SEGMENTING: [Kind; 1] = [Kind::Segmentation];
/// Kinds whose codes come from a known distribution.
pub(crate) const VARIATIONAL: [Kind; 1] = [Kind::VariationalAutoencoder];

/// A model at work for one request.
pub(crate) struct Job {
    pub(crate) model: Arc<Model>,
    pub(crate) blocking: Blocking,
    deadline: Option<Instant>,
}

/// The distribution of an image's code.
pub(crate) struct Posterior {
    pub(crate) mean: Vec<f32>,
    /// Empty where the model is deterministic.
    pub(crate) log_variance: Vec<f32>,
}

impl Job {
    /// For the model that a request means, of one of `kinds`.
    pub(crate) fn new(
        engine: &Engine,
        blocking: &Blocking,
        (name, version): (&str, u32),
        kinds: &[Kind],
        deadline: Option<Deadline>,
    ) -> Result<Self, ServiceError> {
        let model = models::resolve(engine, name, version, kinds)?;
        Ok(Self::with(model, blocking, deadline))
    }

    /// For the model that a request means, of one of `kinds` and with a graph that not all of them have.
    pub(crate) fn with_graph(
        engine: &Engine,
        blocking: &Blocking,
        (name, version): (&str, u32),
        (kinds, graph): (&[Kind], &str),
        deadline: Option<Deadline>,
    ) -> Result<Self, ServiceError> {
        let model = models::resolve_with_graph(engine, name, version, kinds, graph)?;
        Ok(Self::with(model, blocking, deadline))
    }

    fn with(model: Arc<Model>, blocking: &Blocking, deadline: Option<Deadline>) -> Self {
        tracing::debug!(model = %model.name(), version = %model.version(), "chose a model");
        Self { model, blocking: blocking.clone(), deadline: deadline.map(Deadline::instant) }
    }

    /// Decodes an image and fits it to an input of the model's.
    pub(crate) async fn picture(
        &self,
        image: Encoded,
        fit: Fit,
        graph: &str,
    ) -> Result<Picture, ServiceError> {
        let spec = self.model.manifest().graph(graph).and_then(|graph| graph.input("image"));
        let shape = graph::image_shape(&self.model, spec)?;
        self.blocking.run(Stage::Decode, move || image.fit(fit, shape)).await
    }

    /// The code of a picture.
    pub(crate) async fn encode(&self, picture: Picture) -> Result<Posterior, ServiceError> {
        let mut outputs = self.run("encoder", 1, vec![("image", picture.values)]).await?;
        let posterior = match self.model.kind() {
            Kind::VariationalAutoencoder => {
                Posterior { mean: outputs.take("mean")?, log_variance: outputs.take("log_variance")? }
            }
            _ => Posterior { mean: outputs.take("code")?, log_variance: Vec::new() },
        };
        self.finite("code", posterior.mean.iter().chain(&posterior.log_variance))?;
        Ok(posterior)
    }

    /// The pictures of codes. `field` is where the codes came from, if from the request: it is their fault
    /// if they are so far out that the model has no picture of them.
    pub(crate) async fn decode(
        &self,
        codes: &[Vec<f32>],
        field: Option<&str>,
    ) -> Result<Vec<Picture>, ServiceError> {
        let spec = self.model.manifest().graph("decoder").and_then(|graph| graph.output("image"));
        let shape = graph::image_shape(&self.model, spec)?;
        let mut outputs = self.run("decoder", codes.len(), vec![("code", codes.concat())]).await?;
        let values = outputs.take("image")?;
        self.finite("image", &values).map_err(|error| match field {
            Some(field) => ServiceError::invalid(field, "is so far out that the model has no image of it"),
            None => error,
        })?;
        Ok(Picture::split(shape, &values))
    }

    /// The picture without its noise, whose level the model estimates where none is given.
    pub(crate) async fn denoise(
        &self,
        picture: Picture,
        sigma: Option<f32>,
    ) -> Result<Picture, ServiceError> {
        let shape = picture.shape;
        let mut outputs = match sigma {
            Some(sigma) => {
                self.run("denoiser", 1, vec![("image", picture.values), ("sigma", vec![sigma])]).await?
            }
            None => self.run("blind", 1, vec![("image", picture.values)]).await?,
        };
        let values = outputs.take("denoised")?;
        self.finite("image", &values)?;
        Ok(Picture { shape, values })
    }

    /// Pictures as the API sends them.
    pub(crate) async fn images(&self, pictures: Vec<Picture>) -> Result<Vec<api::Image>, ServiceError> {
        self.blocking.run(Stage::Encode, move || pictures.iter().map(message::png).collect()).await
    }

    /// One picture as the API sends it.
    pub(crate) async fn image(&self, picture: Picture) -> Result<Option<api::Image>, ServiceError> {
        Ok(self.images(vec![picture]).await?.pop())
    }

    /// The code of one end of a walk.
    pub(crate) async fn waypoint(
        &self,
        field: &str,
        waypoint: Option<api::Waypoint>,
        fit: Fit,
    ) -> Result<Vec<f32>, ServiceError> {
        match waypoint.and_then(|waypoint| waypoint.point) {
            Some(api::waypoint::Point::Code(code)) => {
                fields::code(&format!("{field}.code"), Some(code), graph::code_length(&self.model)?)
            }
            Some(api::waypoint::Point::Image(image)) => {
                let image = Encoded::new(format!("{field}.image"), Some(image))?;
                let picture = self.picture(image, fit, "encoder").await?;
                Ok(self.encode(picture).await?.mean)
            }
            None => Err(ServiceError::invalid(field, "is missing, but a code or an image is right")),
        }
    }

    /// The greatest noise level that the model knows.
    pub(crate) fn greatest_sigma(&self) -> f32 {
        let spec = self.model.manifest().graph("denoiser").and_then(|graph| graph.input("sigma"));
        // The API's own bound, where the package says nothing.
        spec.and_then(|spec| spec.range).map_or(0.55, |[_, greatest]| greatest as f32)
    }

    pub(crate) async fn run(
        &self,
        graph: &str,
        rows: usize,
        inputs: Vec<(&'static str, Vec<f32>)>,
    ) -> Result<Outputs, ServiceError> {
        let inputs = inputs.into_iter().map(|(name, values)| (name, TensorData::F32(values))).collect();
        run(&self.model, graph, rows, inputs, self.deadline).await
    }

    pub(crate) fn finite<'a>(
        &self,
        what: &str,
        values: impl IntoIterator<Item = &'a f32>,
    ) -> Result<(), ServiceError> {
        match values.into_iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => {
                let model = &self.model;
                let message = format!(
                    "model {}/{} gave {what} values that are no numbers",
                    model.name(),
                    model.version()
                );
                Err(ServiceError::internal(message))
            }
        }
    }
}

/// Mean squared error, on the 0 to 1 scale that an encoded image has.
pub(crate) fn mse(a: &Picture, b: &Picture) -> f32 {
    let squares = a.values.iter().zip(&b.values).map(|(x, y)| f64::from(x - y.clamp(0.0, 1.0)).powi(2));
    let ImageShape { channels, height, width } = a.shape;
    (squares.sum::<f64>() / (channels * height * width).max(1) as f64) as f32
}
