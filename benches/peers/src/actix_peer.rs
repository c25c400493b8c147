//! actix: one actor and its client on one thread.

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::time::Instant;

use actix::prelude::*;
use raw::{Figure, MEASURED, Times, WARM_UP, resident_bytes};
use tokio::sync::oneshot;

use crate::{PAIRS, Rate, partner};

/// Actors, where it is asked what one of many takes.
const MANY: u64 = 1_000_000;

/// Sends between two yields: `do_send` knows no back-pressure.
const BURST: u64 = 1000;

#[derive(Default)]
struct Server {
    measure: Option<(Rate, oneshot::Sender<f64>)>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Tell(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct Ask(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Measure(Rate, oneshot::Sender<f64>);

impl Actor for Server {
    type Context = Context<Self>;
}

impl Handler<Tell> for Server {
    type Result = ();

    fn handle(&mut self, message: Tell, _: &mut Context<Self>) {
        black_box(message.0);
        let rate = self.measure.as_mut().and_then(|(rate, _)| rate.handled());
        if let (Some(rate), Some((_, done))) = (rate, self.measure.take_if(|_| rate.is_some())) {
            done.send(rate).expect("the client waits for it");
        }
    }
}

impl Handler<Ask> for Server {
    type Result = u64;

    fn handle(&mut self, message: Ask, _: &mut Context<Self>) -> u64 {
        message.0 + 1
    }
}

impl Handler<Measure> for Server {
    type Result = ();

    fn handle(&mut self, message: Measure, _: &mut Context<Self>) {
        self.measure = Some((message.0, message.1));
    }
}

/// The smallest actor that counts.
#[derive(Default)]
struct Counter(u64);

thread_local! {
    static HANDLED: Cell<u64> = const { Cell::new(0) };
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Tell> for Counter {
    type Result = ();

    fn handle(&mut self, message: Tell, _: &mut Context<Self>) {
        self.0 += black_box(message.0);
        HANDLED.set(HANDLED.get() + 1);
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
        while HANDLED.get() < MANY {
            tokio::task::yield_now().await;
        }
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
        let server = Server::default().start();
        let mut rate = 0.0;
        for duration in [WARM_UP, MEASURED] {
            let (done, mut measured) = oneshot::channel();
            let measure = Measure(Rate::start(duration), done);
            server.send(measure).await.expect("the server lives");
            rate = loop {
                for word in 0..BURST {
                    server.do_send(Tell(word));
                }
                tokio::task::yield_now().await;
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
        let server = Server::default().start();
        let start = Instant::now();
        while start.elapsed() < WARM_UP {
            round(&server).await;
        }
        let mut times = Times::new();
        while !times.has_run(MEASURED) {
            round(&server).await;
            times.lap();
        }
        times.figure()
    })
}

/// Answers a second of ten thousand actors, each of which is asked by a task of its own, one ask at a time.
pub fn pairs() -> Figure {
    block_on(async {
        let servers: Vec<_> = (0..PAIRS).map(|_| Server::default().start()).collect();
        for client in 0..PAIRS {
            let server = servers[partner(client)].clone();
            actix::spawn(async move {
                loop {
                    round(&server).await;
                    crate::answered();
                }
            });
        }
        crate::answers_a_second(tokio::task::yield_now).await
    })
}

async fn round(server: &Addr<Server>) {
    black_box(server.send(Ask(1)).await.expect("the server lives"));
}

fn block_on(client: impl Future<Output = Figure> + 'static) -> Figure {
    System::new().block_on(async { actix::spawn(client).await.expect("the client does not panic") })
}
