//! actix: one actor and its client on one thread.

use std::future::Future;
use std::hint::black_box;
use std::time::Instant;

use actix::prelude::*;
use raw::{Figure, resident_bytes};

use crate::one_thread::{self, count_handled, handled, until_handled};
use crate::{BURST, PAIRS, partner};

/// Actors, where it is asked what one of many takes.
const MANY: u64 = 1_000_000;

struct Server;

#[derive(Message)]
#[rtype(result = "()")]
struct Tell(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct Ask(u64);

impl Actor for Server {
    type Context = Context<Self>;
}

impl Handler<Tell> for Server {
    type Result = ();

    fn handle(&mut self, message: Tell, _: &mut Context<Self>) {
        black_box(message.0);
        count_handled();
    }
}

impl Handler<Ask> for Server {
    type Result = u64;

    fn handle(&mut self, message: Ask, _: &mut Context<Self>) -> u64 {
        message.0 + 1
    }
}

/// The smallest actor that counts.
#[derive(Default)]
struct Counter(u64);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Tell> for Counter {
    type Result = ();

    fn handle(&mut self, message: Tell, _: &mut Context<Self>) {
        self.0 += black_box(message.0);
        count_handled();
    }
}

/// What one of a million actors takes that were started, and have each handled one message: `ns` or `bytes`.
pub fn each(unit: &'static str) -> Figure {
    block_on(async move {
        let (before, start) = (resident_bytes(), Instant::now());
        let actors: Vec<_> = (0..MANY).map(|_| Counter::default().start()).collect();
        for some in actors.chunks(BURST as usize) {
            some.iter().for_each(|actor| actor.do_send(Tell(1)));
            tokio::task::yield_now().await;
        }
        until_handled(MANY).await;
        let value = match unit {
            "ns" => start.elapsed().as_nanos() as f64,
            _ => resident_bytes().saturating_sub(before) as f64,
        };
        black_box(&actors);
        Figure::Each(unit, value / MANY as f64)
    })
}

/// Messages handled a second.
pub fn tell() -> Figure {
    block_on(async {
        let server = &Server.start();
        one_thread::tell(|| async {
            let sent = handled() + BURST;
            (0..BURST).for_each(|word| server.do_send(Tell(word)));
            until_handled(sent).await;
        })
        .await
    })
}

/// Round trips.
pub fn ask() -> Figure {
    block_on(async {
        let server = &Server.start();
        one_thread::ask(|| round(server)).await
    })
}

/// Answers a second of ten thousand actors, each of which is asked by a task of its own, one ask at a time.
pub fn pairs() -> Figure {
    block_on(async {
        let servers: Vec<_> = (0..PAIRS).map(|_| Server.start()).collect();
        for client in 0..PAIRS {
            let server = servers[partner(client)].clone();
            actix::spawn(async move {
                loop {
                    round(&server).await;
                    count_handled();
                }
            });
        }
        one_thread::tell(tokio::task::yield_now).await
    })
}

async fn round(server: &Addr<Server>) {
    black_box(server.send(Ask(1)).await.expect("the server lives"));
}

fn block_on(client: impl Future<Output = Figure> + 'static) -> Figure {
    System::new().block_on(async { actix::spawn(client).await.expect("the client does not panic") })
}
