use std::process::ExitCode;

use anyhow::bail;
use atelier_trainer::data::catalogue::{DataSet, Found, SETS};
use atelier_trainer::data::fetch::fetch;
use indicatif::{ProgressBar, ProgressStyle};

use super::DataDir;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say which data sets there are, and under which licences.
    List,
    /// Download data sets from where their authors publish them.
    Fetch {
        /// Data sets [default: all that can be fetched].
        names: Vec<String>,
        #[command(flatten)]
        data: DataDir,
    },
    /// Compare the files that are there with their hashes.
    Verify {
        /// Data sets [default: all that can be fetched].
        names: Vec<String>,
        #[command(flatten)]
        data: DataDir,
    },
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::List => {
            for set in SETS {
                println!("{}: {}\n  licence: {}", set.name, set.summary, set.licence);
                for file in set.files {
                    println!("  {}  from {}", file.path, file.url);
                }
                if let Some(how) = set.by_hand {
                    println!("  by hand: {how}");
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Fetch { names, data } => {
            for file in chosen(&names)?.iter().flat_map(|set| set.files) {
                if file.verify(&data.dir) == Found::Right {
                    println!("{}: already there", file.path);
                    continue;
                }
                let bar = ProgressBar::no_length().with_message(file.path);
                if let Ok(style) =
                    ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}")
                {
                    bar.set_style(style);
                }
                fetch(file, &data.dir, &mut |so_far, total| {
                    if let Some(total) = total {
                        bar.set_length(total);
                    }
                    bar.set_position(so_far);
                })?;
                bar.finish_and_clear();
                println!("{}: fetched", file.path);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify { names, data } => {
            let mut right = true;
            for file in chosen(&names)?.iter().flat_map(|set| set.files) {
                let found = match file.verify(&data.dir) {
                    Found::Right => "right".to_owned(),
                    Found::Missing => "missing".to_owned(),
                    Found::Wrong(why) => format!("WRONG: {why}"),
                };
                right &= found == "right";
                println!("{}: {found}", file.below(&data.dir).display());
            }
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static DataSet>> {
    let known: Vec<&str> = SETS.iter().map(|set| set.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no data set {unknown:?}; there are: {}", known.join(", "));
    }
    let sets = SETS.iter().filter(|set| names.is_empty() || names.iter().any(|name| name == set.name));
    let sets: Vec<_> = sets.collect();
    if !names.is_empty()
        && let Some((set, how)) = sets.iter().find_map(|set| set.by_hand.map(|how| (set.name, how)))
    {
        bail!("{set} is put there by hand: {how}");
    }
    Ok(sets)
}
