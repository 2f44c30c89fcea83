//! `cargo xtask load`: the fleet under load, by ghz, open loop, with the profiles of `deploy/ghz`.

mod door;
mod fleet;
mod limits;
mod measured;
mod memory;
mod payload;
mod profile;
mod table;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::{ghz, layout::Layout};
use door::Door;
use limits::Limits;
use measured::Measured;
use memory::{Memory, Sampler};
use payload::Sources;
use profile::{Common, Mode, Profile};
use table::Row;

/// The options of `cargo xtask load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    address: String,
    /// Load a role past the gateway too, with its own profiles; may be given for each role.
    #[arg(long, value_name = "ROLE=HOST:PORT")]
    direct: Vec<Door>,
    /// Only the profiles whose names begin so, and the baseline; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// A few seconds of each profile, one after the other; the default.
    #[arg(long, conflicts_with = "soak")]
    smoke: bool,
    /// All profiles that have a soak rate at once, for this many minutes.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=1440))]
    soak: Option<u64>,
    /// The process whose memory is sampled.
    #[arg(long)]
    pid: Option<u32>,
    /// Build in release, start a fleet with the packages of `models/` on a free port, and end it afterwards.
    #[arg(long, conflicts_with_all = ["address", "direct", "pid"])]
    up: bool,
    /// A picture of a face, 64x64 and aligned, for `image-age`, which is left out without.
    #[arg(long, value_name = "FILE")]
    face: Option<PathBuf>,
    /// Print the figures as JSON, and the table to standard error.
    #[arg(long)]
    json: bool,
    /// Write ghz's configuration files here, print how to run each, and stop.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// One profile at one door, as it is to be run.
struct Job {
    profile: Profile,
    door: Door,
    config: PathBuf,
    report: PathBuf,
}

impl Load {
    /// Runs, prints, and judges.
    ///
    /// # Errors
    /// One line: there is no fleet, no ghz, or a file of ours is not right.
    pub(crate) fn run(mut self, layout: &Layout) -> Result<ExitCode> {
        let folder = layout.workspace().join("deploy/ghz");
        let limits: Limits = profile::read_toml(&folder.join("limits.toml"))?;
        let mode = self.soak.map_or(Mode::Smoke, |minutes| Mode::Soak { seconds: minutes * 60 });
        if let Some(target) = &self.write {
            fs::create_dir_all(target)?;
            for job in self.jobs(layout, &limits, mode, target)? {
                eprintln!("ghz --config {}", job.config.display());
            }
            return Ok(ExitCode::SUCCESS);
        }
        let ghz = ghz::GHZ.get(layout)?.context(ghz::NO_GO)?;
        let fleet = self.up.then(|| fleet::Fleet::start(layout)).transpose()?;
        if let Some(fleet) = &fleet {
            (self.address, self.pid) = (fleet.address.clone(), Some(fleet.pid()));
        }
        for door in self.doors() {
            door.check()?;
        }
        let staging = tempfile::tempdir()?;
        let jobs = self.jobs(layout, &limits, mode, staging.path())?;
        let sampler = self.pid.map(Sampler::start).transpose()?;
        let rows = match mode {
            Mode::Smoke => one_by_one(&ghz, &jobs, mode),
            Mode::Soak { .. } => at_once(&ghz, &jobs, mode),
        };
        let memory = sampler.map(Sampler::stop);
        drop(fleet);
        self.judge(&limits, &rows?, memory.as_ref(), mode)
    }

    /// The gateway, and the roles past it.
    fn doors(&self) -> impl Iterator<Item = Door> {
        std::iter::once(Door::gateway(&self.address)).chain(self.direct.iter().cloned())
    }

