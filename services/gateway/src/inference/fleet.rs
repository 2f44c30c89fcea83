//! What the roles say of themselves, put together.

use std::sync::Arc;

use atelier_proto::inference as api;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::Catalog;

/// Answers from what every role says of its own. A role that cannot be reached while others can is left out.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    catalog: Arc<Catalog>,
}

impl Fleet {
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }

    /// What the roles say: they are one program, and each tells in its extensions what it computes with.
    pub(super) async fn metadata(
        self,
        _: api::ServerMetadataRequest,
        metadata: MetadataMap,
    ) -> Result<api::ServerMetadataResponse, Status> {
        let answers = self.catalog.each(&metadata, |mut client, request| async move {
            client.server_metadata(request.map(|()| api::ServerMetadataRequest {})).await
        });
        let mut answers = answers.await.into_iter().flatten();
        let mut first = answers.next().ok_or_else(|| self.catalog.nobody())?;
        for extension in answers.flat_map(|answer| answer.extensions) {
            if !first.extensions.contains(&extension) {
                first.extensions.push(extension);
            }
        }
        Ok(first)
    }

    /// Every model of every role.
    pub(super) async fn index(
        self,
        asked: api::RepositoryIndexRequest,
        metadata: MetadataMap,
    ) -> Result<api::RepositoryIndexResponse, Status> {
        let answers = self.catalog.each(&metadata, |mut client, request| {
            let asked = asked.clone();
            async move { client.repository_index(request.map(|()| asked)).await }
        });
        let mut models = self.together(answers.await, |answer| answer.models)?;
        models.sort_by(|a, b| (&a.name, number(&a.version)).cmp(&(&b.name, number(&b.version))));
        Ok(api::RepositoryIndexResponse { models })
    }

    /// What every model of every role has done.
    pub(super) async fn statistics(
        self,
        asked: api::ModelStatisticsRequest,
        metadata: MetadataMap,
    ) -> Result<api::ModelStatisticsResponse, Status> {
        let answers = self.catalog.each(&metadata, |mut client, request| {
            let asked = asked.clone();
            async move { client.model_statistics(request.map(|()| asked)).await }
        });
        let mut model_stats = self.together(answers.await, |answer| answer.model_stats)?;
        model_stats.sort_by(|a, b| (&a.name, number(&a.version)).cmp(&(&b.name, number(&b.version))));
        Ok(api::ModelStatisticsResponse { model_stats })
    }

    /// What the roles that answer have. An error where none does.
    fn together<T, M>(
        &self,
        answers: Vec<Result<T, Status>>,
        of: impl Fn(T) -> Vec<M>,
    ) -> Result<Vec<M>, Status> {
        let lost = |answer: &Result<T, Status>| {
            answer.as_ref().is_err_and(|status| status.code() != Code::Unimplemented)
        };
        if answers.iter().all(lost) {
            return Err(self.catalog.nobody().into());
        }
        Ok(answers.into_iter().flatten().flat_map(of).collect())
    }
}

/// Versions in the order of their numbers: 10 comes after 9.
fn number(version: &str) -> u32 {
    version.parse().unwrap_or_default()
}
