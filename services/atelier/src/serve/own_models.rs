//! ModelService for one role of several that share an engine.

use atelier_chassis::ServiceError;
use atelier_chassis::models::RoleModels;
use atelier_engine::Engine;
use atelier_proto::models::v1::model_service_server::ModelService;
use atelier_proto::models::v1::{GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse};
use tonic::{Request, Response, Status};

use super::role::Domain;

/// The models of the engine that are of the role's kinds. In one process all roles share one engine, so
/// that one plan divides the machine.
#[derive(Debug, Clone)]
pub(super) struct OwnModels {
    models: RoleModels,
    domain: Domain,
}

impl OwnModels {
    pub(super) fn new(engine: Engine, domain: Domain) -> Self {
        Self { models: RoleModels::new(engine, domain.name()), domain }
    }

    fn owns(&self, kind: &str) -> bool {
        self.domain.kinds().iter().any(|own| own.as_str() == kind)
    }

    async fn names(&self) -> Result<Vec<String>, Status> {
        let all = self.list_models(Request::new(ListModelsRequest::default())).await?;
        Ok(all.into_inner().models.into_iter().map(|model| model.name).collect())
    }
}

#[tonic::async_trait]
impl ModelService for OwnModels {
    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let mut answer = self.models.list_models(request).await?;
        answer.get_mut().models.retain(|model| self.owns(&model.kind));
        Ok(answer)
    }

    async fn get_model(
        &self,
        request: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        let name = request.get_ref().name.clone();
        let answer = self.models.get_model(request).await?;
        match &answer.get_ref().model {
            Some(model) if !self.owns(&model.kind) => {
                Err(ServiceError::not_found("model", name, self.names().await?).into())
            }
            _ => Ok(answer),
        }
    }
}
