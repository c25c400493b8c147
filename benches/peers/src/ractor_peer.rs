//! ractor: an actor with its unbounded mailbox.

use std::hint::black_box;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use raw::Figure;

use crate::BURST;
use crate::one_thread::{self, count_handled, handled, until_handled};

struct Server;

#[derive(Debug)]
enum Message {
    Tell(u64),
    Ask(u64, RpcReplyPort<u64>),
}

impl Actor for Server {
    type Msg = Message;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, _: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        _: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tell(word) => {
                black_box(word);
                count_handled();
            }
            Message::Ask(word, answer) => answer.send(word + 1)?,
        }
        Ok(())
    }
}

/// Messages handled a second.
pub async fn tell() -> Figure {
    let server = &start().await;
    one_thread::tell(|| async {
        let sent = handled() + BURST;
        for word in 0..BURST {
            server.cast(Message::Tell(word)).expect("the server lives");
        }
        until_handled(sent).await;
    })
    .await
}

/// Round trips.
pub async fn ask() -> Figure {
    let server = &start().await;
    one_thread::ask(|| async {
        black_box(call!(server, Message::Ask, 1).expect("the server answers"));
    })
    .await
}

async fn start() -> ActorRef<Message> {
    Actor::spawn(None, Server, ()).await.expect("nothing keeps it from starting").0
}
