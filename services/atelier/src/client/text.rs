//! `atelier text`: text, character by character.

mod generate;
mod score;

use std::path::PathBuf;

use clap::Subcommand;

use super::connection::{Connection, ServerArgs};
use crate::cli::failure::Failure;
use crate::files::input;

/// The commands of `atelier text`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TextCommand {
    Generate(generate::Generate),
    Score(score::Score),
}

/// Runs one of them.
///
/// # Errors
/// What is wrong with the command, its input, the server or the output.
pub(crate) async fn run(command: TextCommand, server: &ServerArgs) -> Result<(), Failure> {
    match command {
        TextCommand::Generate(command) => command.run(server).await,
        TextCommand::Score(command) => command.run(server).await,
    }
}

/// A text on the command line, or in a file.
fn text_of(text: Option<&str>, file: Option<&PathBuf>) -> Result<Option<String>, Failure> {
    match (text, file) {
        (Some("-"), _) => input::text("-".as_ref()).map(Some),
        (Some(text), _) => Ok(Some(text.to_owned())),
        (None, Some(file)) => input::text(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The text service behind a connection.
fn service(
    channel: tonic::transport::Channel,
) -> atelier_proto::text::v1::text_service_client::TextServiceClient<tonic::transport::Channel> {
    atelier_proto::text::v1::text_service_client::TextServiceClient::new(channel)
}
