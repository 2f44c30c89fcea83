//! What `atelier up` says when it is ready.

use std::env;
use std::path::Path;

use atelier_package::Kind;

use super::config::GATEWAY_PORT;

/// The line READY with the address, and three commands to try.
pub(super) fn text(address: &str, kinds: impl Iterator<Item = Kind>) -> String {
    let program = env::args_os().next().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = env::current_dir().unwrap_or_default();
    compose(address, &short(&program, &directory), &kinds.collect::<Vec<_>>())
}

fn compose(address: &str, program: &str, kinds: &[Kind]) -> String {
    let mut commands = vec!["models"];
    let offers = [
        (Kind::CharRnn, "text generate \"ROMEO:\" --max-chars 400"),
        (Kind::VariationalAutoencoder, "codec sample --count 16 --grid --output samples.png"),
        (Kind::Wavenet, "audio synthesize 314 --seed 7 --output speech.wav"),
        (Kind::Gan, "image generate --count 16 --output images.png"),
        (Kind::DenoisingAutoencoder, "codec denoise IMAGE.png --add-noise 0.3 --grid --output denoised.png"),
    ];
    commands.extend(offers.iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, command)| *command));
    commands.extend(["models --json", "--help"]);
    commands.truncate(3);
    let elsewhere = match address == format!("http://127.0.0.1:{GATEWAY_PORT}") {
        true => String::new(),
        false => format!(" --server {address}"),
    };
    let mut text = format!("READY {address}\n");
    for command in commands {
        let server = if command == "--help" { "" } else { elsewhere.as_str() };
        text.push_str(&format!("  {program} {command}{server}\n"));
    }
    text
}

/// The program as one would type it here.
fn short(program: &str, directory: &Path) -> String {
    let below = Path::new(program).strip_prefix(directory);
    below.map_or_else(|_| program.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_ready_with_the_address_and_three_commands_follow() {
        let all = [Kind::DenoisingAutoencoder, Kind::VariationalAutoencoder, Kind::CharRnn];
        for kinds in [&all[..], &all[..1], &[]] {
            let text = compose("http://127.0.0.1:50051", "atelier", kinds);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[0], "READY http://127.0.0.1:50051");
            assert_eq!(lines.len(), 4, "{text}");
            assert!(lines[1..].iter().all(|line| line.starts_with("  atelier ")), "{text}");
            assert!(!text.contains("--server"), "{text}");
        }
    }

    #[test]
    fn commands_for_another_address_name_it() {
        let text = compose("http://127.0.0.1:7", "atelier", &[Kind::CharRnn]);
        assert!(text.contains("atelier models --server http://127.0.0.1:7\n"), "{text}");
    }

    /// What is offered must be a command line that this program takes.
    #[test]
    fn the_commands_are_ones_that_there_are() {
        use clap::Parser;
        let all = [
            Kind::DenoisingAutoencoder,
            Kind::VariationalAutoencoder,
            Kind::Gan,
            Kind::CharRnn,
            Kind::Wavenet,
        ];
        for kind in all {
            let text = compose("http://127.0.0.1:7", "atelier", &[kind]);
            for line in text.lines().skip(1).filter(|line| !line.ends_with("--help")) {
                let words = line.trim().split(' ').map(|word| word.trim_matches('"'));
                assert!(crate::cli::Cli::try_parse_from(words).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn the_program_is_named_as_one_would_type_it() {
        assert_eq!(short("/a/target/release/atelier", Path::new("/a")), "target/release/atelier");
        assert_eq!(short("atelier", Path::new("/a")), "atelier");
        assert_eq!(short("/usr/bin/atelier", Path::new("/a")), "/usr/bin/atelier");
    }
}
