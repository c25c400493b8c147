//! One client and all shards in one place, called like a function: how the parts fit together, for
//! tests and for reading. Knows no agents, boxes or sockets.

use daedal::Point;

use crate::command::Facts;
use crate::connection::{Connection, Ticket};
use crate::key_value::KeyValue;
use crate::request::{Reply, RequestRef};

/// A connection with the shards behind it.
#[derive(Debug)]
pub struct Local {
    connection: Connection,
    shards: Vec<KeyValue>,
}

impl Local {
    /// A client that has not said anything, and empty shards.
    /// # Panics
    /// When `shards` is 0.
    pub fn new(shards: usize) -> Local {
        assert!(shards > 0, "someone has to own the keys");
        Local { connection: Connection::new(1), shards: vec![KeyValue::default(); shards] }
    }

    /// What the store answers to `bytes` of the client's, at `now_ns` since 1970. Replies to requests
    /// that are under way together come in last first: it makes no difference.
    pub fn say(&mut self, bytes: &[u8], now_ns: u64) -> Vec<u8> {
        let Local { connection, shards } = self;
        let facts = Facts { now_ms: now_ns / 1_000_000, ..Facts::default() };
        let (mut output, mut replies) = (Vec::new(), Vec::<(Ticket, Reply)>::new());
        connection.receive(bytes);
        loop {
            connection.advance(&facts, &mut |ticket, request| {
                replies.push((ticket, ask(shards, request, now_ns)));
                true
            });
            let is_done = replies.is_empty() && connection.output().is_empty();
            for (ticket, reply) in replies.drain(..).rev() {
                connection.complete(ticket, &reply.borrowed());
            }
            output.extend_from_slice(connection.output());
            connection.written(connection.output().len());
            if is_done {
                return output;
            }
        }
    }

    /// Removes all that expired.
    pub fn reclaim(&mut self, now_ns: u64) {
        self.shards.iter_mut().for_each(|shard| {
            shard.reclaim(0, now_ns, usize::MAX);
        });
    }

    /// Whether the client is to be disconnected.
    pub fn is_finished(&self) -> bool {
        self.connection.is_finished()
    }
}

/// A request with a key goes to the shard that owns its point, any other to all of them.
fn ask(shards: &mut [KeyValue], request: &RequestRef<'_>, now_ns: u64) -> Reply {
    if let Some(key) = request.key() {
        let owner = (u128::from(Point::of(key).0) * shards.len() as u128) >> u64::BITS;
        return shards[owner as usize].apply(request, now_ns, |reply| reply.to_reply());
    }
    let mut replies =
        shards.iter_mut().map(|shard| shard.apply(request, now_ns, |reply| reply.to_reply()));
    let first = replies.next().expect("there is a shard");
    replies.fold(first, |mut all, reply| {
        all.merge(reply);
        all
    })
}
