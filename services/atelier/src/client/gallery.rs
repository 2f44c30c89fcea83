//! Pictures as the output of a command: stdout, files, one grid of all, or one animation.

use std::path::PathBuf;

use image::DynamicImage;
use serde_json::Value;

use super::images::stopped;
use crate::cli::failure::{Exit, Failure};
use crate::files::destination::Destination;
use crate::files::input::is_standard;
use crate::files::stdout::Remarks;
use crate::picture::{GridArgs, animate, decode, draw, encode, fitted};

/// Where the pictures of a command go.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OutputArgs {
    /// A PNG file (of several pictures it becomes a grid), an animation (ending in `.apng`), a directory
    /// (ending in `/`, or for several pictures), or `-` for stdout
    #[arg(long, short, value_name = "PATH", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    grid: GridArgs,
    /// How many frames a second an animation has [default: 12]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=60))]
    fps: Option<u16>,
    /// Print what is known of each picture on stdout, as JSON lines
    #[arg(long)]
    json: bool,
}

/// What becomes of the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A file each.
    Each,
    /// All in one.
    Grid,
    /// One after the other in one.
    Animation,
}

/// Takes pictures and brings them where they should go.
pub(super) struct Gallery {
    destination: Destination,
    form: Form,
    grid: GridArgs,
    fps: u16,
    json: bool,
    remarks: Remarks,
    names: Vec<String>,
    groups: Vec<Vec<DynamicImage>>,
}

impl OutputArgs {
    /// What becomes of so many pictures.
    ///
    /// # Errors
    /// `Usage` for what cannot be together.
    fn form(&self, pictures: usize) -> Result<Form, Failure> {
        let ends_in = |wanted: &str| {
            let extension = self.output.extension().is_some_and(|ext| ext.eq_ignore_ascii_case(wanted));
            extension && !self.output.as_os_str().as_encoded_bytes().ends_with(b"/") && !self.output.is_dir()
        };
        let form = match (self.grid.grid, ends_in("apng")) {
            (true, true) => return Err(Failure::usage("--grid is one picture, and an animation is many")),
            (false, true) => Form::Animation,
            (true, false) => Form::Grid,
            (false, false) if pictures > 1 && ends_in("png") => Form::Grid,
            (false, false) => Form::Each,
        };
        if form != Form::Grid && self.grid.columns.is_some() {
            return Err(Failure::usage(
                "--columns is for a grid: add --grid, or name a PNG file for all pictures",
            ));
        }
        if form == Form::Each && self.grid.scale.is_some() {
            return Err(Failure::usage(
                "--scale is for a grid or an animation: models give pictures of one size",
            ));
        }
        if form != Form::Animation && self.fps.is_some() {
            return Err(Failure::usage("--fps is for an animation: name a file that ends in .apng"));
        }
        Ok(form)
    }
}

impl Gallery {
    /// Prepares for a picture of each of these file names, made from these inputs.
    ///
    /// # Errors
    /// `Usage` for what cannot be; asked before any call is made.
    pub(super) fn open(args: &OutputArgs, names: Vec<String>, inputs: &[PathBuf]) -> Result<Self, Failure> {
        let form = args.form(names.len())?;
        let destination = match form {
            Form::Each => Destination::of(&args.output, names.len())?,
            Form::Grid => Destination::of(&args.output, 1)?,
            Form::Animation => Destination::File(args.output.clone()),
        };
        if args.json && is_standard(&args.output) {
            return Err(Failure::usage("--json needs stdout for itself: name a file with --output"));
        }
        let one = [GRID_NAME.to_owned()];
        destination.prepare(if form == Form::Each { &names } else { &one }, inputs)?;
        Ok(Self {
            destination,
            form,
            grid: args.grid.clone(),
            fps: args.fps.unwrap_or(12),
            json: args.json,
            // With --json a file has the pictures.
            remarks: Remarks::new(true),
            names,
            groups: Vec::new(),
        })
    }

    /// Refuses another place for pictures of these names, named by an option, that is this one too; and where
    /// both want stdout.
    ///
    /// # Errors
    /// `Usage`.
    pub(super) fn keep_apart(
        &self,
        option: &str,
        other: &Destination,
        names: &[String],
    ) -> Result<(), Failure> {
        if *other == Destination::Stdout && (self.json || self.destination == Destination::Stdout) {
            return Err(Failure::usage(format!("one of --output -, {option} - and --json can have stdout")));
        }
        let one = [GRID_NAME.to_owned()];
        let own = if self.form == Form::Each { &self.names[..] } else { &one };
        match self.destination.meets(own, other, names) {
            true => Err(Failure::usage(format!(
                "--output and {option} name one place: one would overwrite the other"
            ))),
            false => Ok(()),
        }
    }

    /// Whether [`put`](Self::put) shows what a picture was made from.
    pub(super) fn is_grid(&self) -> bool {
        self.form == Form::Grid
    }

    /// Lets a grid be one row, where nothing else was asked, and begin with what all its pictures were made
    /// from (named for errors).
    ///
    /// # Errors
    /// `BadInput` for what is no picture.
    pub(super) fn lead(&mut self, name: &str, picture: &[u8]) -> Result<(), Failure> {
        if self.form == Form::Grid {
            self.grid.columns = self.grid.columns.or(u32::try_from(self.names.len() + 1).ok());
            self.groups.push(vec![decode(name, picture)?]);
        }
        Ok(())
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
            return Err(Failure::new(Exit::Other, "the server sent too many pictures"));
        };
        let mut group = Vec::new();
        match self.form {
            Form::Each => self.destination.write(name, made)?,
            Form::Grid => {
                let made = decode(MADE, made)?;
                let cell = (made.width(), made.height());
                for (name, bytes) in stages {
                    // As it will be drawn: many photographs at their own size would not fit into memory.
                    group.push(fitted(&decode(name, bytes)?, cell));
                }
                group.push(made);
            }
            Form::Animation => group.push(decode(MADE, made)?),
        }
        if !group.is_empty() {
            self.groups.push(group);
        }
        if self.json {
            let name = if self.form == Form::Each { name } else { GRID_NAME };
            let path = self.destination.path(name).map(|path| path.display().to_string());
            if let Value::Object(fields) = &mut about {
                fields.insert("output".into(), path.into());
            }
            self.remarks.line(&about.to_string())?;
        }
        Ok(())
    }

    /// As [`close`](Self::close), once all inputs were tried: what was refused does not take the others with it.
    ///
    /// # Errors
    /// What stopped the work, a failed write, or else that input was refused.
    pub(super) fn close_after(self, ended: Result<(), Failure>) -> Result<(), Failure> {
        if !stopped(&ended) {
            self.close()?;
        }
        ended
    }

    /// Draws the grid or the animation, if one was asked for.
    ///
    /// # Errors
    /// `Usage` where it would be too large, or a failed write.
    pub(super) fn close(self) -> Result<(), Failure> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let bytes = match self.form {
            Form::Each => return Ok(()),
            Form::Grid => encode(&draw(&self.groups, &self.grid)?)?,
            Form::Animation => {
                let frames: Vec<DynamicImage> = self.groups.into_iter().flatten().collect();
                animate(&frames, self.grid.scale(), self.fps)?
            }
        };
        self.destination.write(GRID_NAME, &bytes)
    }
}

/// The name of a grid in a directory.
const GRID_NAME: &str = "grid.png";
/// What a picture of an answer is called in errors.
const MADE: &str = "the server's picture";

#[cfg(test)]
mod tests;
