//! `atelier models`: what a fleet serves.

mod show;

use atelier_proto::models::v1::model_service_client::ModelServiceClient;
use atelier_proto::models::v1::{GetModelRequest, ListModelsRequest};
use serde_json::Value;

use super::connection::{Connection, ServerArgs};
use super::model_arg::ModelArg;
use crate::cli::failure::{Exit, Failure};
use crate::files::stdout;

/// List the models that are being served, or describe one.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Models {
    /// Describe this one, with its graphs and what was measured of it
    #[arg(value_name = "NAME[@VERSION]")]
    model: Option<ModelArg>,
    /// Only models of this kind, for example denoising-autoencoder
    #[arg(long, value_name = "KIND", conflicts_with = "model")]
    kind: Option<String>,
    /// Only models of this role, for example codec
    #[arg(long, value_name = "ROLE", conflicts_with = "model")]
    role: Option<String>,
    /// Print JSON: a list of all, or an object of one
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// What is wrong with the command, the server or the output.
pub(crate) async fn run(command: Models, server: &ServerArgs) -> Result<(), Failure> {
    let connection = Connection::open(server).await?;
    if let Some(ModelArg { name, version }) = command.model {
        let request = GetModelRequest { name, version };
        let call = async |c, r| ModelServiceClient::new(c).get_model(r).await;
        let model = connection.unary(request, call).await?.model;
        let model = model.ok_or_else(|| Failure::new(Exit::Other, "the server answered without a model"))?;
        return match command.json {
            true => stdout::line(&show::json(&model).to_string()),
            false => stdout::text(&show::details(&model)),
        };
    }
    let request =
        ListModelsRequest { kind: command.kind.unwrap_or_default(), role: command.role.unwrap_or_default() };
    let call = async |c, r| ModelServiceClient::new(c).list_models(r).await;
    let models = connection.unary(request, call).await?.models;
    match command.json {
        true => stdout::line(&Value::Array(models.iter().map(show::json).collect()).to_string()),
        false => stdout::text(&show::table(&models)),
    }
}