    /// What is to be run, the gateway's baseline first.
    fn jobs(&self, layout: &Layout, limits: &Limits, mode: Mode, folder: &Path) -> Result<Vec<Job>> {
        let source = layout.workspace().join("deploy/ghz");
        let common: Common = profile::read_toml(&source.join("ghz.toml"))?;
        let mut profiles = Profile::all(&source.join("profiles"))?;
        for only in &self.only {
            let known = profiles.iter().any(|profile| profile.name.starts_with(only.as_str()));
            ensure!(known, "--only {only}: no profile's name begins so; they are in deploy/ghz/profiles");
        }
        profiles.retain(|profile| {
            let wanted =
                self.only.is_empty() || self.only.iter().any(|only| profile.name.starts_with(only.as_str()));
            profile.rate(mode).is_some() && (wanted || profile.name == limits.baseline)
        });
        if self.face.is_none() {
            profiles.retain(|profile| {
                if profile.needs_face {
                    eprintln!("SKIPPED, not passed: {}, which needs --face FILE", profile.name);
                }
                !profile.needs_face
            });
        }
        profiles.sort_by_key(|profile| profile.name != limits.baseline);
        let face = self.face.clone();
        let sources = Sources { workspace: layout.workspace().to_owned(), face };
        let mut jobs = Vec::new();
        for door in self.doors() {
            // Every role lists its models.
            let here = |profile: &&Profile| door.serves(&profile.role) || profile.name == limits.baseline;
            for profile in profiles.iter().filter(here) {
                let config = folder.join(format!("{}.{}.json", profile.name, door.name()));
                let text = profile.ghz(&common, &sources, door.host(), mode)?;
                fs::write(&config, serde_json::to_vec_pretty(&text)?)
                    .with_context(|| format!("cannot write {}", config.display()))?;
                let report = config.with_extension("report");
                jobs.push(Job { profile: profile.clone(), door: door.clone(), config, report });
            }
        }
        Ok(jobs)
    }

