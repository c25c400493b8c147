//! `cargo run --release -p embed`: the service, and the boxes behind it, in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use embed::boxes::Boxes;
use embed::http::{PATIENCE, Service, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// How often the boxes are asked whether they can go on: as late may the end be noticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Counts, over HTTP.
#[derive(Parser)]
struct Arguments {
    /// Where HTTP clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File that states the system [default: two boxes and four shards]
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// Be this box of the system, whose controller and other boxes are processes of their own
    #[arg(long = "box", value_name = "NAME", requires = "system")]
    name: Option<String>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let Arguments { listen, system, name } = Arguments::parse();
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}: name another by --listen, or stop who has it")
    })?;
    let boxes = Boxes::start(system.as_deref(), name.as_deref())?;
    let service = Service { handle: boxes.handle().clone(), patience: PATIENCE };
    let is_over = Arc::new(AtomicBool::new(false));
    let (refuse, refused) = oneshot::channel();
    let watched = spawn_blocking({
        let is_over = is_over.clone();
        move || watch(boxes, &is_over, refuse)
    });
    println!("counts are at http://{}/counts", listener.local_addr()?);
    serve(service, listener, told_to_end(refused)?).await?;
    is_over.store(true, Ordering::Relaxed);
    watched.await.context("the thread that watches the boxes")?
}

/// On Ctrl-C, when it is told to end by name, and when its boxes cannot go on.
fn told_to_end(refused: oneshot::Receiver<()>) -> Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt()).context("catching Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("catching SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            Ok(()) = refused => {}
        }
    })
}

/// Stops the boxes when the service is over, or has it end when they cannot go on.
fn watch(boxes: Boxes, is_over: &AtomicBool, refuse: oneshot::Sender<()>) -> Result<()> {
    let mut refuse = Some(refuse);
    let mut outcome = Ok(());
    while !is_over.load(Ordering::Relaxed) {
        if let Some(why) = boxes.next_refusal(LOOK_EVERY) {
            outcome = Err(anyhow!(why));
            refuse.take().map(|refuse| refuse.send(()));
        }
    }
    boxes.stop().and(outcome)
}
