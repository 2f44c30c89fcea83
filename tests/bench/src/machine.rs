//! What the machine says about processes: the time they computed, the memory they hold.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux counts the time of processes in hundredths of a second, whatever its own clock (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// The time that a process and its threads, ended ones included, have computed.
///
/// # Errors
/// There is no such process.
pub(crate) fn computed(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    ticks(&fs::read_to_string(&path).with_context(|| path.clone())?).with_context(|| path)
}

/// The time that a process and all that live below it have computed.
///
/// # Errors
/// There is no such process.
pub(crate) fn computed_by_all(process: u32) -> Result<Duration> {
    below(process)?.into_iter().try_fold(computed(process)?, |sum, child| {
        // A child that ended in between has computed nothing that we can know.
        Ok(sum + computed_by_all(child).unwrap_or_default())
    })
}

/// A process and all that live below it, those below last.
pub(crate) fn family(process: u32) -> Vec<u32> {
    let below = below(process).unwrap_or_default();
    std::iter::once(process).chain(below.into_iter().flat_map(family)).collect()
}

/// The processes that a process's threads have started.
fn below(process: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{process}/task");
    let threads = fs::read_dir(&path).with_context(|| path.clone())?.filter_map(Result::ok);
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let ids = |line: String| line.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>();
    Ok(children.flat_map(ids).collect())
}

fn ticks(stat: &str) -> Result<Duration> {
    // The name of the program stands in brackets and may contain anything.
    let (_, rest) = stat.rsplit_once(") ").context("no name")?;
    let mut fields = rest.split(' ').skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u32>().ok()).context("no time");
    Ok(TICK * (next()? + next()?))
}

/// The memory that a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now, in bytes.
    pub(crate) resident: u64,
    /// The most since its start, or since that was [forgotten](forget_peak).
    pub(crate) peak: u64,
}

/// The memory that a process holds.
///
/// # Errors
/// There is no such process.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok::<_, anyhow::Error>(number.with_context(|| format!("{path}: no {name}"))? << 10)
    };
    Ok(Memory { resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

/// From now on a process's peak is that of what it holds from now on. Where the kernel does not do that it stays as it
/// is.
pub(crate) fn forget_peak(process: u32) {
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// The cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The name of the processor, as the machine says it.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_name_of_the_program() {
        let stat = "7 (a) (b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0 5 6";
        assert_eq!(ticks(stat).unwrap(), Duration::from_millis(420));
        assert!(ticks("7 a S").is_err());
    }

    #[test]
    fn a_process_that_computes_has_computed_and_holds_memory() {
        let own = std::process::id();
        let before = computed(own).unwrap();
        let start = std::time::Instant::now();
        while computed(own).unwrap() == before {
            assert!(start.elapsed() < Duration::from_secs(20), "it computes and no time passes");
        }
        let memory = memory(own).unwrap();
        assert!(memory.resident > 1 << 20 && memory.peak >= 1 << 20, "{memory:?}");
        assert!(computed(u32::MAX).is_err() && super::memory(u32::MAX).is_err());
    }

    #[test]
    fn the_time_of_children_counts_where_that_of_all_is_asked_for() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 60";
        let mut shell = std::process::Command::new("sh").args(["-c", busy]).spawn().unwrap();
        let own = std::process::id();
        let start = std::time::Instant::now();
        while computed(shell.id()).unwrap() == Duration::ZERO {
            assert!(start.elapsed() < Duration::from_secs(20), "the shell does not compute");
        }
        let (least, all) = (computed(own).unwrap() + computed(shell.id()).unwrap(), computed_by_all(own));
        assert!(all.unwrap() >= least);
        assert!(family(own).contains(&shell.id()));
        for process in family(shell.id()).into_iter().skip(1) {
            let _ = std::process::Command::new("kill").arg(process.to_string()).status();
        }
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(computed_by_all(u32::MAX).is_err());
    }
}
