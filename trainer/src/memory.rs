//! How libtorch's memory is taken from the system.

/// Keeps freed memory in the process instead of giving it back after every operation.
///
/// libtorch asks glibc for each operation's result, and glibc gives large blocks back to the system as soon
/// as they are free, so that every step pays for mapping and zeroing the same pages again: a fifth of a
/// training step on a CPU. `MALLOC_MMAP_THRESHOLD_` and its like in the environment do the same.
#[allow(unsafe_code)]
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets glibc's own parameters, and is called before any other thread runs.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
