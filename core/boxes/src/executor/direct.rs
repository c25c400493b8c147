//! glommio (0.9): one executor a reactor, made on the reactor's own thread, and files by direct I/O. The
//! only file that names it.
//!
//! glommio has no public way to wait for a descriptor that is not its own, so that a reactor parks in its own
//! poll(2), beside the executor and not in it: while it sleeps, tasks of others on this executor do too.

use std::io;
use std::path::Path;
use std::time::Duration;

use glommio::io::{Directory, DmaFile};
use glommio::timer::Timer;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use super::files::folder;

/// Memory that the kernel keeps for transfers of one executor, in bytes: some files of a few pages, not
/// glommio's 10 MiB, of which a box with many reactors would have to lock as many.
const IO_MEMORY_BYTES: usize = 1 << 20;
/// glommio tells tasks this often that others wait. Ours ask for the executor themselves. A thread that the
/// kernel takes off its core for so long, between the start of this timer and the first task, finds the timer
/// over: glommio 0.9 then takes none and goes to sleep, whoever is ready. So it is long.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);
/// The longest that such a sleep lasts: a timer that is under way ends it. Without one nothing would.
const HEARTBEAT: Duration = Duration::from_millis(10);

fn make() -> Result<LocalExecutor, String> {
    // Not pinned by glommio: the thread is ours, and so is where it runs.
    let builder = LocalExecutorBuilder::new(Placement::Unbound);
    let builder = builder.io_memory(IO_MEMORY_BYTES).preempt_timer(PREEMPT_TIMER);
    builder.make().map_err(|error| format!("glommio gives no executor: {error}"))
}

/// Whether an executor can be made here, or why not.
pub(super) fn try_it() -> Result<(), String> {
    let name = "glommio-probe".to_string();
    let probe = std::thread::Builder::new().name(name).spawn(|| make().map(|it| it.run(async {})));
    let probe = probe.map_err(|error| format!("no thread to try glommio on: {error}"))?;
    probe.join().unwrap_or_else(|_| Err("glommio panicked when it was tried".into()))
}

/// Takes `rounds` on an executor of this thread. They learn why there is none.
pub(super) fn run<R: Future<Output = ()>>(rounds: impl FnOnce(Option<String>) -> R) {
    match make() {
        Ok(executor) => executor.run(async move {
            let heart = glommio::spawn_local(beat());
            rounds(None).await;
            heart.cancel().await;
        }),
        Err(why) => super::run_plainly(rounds(Some(why))),
    }
}

/// See [`HEARTBEAT`].
async fn beat() {
    loop {
        Timer::new(HEARTBEAT).await;
    }
}

/// Goes once round the executor's loop.
#[inline]
pub(super) async fn breathe() {
    // Not `yield_if_needed`: that gives way only when the preempt timer says so.
    glommio::executor().yield_task_queue_now().await;
}

/// Runs a task beside the rounds.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    glommio::spawn_local(task).detach();
}

/// Writes `content` to `beside`, syncs it, and puts it in the place of `path`.
pub(super) async fn replace(path: &Path, beside: &Path, content: &[u8]) -> io::Result<()> {
    let file = DmaFile::create(beside).await?;
    let bytes = file.align_up(content.len() as u64);
    // Direct I/O moves whole blocks; what is too much of the last one is cut off.
    let mut buffer = file.alloc_dma_buffer(bytes as usize);
    buffer.as_bytes_mut().fill(0);
    buffer.as_bytes_mut()[..content.len()].copy_from_slice(content);
    let written = file.write_at(buffer, 0).await?;
    if written as u64 != bytes {
        return Err(io::Error::from(io::ErrorKind::WriteZero));
    }
    file.truncate(content.len() as u64).await?;
    file.fdatasync().await?;
    file.rename(path).await?;
    file.close().await?;
    let folder = Directory::open(folder(path)).await?;
    folder.sync().await?;
    folder.close().await?;
    Ok(())
}
