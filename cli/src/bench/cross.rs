//! Two reactors of one box, each spinning on a processor of its own: messages cross by their rings.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;

use daedal::boxes::idle::Idle;
use daedal::boxes::reactor::Neighbours;
use daedal::model::id::{BoxId, ReactorAddress};
use daedal::net::driver::DriverKind;

use super::agents::{ASKER, ECHO, Load, SINK, TELLER, templates};
use super::figure::Found;
use super::local::WORD;
use super::pairs;
use super::reactors::{BYTES, Kin, Seat, finish, start};

/// Messages handled a second.
pub fn tell() -> Found {
    measure([SINK, TELLER].map(|it| vec![Kin::one(it)]))
}

/// Round trips of one word, one outstanding.
pub fn ask() -> Found {
    measure_with(WORD, [ASKER, ECHO].map(|it| vec![Kin::one(it)]))
}

/// Answers a second of many pairs.
pub fn many_pairs() -> Found {
    measure(pairs::seats(pairs::MANY))
}

/// As [`many_pairs`], of one.
pub fn one_pair() -> Found {
    measure(pairs::seats(1))
}

fn measure(agents: [Vec<Kin>; 2]) -> Found {
    measure_with([7u8; BYTES], agents)
}

fn measure_with<M: Load>(message: M, agents: [Vec<Kin>; 2]) -> Found {
    let (says, found) = channel();
    let mut templates = templates(message, says.clone());
    pairs::add(&mut templates, agents[1][0].count, says);
    let templates = Arc::new(templates);
    let seat = |reactor: u8| Seat {
        agents: agents[usize::from(reactor)].clone(),
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
        reactors.push(start(seats.clone(), me, neighbours, &templates)?);
    }
    finish(reactors, &found)
}
