//! tokio: a task behind a bounded channel; answers by oneshot.

use std::hint::black_box;

use raw::{Figure, STRIDE};
use tokio::sync::{mpsc, oneshot};

use crate::one_thread::{self, count_handled};

/// Places of the mailbox: the client waits when it is full.
const MAILBOX: usize = 1024;

enum Message {
    Tell(u64),
    Ask(u64, oneshot::Sender<u64>),
}

type Actor = mpsc::Sender<Message>;

/// Messages handled a second.
pub async fn tell() -> Figure {
    let actor = &start();
    one_thread::tell(|| async {
        for word in 0..STRIDE {
            send(actor, Message::Tell(word)).await;
        }
    })
    .await
}

/// Round trips.
pub async fn ask() -> Figure {
    let actor = &start();
    one_thread::ask(|| async {
        let (answer, answered) = oneshot::channel();
        send(actor, Message::Ask(1, answer)).await;
        black_box(answered.await.expect("the actor answers"));
    })
    .await
}

async fn send(actor: &Actor, message: Message) {
    actor.send(message).await.expect("the actor lives as long as its client");
}

fn start() -> Actor {
    let (actor, mut inbox) = mpsc::channel(MAILBOX);
    tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            match message {
                Message::Tell(word) => {
                    black_box(word);
                    count_handled();
                }
                Message::Ask(word, answer) => {
                    answer.send(word + 1).expect("the client waits for it");
                }
            }
        }
    });
    actor
}
