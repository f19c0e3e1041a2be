//! Settings of a whole process, for the computations on the CPU.

/// Prepares the process for training and sampling on the CPU: a program calls this first.
///
/// candle's elementwise operations get one thread, unless the environment says otherwise in `CANDLE_NUM_THREADS`. They
/// wait for each other in a spinning barrier, and on a busy machine one thread is several times faster. Products of
/// matrices keep all cores.
///
/// glibc's allocator keeps the memory that tensors gave back, up to 512 MiB and in pieces of less than 32 MiB, the largest that
/// it can keep. It would return that memory to the kernel after each operation, and take it again, page by page, for the
/// next: an update of all weights of SmolLM2 took a fifth longer.
///
/// Errors of libraries capture no backtraces, unless `RUST_LIB_BACKTRACE` asks for them: candle's would be a part of messages
/// under `RUST_BACKTRACE=1`, which is for panics.
///
/// A file that grows past the system's limit (`ulimit -f`) is an error of the write, and not a signal that ends the process.
///
/// # Safety
/// No other thread may run yet.
pub unsafe fn prepare() {
    for (variable, value) in [("CANDLE_NUM_THREADS", "1"), ("RUST_LIB_BACKTRACE", "0")] {
        if std::env::var_os(variable).is_none() {
            // SAFETY: the caller promises that no other thread runs.
            unsafe { std::env::set_var(variable, value) };
        }
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: ignoring a signal installs no handler.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, bytes) in [(libc::M_MMAP_THRESHOLD, 32 << 20), (libc::M_TRIM_THRESHOLD, 512 << 20)] {
        // SAFETY: both parameters are sizes, and the values are below the largest that glibc takes.
        unsafe { libc::mallopt(parameter, bytes) };
    }
}
