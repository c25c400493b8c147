//! Threads on one processor.

use rustix::thread::{CpuSet, sched_setaffinity};

/// Runs `work` on a thread that is pinned to processor `cpu`, and so are the processes that it starts.
/// # Errors
/// No such processor; what `work` says.
pub fn on<T: Send>(
    cpu: usize,
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    let pinned = move || {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus)
            .map_err(|error| format!("needs processors 0 and 1; number {cpu}: {error}"))?;
        work()
    };
    std::thread::scope(|scope| scope.spawn(pinned).join().expect("a panic ends the process"))
}
