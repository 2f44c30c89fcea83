//! The part of ModelService that a role answers: its own models.

use std::sync::Arc;

use atelier_engine::Engine;
use atelier_proto::models::v1::model_service_server::ModelService;
use atelier_proto::models::v1::{
    GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse, Model,
};
use tonic::{Request, Response, Status};

use super::choose::{choose, is_default};
use super::describe::describe;
use crate::ServiceError;

/// Lists the models of one role. The gateway asks every role and answers for the fleet.
#[derive(Debug, Clone)]
pub struct RoleModels {
    engine: Engine,
    role: Arc<str>,
}

impl RoleModels {
    /// The models that `engine` serves for `role`.
    pub fn new(engine: Engine, role: &str) -> Self {
        Self { engine, role: role.into() }
    }

    fn describe(&self, model: &Arc<atelier_engine::Model>) -> Model {
        let is_default = is_default(&self.engine.models(), model);
        describe(model.manifest(), &self.role, model.device().to_string(), is_default)
    }
}

#[tonic::async_trait]
impl ModelService for RoleModels {
    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let ListModelsRequest { kind, role } = request.into_inner();
        let mut models: Vec<Model> = self.engine.models().iter().map(|model| self.describe(model)).collect();
        let fits = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        models.retain(|model| fits(&kind, &model.kind) && fits(&role, &model.role));
        models.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn get_model(
        &self,
        request: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        let GetModelRequest { name, version } = request.into_inner();
        if name.is_empty() {
            return Err(ServiceError::invalid("name", "is empty, must name a model").into());
        }
        let models = self.engine.models();
        let model = choose(&models, &name, version, &atelier_package::Kind::ALL)?;
        Ok(Response::new(GetModelResponse { model: Some(self.describe(model)) }))
    }
}
