//! `atelier image`: new images, and faces at other ages.

mod age;
mod generate;
mod interpolate;

use std::io::{self, Write};

use atelier_proto::image::v1::Condition;
use atelier_proto::image::v1::image_service_client::ImageServiceClient;
use atelier_proto::models::v1::ModelVersion;
use clap::Subcommand;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::connection::{Connection, ServerArgs};
use super::model_arg::Answered;
use super::{gallery, images};
use crate::cli::failure::{Failure, one_line};
use crate::files::json as parts;

/// The most bytes of a message that is taken.
const MAX_ANSWER: usize = 256 << 20;

/// The commands of `atelier image`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ImageCommand {
    Generate(generate::Generate),
    Interpolate(interpolate::Interpolate),
    Age(age::Age),
}

/// Runs one of them.
///
/// # Errors
/// What is wrong with the command, its input, the server or the output.
pub(crate) async fn run(command: ImageCommand, server: &ServerArgs) -> Result<(), Failure> {
    match command {
        ImageCommand::Generate(command) => command.run(server).await,
        ImageCommand::Interpolate(command) => command.run(server).await,
        ImageCommand::Age(command) => command.run(server).await,
    }
}

/// The image service behind a connection.
fn service(channel: Channel) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

/// Says on stderr under which licence faces are made: their weights are not free for every use.
fn say_licence(model: Option<&ModelVersion>, licence: &str) {
    // Where stderr cannot be written to, nobody can be told.
    let _ = writeln!(io::stderr(), "licence of {}: {}", Answered(model), one_line(licence));
}

/// What an image shows, for `--json`: what the model knows nothing of is null.
fn condition(condition: Option<&Condition>) -> Value {
    let class = condition
        .filter(|shown| shown.class_id.is_some())
        .map(|shown| json!({ "name": shown.class_name, "id": shown.class_id }));
    let age = condition.and_then(|shown| shown.age).map(parts::number);
    json!({ "class": class, "age": age })
}
