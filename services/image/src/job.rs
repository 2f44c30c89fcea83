//! A model at work for one request.

use std::sync::Arc;
use std::time::Instant;

use atelier_chassis::models::graph::{Outputs, run, unfit};
use atelier_chassis::models::{model_version, resolve};
use atelier_chassis::{Blocking, Deadline, ServiceError, Stage};
use atelier_engine::{Engine, Model, TensorData};
use atelier_package::{ImageShape, Kind, TensorSpec};
use atelier_picture::{Encoded, Fit, Picture, message};
use atelier_proto::codec::v1 as codec;
use atelier_proto::models::v1::ModelVersion;

/// The model that a request means, and how long it may work.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) model: Arc<Model>,
    pub(crate) blocking: Blocking,
    deadline: Option<Instant>,
}

impl Job {
    /// For the model that a request means, of this kind.
    pub(crate) fn new(
        engine: &Engine,
        blocking: &Blocking,
        (name, version): (&str, u32),
        kind: Kind,
        deadline: Option<Deadline>,
    ) -> Result<Self, ServiceError> {
        let model = resolve(engine, name, version, &[kind])?;
        tracing::debug!(model = %model.name(), version = %model.version(), "chose a model");
        Ok(Self { model, blocking: blocking.clone(), deadline: deadline.map(Deadline::instant) })
    }

    /// What a response says of the model.
    pub(crate) fn version(&self) -> Option<ModelVersion> {
        Some(model_version(&self.model))
    }

    /// What a response says of its weights.
    pub(crate) fn licence(&self) -> String {
        self.model.manifest().licence.clone()
    }

    /// An input of one of the model's graphs.
    pub(crate) fn input(&self, graph: &str, name: &str) -> Option<&TensorSpec> {
        self.model.manifest().graph(graph).and_then(|graph| graph.input(name))
    }

    /// Runs a graph on so many rows of each of its inputs, which are given by name.
    pub(crate) async fn run(
        &self,
        graph: &str,
        rows: usize,
        inputs: Vec<(&'static str, TensorData)>,
    ) -> Result<Outputs, ServiceError> {
        run(&self.model, graph, rows, inputs, self.deadline).await
    }

    /// The pictures of an output.
    pub(crate) fn pictures(
        &self,
        graph: &str,
        name: &str,
        outputs: &mut Outputs,
    ) -> Result<Vec<Picture>, ServiceError> {
        let spec = self.model.manifest().graph(graph).and_then(|graph| graph.output(name));
        let shape = self.shape(spec)?;
        let values = outputs.take(name)?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(Picture::split(shape, &values)),
            false => Err(unfit(&self.model, &format!("its {graph} gave pixels that are no numbers"))),
        }
    }

    /// Decodes an image and fits it to an input of the model's.
    pub(crate) async fn picture(
        &self,
        image: Encoded,
        fit: Fit,
        graph: &str,
    ) -> Result<Picture, ServiceError> {
        let shape = self.shape(self.input(graph, "image"))?;
        self.blocking.run(Stage::Decode, move || image.fit(fit, shape)).await
    }

    /// Pictures as the API sends them.
    pub(crate) async fn images(&self, pictures: Vec<Picture>) -> Result<Vec<codec::Image>, ServiceError> {
        self.blocking.run(Stage::Encode, move || pictures.iter().map(message::png).collect()).await
    }

    fn shape(&self, spec: Option<&TensorSpec>) -> Result<ImageShape, ServiceError> {
        let none = || unfit(&self.model, "its images are not of a fixed size");
        spec.and_then(TensorSpec::image_shape).ok_or_else(none)
    }
}
