//! tokio: a task behind a bounded channel, on one current-thread runtime; answers by oneshot.

use std::future::Future;
use std::hint::black_box;
use std::time::Instant;

use raw::{Figure, MEASURED, Times, WARM_UP};
use tokio::sync::{mpsc, oneshot};

use crate::{PAIRS, Rate, partner};

/// Places of the mailbox: the client waits when it is full.
const MAILBOX: usize = 1024;

enum Message {
    Tell(u64),
    Ask(u64, oneshot::Sender<u64>),
    /// Boxed, so that the others stay small.
    Measure(Box<(Rate, oneshot::Sender<f64>)>),
}

/// Messages handled a second.
pub fn tell() -> Figure {
    block_on(async {
        let (actor, inbox) = mpsc::channel(MAILBOX);
        tokio::spawn(serve(inbox));
        let mut rate = 0.0;
        for duration in [WARM_UP, MEASURED] {
            let (done, mut measured) = oneshot::channel();
            let measure = Box::new((Rate::start(duration), done));
            send(&actor, Message::Measure(measure)).await;
            rate = loop {
                for word in 0..raw::STRIDE {
                    send(&actor, Message::Tell(word)).await;
                }
                if let Ok(rate) = measured.try_recv() {
                    break rate;
                }
            };
        }
        Figure::Tell(rate)
    })
}

/// Round trips.
pub fn ask() -> Figure {
    block_on(async {
        let (actor, inbox) = mpsc::channel(MAILBOX);
        tokio::spawn(serve(inbox));
        let start = Instant::now();
        while start.elapsed() < WARM_UP {
            round(&actor).await;
        }
        let mut times = Times::new();
        while !times.has_run(MEASURED) {
            round(&actor).await;
            times.lap();
        }
        times.figure()
    })
}

/// Answers a second of ten thousand tasks, each of which is asked by a task of its own, one ask at a time.
pub fn pairs() -> Figure {
    block_on(async {
        let actors: Vec<_> = (0..PAIRS)
            .map(|_| {
                let (actor, inbox) = mpsc::channel(1);
                tokio::spawn(serve(inbox));
                actor
            })
            .collect();
        for client in 0..PAIRS {
            let actor = actors[partner(client)].clone();
            tokio::spawn(async move {
                loop {
                    round(&actor).await;
                    crate::answered();
                }
            });
        }
        crate::answers_a_second(tokio::task::yield_now).await
    })
}

async fn round(actor: &mpsc::Sender<Message>) {
    let (answer, answered) = oneshot::channel();
    send(actor, Message::Ask(1, answer)).await;
    black_box(answered.await.expect("the actor answers"));
}

async fn send(actor: &mpsc::Sender<Message>, message: Message) {
    actor.send(message).await.expect("the actor lives as long as its client");
}

async fn serve(mut inbox: mpsc::Receiver<Message>) {
    let mut measure: Option<(Rate, oneshot::Sender<f64>)> = None;
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Tell(word) => {
                black_box(word);
                let rate = measure.as_mut().and_then(|(rate, _)| rate.handled());
                if let (Some(rate), Some((_, done))) = (rate, measure.take_if(|_| rate.is_some())) {
                    done.send(rate).expect("the client waits for it");
                }
            }
            Message::Ask(word, answer) => {
                answer.send(word + 1).expect("the client waits for it");
            }
            Message::Measure(begun) => measure = Some(*begun),
        }
    }
}

fn block_on(client: impl Future<Output = Figure> + Send + 'static) -> Figure {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers needs nothing");
    runtime.block_on(async { tokio::spawn(client).await.expect("the client does not panic") })
}
