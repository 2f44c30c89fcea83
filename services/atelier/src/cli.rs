//! The command line.

pub(crate) mod completions;
pub(crate) mod failure;

use clap::{CommandFactory, Parser, Subcommand};

use crate::calibrate::Calibrate;
use crate::client::audio::AudioCommand;
use crate::client::codec::CodecCommand;
use crate::client::connection::ServerArgs;
use crate::client::image::ImageCommand;
use crate::client::models::Models;
use crate::client::text::TextCommand;
use crate::client::{audio, block_on, codec, image, models, text};
use crate::import::Import;
use crate::keys::{self, KeysCommand};
use crate::serve::{self, ServeCommand, UpFlags};
use failure::{EXIT_CODES, Failure};

/// Atelier serves generative models: a fleet of gRPC services, and the commands that call it.
#[derive(Debug, Clone, Parser)]
#[command(name = "atelier", version, after_help = EXIT_CODES, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Serve every role in this process, the gateway on 127.0.0.1:50051
    #[command(after_help = EXIT_CODES)]
    Up(UpFlags),
    /// Serve one role
    #[command(after_help = EXIT_CODES)]
    Serve {
        #[command(subcommand)]
        role: ServeCommand,
    },
    #[command(after_help = EXIT_CODES)]
    Models {
        #[command(flatten)]
        models: Models,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Images to codes and back: denoise, encode, decode, reconstruct, sample, segment, interpolate, classify,
    /// cluster, inpaint; and anomalies in telemetry: detect
    #[command(after_help = EXIT_CODES)]
    Codec {
        #[command(subcommand)]
        command: CodecCommand,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// New images, and faces at other ages: generate, interpolate, age
    #[command(after_help = EXIT_CODES)]
    Image {
        #[command(subcommand)]
        command: ImageCommand,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Speech, sample by sample: synthesize, speakers
    #[command(after_help = EXIT_CODES)]
    Audio {
        #[command(subcommand)]
        command: AudioCommand,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Text, character by character: generate, score
    #[command(after_help = EXIT_CODES)]
    Text {
        #[command(subcommand)]
        command: TextCommand,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make a package of an ONNX file, to be served as raw tensors
    #[command(after_help = EXIT_CODES)]
    Import(Import),
    /// Measure packages on this machine, and keep what was found beside them: a service then starts sooner
    #[command(after_help = EXIT_CODES)]
    Calibrate(Calibrate),
    /// API keys for callers of the gateway: new
    #[command(after_help = EXIT_CODES)]
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Print the completions of a shell, to be sourced by it
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: completions::Shell,
    },
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// One line and an exit code.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Up(flags) => serve::up(&flags),
            Command::Serve { role } => serve::serve(&role),
            Command::Models { models: command, server } => block_on(models::run(command, &server)),
            Command::Audio { command, server } => block_on(audio::run(command, &server)),
            Command::Codec { command, server } => block_on(codec::run(command, &server)),
            Command::Image { command, server } => block_on(image::run(command, &server)),
            Command::Text { command, server } => block_on(text::run(command, &server)),
            Command::Import(import) => import.run(),
            Command::Calibrate(calibrate) => calibrate.run(),
            Command::Keys { command } => keys::run(&command),
            Command::Completions { shell } => completions::print(shell, &mut Self::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_server_may_be_named_before_and_after_a_command() {
        for line in [
            ["atelier", "codec", "--server", "http://a:1", "sample"],
            ["atelier", "codec", "sample", "--server", "http://a:1"],
        ] {
            let Command::Codec { server, .. } = Cli::try_parse_from(line).unwrap().command else {
                panic!("not codec")
            };
            assert_eq!(server.server, "http://a:1");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_wrong_usage() {
        for line in [
            &["atelier", "codec", "sample", "--count", "65"][..],
            &["atelier", "codec", "sample", "--seed", "0"],
            &["atelier", "codec", "encode", "a.png", "--sample", "--seed", "0"],
            &["atelier", "codec", "denoise", "--seed", "1"],
            &["atelier", "codec", "denoise", "--add-noise", "3"],
            &["atelier", "codec", "denoise", "--fit", "squash"],
            &["atelier", "codec", "interpolate", "a.png"],
            &["atelier", "codec", "interpolate", "a.png", "b.png", "--steps", "1"],
            &["atelier", "codec", "classify", "a.png", "--top", "0"],
            &["atelier", "codec", "cluster", "a.png", "--clusters", "1"],
            &["atelier", "codec", "inpaint", "a.png"],
            &["atelier", "codec", "inpaint", "a.png", "--box", "1,2,3"],
            &["atelier", "codec", "inpaint", "a.png", "--box", "1,2,3,4", "--mask", "m.png"],
            &["atelier", "image", "generate", "--count", "65"],
            &["atelier", "image", "generate", "--seed", "0"],
            &["atelier", "image", "interpolate", "--frames", "1"],
            &["atelier", "image", "interpolate", "--from", "7:x"],
            &["atelier", "image", "interpolate", "--to", "0:3"],
            &["atelier", "image", "interpolate", "--class", "bag", "--to-class", "boot"],
            &["atelier", "image", "age", "face.png"],
            &["atelier", "image", "age", "face.png", "--ages", "5,old"],
            &["atelier", "audio", "synthesize"],
            &["atelier", "audio", "synthesize", "1", "--seed", "0"],
            &["atelier", "audio", "synthesize", "1", "--encoding", "mp3"],
            &["atelier", "audio", "synthesize", "1", "--pause-ms", "-1"],
            &["atelier", "text", "generate", "--model", "bard@0"],
            &["atelier", "text", "generate", "--seed", "0"],
            &["atelier", "models", "--timeout", "soon"],
            &["atelier", "models", "--timeout", "0s"],
            &["atelier", "models", "bard", "--kind", "vae"],
            &["atelier", "completions", "tcsh"],
            &["atelier", "keys", "new"],
            &["atelier", "keys", "new", "--name", "a b"],
            &["atelier", "keys", "new", "--name", "a", "--burst", "2"],
            &["atelier", "keys", "new", "--name", "a", "--rate", "0"],
            &["atelier", "serve", "cook"],
            &["atelier", "serve", "gateway", "--route", "cook=http://a:1"],
            &["atelier", "up", "--listen", "here"],
            &["atelier", "import", "net.onnx"],
            &["atelier", "import", "net.onnx", "--name", "Net"],
            &["atelier", "import", "net.onnx", "--name", "net", "--fix", "height"],
            &["atelier", "import", "net.onnx", "--name", "net", "--fix", "height=0"],
        ] {
            let refused = Cli::try_parse_from(line).unwrap_err();
            assert_eq!(refused.exit_code(), i32::from(failure::Exit::Usage as u8), "{line:?}");
        }
    }
}
