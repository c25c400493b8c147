//! A network that hands frames over as they are: a simulated one would keep each in an allocation of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use daedal_net::driver::{Counters, Driver, Outgoing, Received};
use daedal_net::pool::Pool;

/// One of two ends.
pub struct Pipe {
    pool: Pool,
    at: SocketAddr,
    /// What goes to either end.
    ends: Rc<[RefCell<VecDeque<Received>>; 2]>,
    end: usize,
}

const PAYLOAD_BYTES: usize = 1472;

/// Both ends of a new one.
pub fn pipe() -> [Pipe; 2] {
    let ends: Rc<[RefCell<VecDeque<Received>>; 2]> = Rc::default();
    [0, 1].map(|end| Pipe {
        pool: Pool::new(512, PAYLOAD_BYTES),
        at: SocketAddr::from(([10, 0, 0, end as u8 + 1], 7000)),
        ends: ends.clone(),
        end,
    })
}

impl Driver for Pipe {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, _: u64, most: usize, into: &mut Vec<Received>) -> usize {
        let mut inbox = self.ends[self.end].borrow_mut();
        let count = most.min(inbox.len());
        into.extend(inbox.drain(..count));
        count
    }

    fn transmit(&mut self, _: u64, frames: &mut VecDeque<Outgoing>) {
        let received = frames.drain(..).map(|it| Received { frame: it.frame, from: self.at });
        self.ends[1 - self.end].borrow_mut().extend(received);
    }

    fn address(&self) -> SocketAddr {
        self.at
    }

    fn payload_bytes_max(&self) -> usize {
        PAYLOAD_BYTES
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn mode(&self) -> String {
        "a pipe".to_owned()
    }
}
