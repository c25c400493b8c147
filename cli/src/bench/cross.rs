//! Two reactors of one box, each spinning on a processor of its own: messages cross by their rings.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;

use daedal::boxes::reactor::Neighbours;
use daedal::model::id::{BoxId, ReactorAddress};

use daedal::net::driver::DriverKind;

use super::agents::{ASKER, ECHO, templates};
use super::figure::Found;
use super::reactors::{BYTES, Seat, finish, start};

/// Round trips, one outstanding.
pub fn ask() -> Found {
    let (says, found) = channel();
    let templates = Arc::new(templates([7u8; BYTES], says));
    let seat = |agent, reactor: u8| Seat {
        agent,
        at: ReactorAddress { agent_box: BoxId(1), reactor },
        socket: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        cpu: usize::from(reactor),
        driver: DriverKind::Kernel,
    };
    let seats = [seat(ASKER, 0), seat(ECHO, 1)];
    let neighbours = Neighbours::join(2).map_err(|error| error.to_string())?;
    let mut reactors = Vec::new();
    for (me, neighbours) in neighbours.into_iter().enumerate() {
        reactors.push(start(seats, me, neighbours, &templates)?);
    }
    finish(reactors, &found)
}
