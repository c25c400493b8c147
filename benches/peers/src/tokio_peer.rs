//! tokio: a task behind a bounded channel; answers by oneshot.

use std::hint::black_box;

use raw::{Figure, STRIDE};
use tokio::sync::{mpsc, oneshot};

use crate::one_thread::{self, count_handled};
use crate::{PAIRS, partner};

/// Places of the mailbox: the client waits when it is full.
const MAILBOX: usize = 1024;

enum Message {
    Tell(u64),
    Ask(u64, oneshot::Sender<u64>),
}

type Actor = mpsc::Sender<Message>;

/// Messages handled a second.
pub async fn tell() -> Figure {
    let actor = &start(MAILBOX);
    one_thread::tell(|| async {
        for word in 0..STRIDE {
            send(actor, Message::Tell(word)).await;
        }
    })
    .await
}

/// Round trips.
pub async fn ask() -> Figure {
    let actor = &start(MAILBOX);
    one_thread::ask(|| round(actor)).await
}

/// Answers a second of ten thousand tasks, each of which is asked by a task of its own, one ask at a time.
pub async fn pairs() -> Figure {
    let actors: Vec<_> = (0..PAIRS).map(|_| start(1)).collect();
    for client in 0..PAIRS {
        let actor = actors[partner(client)].clone();
        tokio::spawn(async move {
            loop {
                round(&actor).await;
                count_handled();
            }
        });
    }
    one_thread::tell(tokio::task::yield_now).await
}

async fn round(actor: &Actor) {
    let (answer, answered) = oneshot::channel();
    send(actor, Message::Ask(1, answer)).await;
    black_box(answered.await.expect("the actor answers"));
}

async fn send(actor: &Actor, message: Message) {
    actor.send(message).await.expect("the actor lives as long as its client");
}

/// `places`: those of its mailbox.
fn start(places: usize) -> Actor {
    let (actor, mut inbox) = mpsc::channel(places);
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
