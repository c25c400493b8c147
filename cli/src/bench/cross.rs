//! Two reactors of one box, each spinning on a processor of its own: messages cross by their rings.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;

use daedal::boxes::idle::Idle;
use daedal::boxes::reactor::Neighbours;
use daedal::model::id::{BoxId, ReactorAddress};
use daedal::net::driver::DriverKind;

use super::agents::{ASKER, ECHO, SINK, TELLER, templates};
use super::figure::Found;
use super::reactors::{BYTES, Seat, finish, start};

/// Messages handled a second.
pub fn tell() -> Found {
    measure([SINK, TELLER])
}

/// Round trips, one outstanding.
pub fn ask() -> Found {
    measure([ASKER, ECHO])
}

fn measure(agents: [&'static str; 2]) -> Found {
    let (says, found) = channel();
    let templates = Arc::new(templates([7u8; BYTES], says));
    let seat = |reactor: u8| Seat {
        agent: agents[usize::from(reactor)],
        count: 1,
        at: ReactorAddress { agent_box: BoxId(1), reactor },
        socket: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        cpu: usize::from(reactor),
        driver: DriverKind::Kernel,
        idle: Idle::Latency,
        is_sealed: false,
    };
    let seats = [0, 1].map(seat);
    let neighbours = Neighbours::join(2).map_err(|error| error.to_string())?;
    let mut reactors = Vec::new();
    for (me, neighbours) in neighbours.into_iter().enumerate() {
        reactors.push(start(seats, me, neighbours, &templates)?);
    }
    finish(reactors, &found)
}
