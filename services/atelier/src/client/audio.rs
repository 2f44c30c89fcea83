//! `atelier audio`: speech, sample by sample.

mod speakers;
mod synthesize;

use clap::Subcommand;

use super::connection::{Connection, ServerArgs};
use crate::cli::failure::Failure;

/// The commands of `atelier audio`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AudioCommand {
    Synthesize(synthesize::Synthesize),
    Speakers(speakers::Speakers),
}

/// Runs one of them.
///
/// # Errors
/// What is wrong with the command, the server or the output.
pub(crate) async fn run(command: AudioCommand, server: &ServerArgs) -> Result<(), Failure> {
    match command {
        AudioCommand::Synthesize(command) => command.run(server).await,
        AudioCommand::Speakers(command) => command.run(server).await,
    }
}

/// The audio service behind a connection.
fn service(
    channel: tonic::transport::Channel,
) -> atelier_proto::audio::v1::audio_service_client::AudioServiceClient<tonic::transport::Channel> {
    atelier_proto::audio::v1::audio_service_client::AudioServiceClient::new(channel)
}