    /// Prints the figures and what they cross.
    fn judge(&self, limits: &Limits, rows: &[Row], memory: Option<&Memory>, mode: Mode) -> Result<ExitCode> {
        let mut crossed = Vec::new();
        let mut judged = Vec::new();
        for row in rows {
            let baseline = baseline(rows, row, &limits.baseline);
            // In a soak the profiles are in each other's way: there is no telling whose time it was.
            let alone = baseline.filter(|_| mode == Mode::Smoke);
            let said = limits.crossed(&row.profile, &row.measured, alone);
            crossed.extend(said.into_iter().map(|line| match row.measured.error.as_str() {
                "" => format!("{} ({line})", row.door),
                error => format!("{} ({line}; a call said: {error})", row.door),
            }));
            judged.push((row, limits::ratio(&row.measured, baseline)));
        }
        // A smoke run is too short to tell: models are still warming up.
        let memory_crossed =
            memory.filter(|_| mode != Mode::Smoke).and_then(|memory| limits.memory_crossed(memory));
        crossed.extend(memory_crossed);

        let mut text = table::table(&judged);
        text.extend(memory.and_then(Memory::shown).map(|line| line + "\n"));
        text.extend(crossed.iter().map(|line| format!("CROSSED: {line}\n")));
        text += &format!("{} profiles run, {} limits crossed\n", rows.len(), crossed.len());
        if self.json {
            eprint!("{text}");
            let figures = json!({ "rows": rows, "memory": memory, "crossed": crossed });
            writeln!(io::stdout(), "{figures:#}").context("cannot print the figures")?;
        } else {
            io::stdout().write_all(text.as_bytes()).context("cannot print the table")?;
        }
        Ok(if crossed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn one_by_one(ghz: &Path, jobs: &[Job], mode: Mode) -> Result<Vec<Row>> {
    let run = |job: &Job| {
        eprintln!("{} ({})", job.profile.name, job.door.name());
        job.finish(job.start(ghz)?, mode)
    };
    jobs.iter().map(run).collect()
}

fn at_once(ghz: &Path, jobs: &[Job], mode: Mode) -> Result<Vec<Row>> {
    eprintln!("{} profiles at once", jobs.len());
    let children = jobs.iter().map(|job| job.start(ghz)).collect::<Result<Vec<_>>>()?;
    // All are waited for, whatever one of them says: none is left behind.
    let rows: Vec<Result<Row>> =
        jobs.iter().zip(children).map(|(job, child)| job.finish(child, mode)).collect();
    rows.into_iter().collect()
}

impl Job {
    fn start(&self, ghz: &Path) -> Result<Child> {
        let mut command = Command::new(ghz);
        command.arg("--config").arg(&self.config).args(["--format", "json", "--output"]).arg(&self.report);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("cannot start {}", ghz.display()))
    }

    fn finish(&self, child: Child, mode: Mode) -> Result<Row> {
        let profile = &self.profile;
        let output = child.wait_with_output().context("cannot wait for ghz")?;
        // ghz ends well also where calls failed: these are in its report.
        let Ok(report) = fs::read(&self.report) else {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim().replace('\n', " ");
            bail!("{}: ghz ended with {} and no report: {said}", profile.name, output.status);
        };
        let asked = if profile.in_turn(mode) { 0 } else { profile.rate(mode).unwrap_or(profile.rps) };
        let measured = Measured::read(&report, asked, &profile.expect).context(profile.name.clone())?;
        ensure!(measured.calls > 0, "{}: ghz made no call", profile.name);
        Ok(Row { profile: profile.name.clone(), door: self.door.name().to_owned(), measured })
    }
}

/// What a profile is compared with: the baseline at the gateway, whose jobs come first. A role of few models lists them
/// faster than the gateway does those of all, and what it computes is not slower for that.
fn baseline<'a>(rows: &'a [Row], row: &Row, name: &str) -> Option<&'a Measured> {
    let baseline = rows.iter().find(|row| row.profile == name)?;
    let itself = (&baseline.profile, &baseline.door) == (&row.profile, &row.door);
    (!itself).then_some(&baseline.measured)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: Load,
    }

    fn parse(line: &[&str]) -> Result<Load, clap::Error> {
        Line::try_parse_from(std::iter::once("load").chain(line.iter().copied())).map(|line| line.load)
    }

    fn jobs(load: &Load) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let limits: Limits = profile::read_toml(&workspace.join("deploy/ghz/limits.toml")).unwrap();
        let layout = Layout::of(workspace, folder.path());
        let jobs = load.jobs(&layout, &limits, Mode::Smoke, folder.path())?;
        Ok(jobs.iter().map(|job| format!("{}@{}", job.profile.name, job.door.name())).collect())
    }

    #[test]
    fn every_door_is_compared_with_the_gateways_baseline_and_that_with_nothing() {
        let row = |profile: &str, door: &str, p50_ms| Row {
            profile: profile.into(),
            door: door.into(),
            measured: Measured { p50_ms, ..Measured::default() },
        };
        let rows = [row("list", "gateway", 5.0), row("list", "text", 1.0), row("text-score", "text", 60.0)];
        let compared = |row| baseline(&rows, row, "list").map(|measured| measured.p50_ms);
        assert_eq!(rows.each_ref().map(compared), [None, Some(5.0), Some(5.0)]);
    }

    #[test]
    fn a_door_past_the_gateway_gets_its_own_profiles_and_lists_models() {
        let load = parse(&["--only", "text-", "--only", "audio-syn", "--direct", "text=h:1"]).unwrap();
        let expected = ["models-list-models@gateway", "audio-synthesize@gateway", "text-generate@gateway"];
        let direct =
            ["text-score@gateway", "models-list-models@text", "text-generate@text", "text-score@text"];
        assert_eq!(jobs(&load).unwrap(), [&expected[..], &direct[..]].concat());
    }

    #[test]
    fn a_name_that_no_profile_has_is_refused_and_options_that_contradict_are_too() {
        let said = jobs(&parse(&["--only", "video"]).unwrap()).unwrap_err().to_string();
        assert!(said.starts_with("--only video: no profile"), "{said}");
        for line in
            [&["--smoke", "--soak", "3"][..], &["--up", "--pid", "1"], &["--soak", "0"], &["--direct", "x"]]
        {
            assert!(parse(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_face_is_aged_only_where_there_is_one() {
        let aged =
            |line: &[&str]| jobs(&parse(line).unwrap()).unwrap().contains(&"image-age@gateway".to_owned());
        assert!(!aged(&[]));
        let face = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clothes/boot.png");
        assert!(aged(&["--face", face]));
    }

    #[test]
    fn a_fleet_that_is_not_there_is_one_line() {
        let said = Door::gateway("127.0.0.1:1").check().unwrap_err();
        let said = format!("{said:#}");
        assert!(said.starts_with("no fleet at 127.0.0.1:1") && !said.contains('\n'), "{said}");
    }
}
