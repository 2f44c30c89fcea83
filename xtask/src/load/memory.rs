//! The memory of a process while it is loaded.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// What the process had in memory, in bytes, in the order of time, evenly.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub(crate) struct Memory {
    /// The samples.
    pub(crate) samples: Vec<u64>,
}

impl Memory {
    /// The median of the last quarter over that of the second one: the first is for warming up.
    pub(crate) fn growth(&self) -> Option<f64> {
        let quarter = self.samples.len() / 4;
        let median = |from: usize| {
            let mut samples = self.samples.get(from..from + quarter)?.to_vec();
            samples.sort_unstable();
            samples.get(quarter / 2).map(|bytes| *bytes as f64)
        };
        Some(median(self.samples.len() - quarter)? / median(quarter)?)
    }

    /// A line that tells first, least, greatest and last, in MiB.
    pub(crate) fn shown(&self) -> Option<String> {
        let mib = |bytes: &u64| *bytes as f64 / 1_048_576.0;
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        let (least, most) = (self.samples.iter().min()?, self.samples.iter().max()?);
        let growth = self.growth().map_or_else(|| "-".into(), |growth| format!("{growth:.3}"));
        Some(format!(
            "memory (RSS, MiB): first {:.1}, last {:.1}, least {:.1}, most {:.1}; last quarter over second {growth}",
            mib(first),
            mib(last),
            mib(least),
            mib(most)
        ))
    }
}

/// Samples a process until it is told to stop.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Memory>,
}

impl Sampler {
    /// Starts sampling, twice a second.
    ///
    /// # Errors
    /// One line: there is no such process, or its memory cannot be read.
    pub(crate) fn start(pid: u32) -> Result<Self> {
        resident(pid)?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut memory = Memory::default();
            while !told.load(Ordering::Relaxed) {
                // A process that has ended has no memory: its calls' errors say so.
                memory.samples.extend(resident(pid).ok());
                thread::sleep(Duration::from_millis(500));
            }
            memory
        });
        Ok(Self { stop, thread })
    }

    /// What was sampled.
    pub(crate) fn stop(self) -> Memory {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// What a process has in memory, in bytes.
fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("--pid {pid}: cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("--pid {pid}: {path} tells no VmRSS"))? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_of_quarters_and_minds_neither_the_start_nor_a_spike() {
        let memory = Memory { samples: vec![1, 2, 3, 100, 100, 100, 100, 100, 100, 100, 900, 100] };
        assert_eq!(memory.growth(), Some(1.0));
        let grown = Memory { samples: vec![1, 2, 3, 100, 100, 100, 100, 100, 100, 150, 150, 150] };
        assert_eq!(grown.growth(), Some(1.5));
        assert_eq!(Memory::default().growth(), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        assert!(resident(u32::MAX).unwrap_err().to_string().starts_with("--pid 4294967295: cannot read"));
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
    }
}
