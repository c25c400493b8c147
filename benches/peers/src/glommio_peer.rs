//! glommio: a task behind a bounded `local_channel`, which answers by another.

use std::hint::black_box;

use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_bounded};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use raw::{Figure, STRIDE};

use crate::one_thread::{self, count_handled};

/// Places of a channel: the client waits when it is full.
const PLACES: usize = 1024;

/// On processor 0.
/// # Errors
/// Why there is none: for people.
pub fn executor() -> Result<LocalExecutor, String> {
    let made = LocalExecutorBuilder::new(Placement::Fixed(0)).make();
    made.map_err(|error| format!("glommio needs io_uring, and memory that it may lock: {error}"))
}

/// Messages handled a second.
pub async fn tell() -> Figure {
    let (actor, inbox) = new_bounded(PLACES);
    glommio::spawn_local(async move {
        while let Some(word) = inbox.recv().await {
            black_box::<u64>(word);
            count_handled();
        }
    })
    .detach();
    on_task(async move {
        let actor = &actor;
        one_thread::tell(|| async {
            for word in 0..STRIDE {
                send(actor, word).await;
            }
        })
        .await
    })
    .await
}

/// Round trips.
pub async fn ask() -> Figure {
    let (actor, inbox) = new_bounded(PLACES);
    let (answers, answered) = new_bounded(PLACES);
    glommio::spawn_local(async move {
        while let Some(word) = inbox.recv().await {
            send(&answers, word + 1).await;
        }
    })
    .detach();
    on_task(async move {
        let (actor, answered): (&LocalSender<u64>, &LocalReceiver<u64>) = (&actor, &answered);
        one_thread::ask(|| async {
            send(actor, 1).await;
            black_box(answered.recv().await.expect("the actor answers"));
        })
        .await
    })
    .await
}

/// The client is a task, as its actor is one.
async fn on_task(client: impl Future<Output = Figure> + 'static) -> Figure {
    glommio::spawn_local(client).await
}

async fn send(actor: &LocalSender<u64>, word: u64) {
    actor.send(word).await.expect("the other end lives as long as this one");
}
