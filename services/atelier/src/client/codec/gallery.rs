//! Pictures as the output of a command: stdout, files, or one grid of all.

use std::path::PathBuf;

use image::DynamicImage;
use serde_json::Value;

use crate::cli::failure::Failure;
use crate::files::destination::Destination;
use crate::files::stdout;
use crate::picture::{GridArgs, decode, draw, encode};

/// Where the pictures of a command go.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OutputArgs {
    /// A PNG file, a directory (ending in `/`, or for several pictures), or `-` for stdout
    #[arg(long, short, value_name = "PATH", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    grid: GridArgs,
    /// Print what is known of each picture on stdout, as JSON lines
    #[arg(long)]
    json: bool,
}

/// Takes pictures and brings them where they should go.
pub(super) struct Gallery {
    destination: Destination,
    grid: GridArgs,
    json: bool,
    names: Vec<String>,
    groups: Vec<Vec<DynamicImage>>,
}

impl Gallery {
    /// Prepares for a picture of each of these file names, made from these inputs.
    ///
    /// # Errors
    /// `Usage` for what cannot be; asked before any call is made.
    pub(super) fn open(args: &OutputArgs, names: Vec<String>, inputs: &[PathBuf]) -> Result<Self, Failure> {
        let grid = args.grid.grid;
        let destination = Destination::of(&args.output, if grid { 1 } else { names.len() })?;
        if args.json && destination == Destination::Stdout {
            return Err(Failure::usage("--json needs stdout for itself: name a file with --output"));
        }
        let grid_name = [GRID_NAME.to_owned()];
        destination.prepare(if grid { &grid_name } else { &names }, inputs)?;
        Ok(Self { destination, grid: args.grid.clone(), json: args.json, names, groups: Vec::new() })
    }

    /// Whether [`put`](Self::put) wants to know what a picture was made from.
    pub(super) fn is_grid(&self) -> bool {
        self.grid.grid
    }

    /// Takes the picture of a number: what it was made from (named for errors), the picture, and what to
    /// say of it with `--json`.
    ///
    /// # Errors
    /// `BadInput` for a stage that is no picture, or a failed write.
    pub(super) fn put(
        &mut self,
        index: usize,
        stages: &[(&str, &[u8])],
        made: &[u8],
        mut about: Value,
    ) -> Result<(), Failure> {
        let Some(name) = self.names.get(index) else {
            return Err(Failure::new(crate::cli::failure::Exit::Other, "the server sent too many pictures"));
        };
        if self.is_grid() {
            let mut group = Vec::with_capacity(stages.len() + 1);
            for (name, bytes) in stages {
                group.push(decode(name, bytes)?);
            }
            group.push(decode("the server's picture", made)?);
            self.groups.push(group);
        } else {
            self.destination.write(name, made)?;
        }
        if self.json {
            let name = if self.is_grid() { GRID_NAME } else { name };
            let path = self.destination.path(name).map(|path| path.display().to_string());
            if let Value::Object(fields) = &mut about {
                fields.insert("output".into(), path.into());
            }
            stdout::line(&about.to_string())?;
        }
        Ok(())
    }

    /// Draws the grid, if one was asked for.
    ///
    /// # Errors
    /// `Usage` where it would be too large, or a failed write.
    pub(super) fn close(self) -> Result<(), Failure> {
        if self.is_grid() && !self.groups.is_empty() {
            return self.destination.write(GRID_NAME, &encode(&draw(&self.groups, &self.grid)?)?);
        }
        Ok(())
    }
}

/// The name of a grid in a directory.
const GRID_NAME: &str = "grid.png";

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::failure::Exit;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        output: OutputArgs,
    }

    fn args(line: &[&str]) -> OutputArgs {
        Line::try_parse_from(std::iter::once("x").chain(line.iter().copied())).unwrap().output
    }

    fn png(side: u32) -> Vec<u8> {
        encode(&DynamicImage::new_luma8(side, side)).unwrap()
    }

    #[test]
    fn several_pictures_become_files_or_one_grid() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let names = || vec!["a.png".to_owned(), "b.png".to_owned()];
        let mut files = Gallery::open(&args(&["-o", out.to_str().unwrap()]), names(), &[]).unwrap();
        files.put(0, &[], b"first", Value::Null).unwrap();
        files.put(1, &[], b"second", Value::Null).unwrap();
        files.close().unwrap();
        assert_eq!(std::fs::read(out.join("b.png")).unwrap(), b"second");

        let file = directory.path().join("grid.png");
        let line = ["-o", file.to_str().unwrap(), "--grid", "--scale", "1"];
        let mut grid = Gallery::open(&args(&line), names(), &[]).unwrap();
        for index in 0..2 {
            grid.put(index, &[("in", &png(9))], &png(5), json!({})).unwrap();
        }
        grid.close().unwrap();
        let grid = decode("grid", &std::fs::read(file).unwrap()).unwrap();
        assert_eq!((grid.width(), grid.height()), (1 + 2 * 6, 1 + 2 * 6));
    }

    #[test]
    fn json_and_a_picture_do_not_share_stdout() {
        let refused = Gallery::open(&args(&["--json"]), vec!["a.png".into()], &[]).err().unwrap();
        assert_eq!(refused.exit(), Exit::Usage);
    }

    #[test]
    fn options_of_a_grid_without_one_are_refused() {
        assert!(Line::try_parse_from(["x", "--columns", "3"]).is_err());
        assert!(Line::try_parse_from(["x", "--grid", "--columns", "0"]).is_err());
    }
}
