//! `atelier codec`: images to codes and back, and anomalies in telemetry.

mod classify;
mod cluster;
mod decode;
mod denoise;
mod detect;
mod encode;
mod inpaint;
mod interpolate;
mod reconstruct;
mod sample;
mod segment;
mod written_code;

use clap::Subcommand;

use super::connection::{Connection, ServerArgs};
use super::{gallery, images};
use crate::cli::failure::Failure;

/// The most bytes of an answer that is taken: 64 pictures at once are larger than tonic's 4 MiB allow.
const MAX_ANSWER: usize = 256 << 20;

/// The commands of `atelier codec`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CodecCommand {
    Denoise(denoise::Denoise),
    Encode(encode::Encode),
    Decode(decode::Decode),
    Reconstruct(reconstruct::Reconstruct),
    Sample(sample::Sample),
    Segment(segment::Segment),
    Interpolate(interpolate::Interpolate),
    Classify(classify::Classify),
    Cluster(cluster::Cluster),
    Inpaint(inpaint::Inpaint),
    Detect(detect::Detect),
}

/// Runs one of them.
///
/// # Errors
/// What is wrong with the command, its input, the server or the output.
pub(crate) async fn run(command: CodecCommand, server: &ServerArgs) -> Result<(), Failure> {
    match command {
        CodecCommand::Denoise(command) => command.run(server).await,
        CodecCommand::Encode(command) => command.run(server).await,
        CodecCommand::Decode(command) => command.run(server).await,
        CodecCommand::Reconstruct(command) => command.run(server).await,
        CodecCommand::Sample(command) => command.run(server).await,
        CodecCommand::Segment(command) => command.run(server).await,
        CodecCommand::Interpolate(command) => command.run(server).await,
        CodecCommand::Classify(command) => command.run(server).await,
        CodecCommand::Cluster(command) => command.run(server).await,
        CodecCommand::Inpaint(command) => command.run(server).await,
        CodecCommand::Detect(command) => command.run(server).await,
    }
}

/// The codec service behind a connection.
fn service(
    channel: tonic::transport::Channel,
) -> atelier_proto::codec::v1::codec_service_client::CodecServiceClient<tonic::transport::Channel> {
    atelier_proto::codec::v1::codec_service_client::CodecServiceClient::new(channel)
        .max_decoding_message_size(MAX_ANSWER)
}
