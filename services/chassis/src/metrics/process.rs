//! The process itself.

use std::fs;

use super::Exposition;

pub(super) fn collect(exposition: &mut Exposition) {
    exposition.gauge(
        "atelier_build_info",
        "Always 1; the labels say what was built with what.",
        &[("version", env!("CARGO_PKG_VERSION")), ("rustc", env!("ATELIER_RUSTC"))],
        1.0,
    );
    exposition.gauge(
        "atelier_visible_gpus",
        "NVIDIA devices that the process can see; on Kubernetes those that its pod asked for.",
        &[],
        visible_gpus() as f64,
    );
    #[cfg(target_os = "linux")]
    {
        use prometheus::core::Collector;
        let families = prometheus::process_collector::ProcessCollector::for_self().collect();
        families.into_iter().for_each(|family| exposition.family(family));
    }
}

/// Nothing but names of files: asking the driver would load it.
fn visible_gpus() -> usize {
    let device = |name: &str| {
        let number = name.strip_prefix("nvidia").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    let files = fs::read_dir("/dev").into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_str().is_some_and(device)).count()
}
