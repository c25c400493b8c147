//! kameo: an actor with an unbounded mailbox.

use std::hint::black_box;

use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};
use raw::Figure;

use crate::BURST;
use crate::one_thread::{self, count_handled, handled, until_handled};

#[derive(kameo::Actor)]
struct Server;

struct Tell(u64);

struct Ask(u64);

impl Message<Tell> for Server {
    type Reply = ();

    async fn handle(&mut self, message: Tell, _: &mut Context<Self, ()>) {
        black_box(message.0);
        count_handled();
    }
}

impl Message<Ask> for Server {
    type Reply = u64;

    async fn handle(&mut self, message: Ask, _: &mut Context<Self, u64>) -> u64 {
        message.0 + 1
    }
}

/// Messages handled a second.
pub async fn tell() -> Figure {
    let server = &start();
    one_thread::tell(|| async {
        let sent = handled() + BURST;
        for word in 0..BURST {
            server.tell(Tell(word)).await.expect("the server lives");
        }
        until_handled(sent).await;
    })
    .await
}

/// Round trips.
pub async fn ask() -> Figure {
    let server = &start();
    one_thread::ask(|| async {
        black_box(server.ask(Ask(1)).await.expect("the server answers"));
    })
    .await
}

fn start() -> ActorRef<Server> {
    Server::spawn_with_mailbox(Server, mailbox::unbounded())
}
