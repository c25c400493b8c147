//! Where the time of a message goes: two reactors take turns in one thread, and one tells the other as much as it may;
//! or one reactor takes turns, and one of its agents tells another. Each phase of their turns is timed, and divided by
//! the messages that were handled: at least 32 a round, so that reading the clock does not show.

#![expect(clippy::disallowed_methods, reason = "this is what measures")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use daedal::boxes::alone::NoNetwork;
use daedal::boxes::idle::Idle;
use daedal::boxes::reactor::{self, Clock};
use daedal::boxes::turn::{Phase, Turn};
use daedal::model::id::{BoxId, ReactorAddress};
use daedal::net::driver::{Driver, DriverKind};
use daedal::{Parameters, Templates};
use daedal_lab::Lab;

use super::agents::{MEASURED, SINK, TELLER, WARM_UP, templates};
#[cfg(feature = "dpdk")]
use super::dpdk::Wire;
use super::figure::{Figure, Found};
use super::local::WORD;
#[cfg(feature = "dpdk")]
use super::reactors::dpdk;
use super::reactors::{BYTES, Kin, PATIENCE, Seat, kernel, shm, turn, xdp};

const SENDER: usize = 0;
const RECEIVER: usize = 1;
/// Any port of this host.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// A round in which fewer were handled does not count: reading the clock would be a part of each.
const MESSAGES_MIN: u64 = 32;

/// How messages get from one agent to the other.
#[derive(Clone, Copy)]
pub enum Way {
    /// Within a reactor, which takes the turns of both.
    Local,
    /// By the rings of two reactors of a box.
    Ring,
    /// By the case's driver.
    Driver,
}

/// A part of what a message costs.
#[derive(Clone, Copy)]
pub enum Part {
    /// All of it.
    Whole,
    /// The sender's transition, and writing the message where it leaves from.
    Write,
    /// Frames to the driver, and by it to where they are sent; or lines to where the other reactor sees them.
    Send,
    /// What comes, what is read and checked of it, and the receiver's transition.
    Receive,
    /// Acknowledgements, on their way and at their end.
    Acknowledge,
}

impl Part {
    /// Nanoseconds a message.
    pub fn find(self, way: Way, driver: &str) -> Found {
        let times = super::cpu::on(0, || match way {
            Way::Local => of_turns([alone()?]),
            Way::Ring => {
                let mut turns = turns([0, 1].map(|_| NoNetwork::default()), way)?;
                reactor::join(&mut turns);
                of_turns(turns)
            }
            Way::Driver => by_driver(driver),
        });
        Ok(times?.of(|who, phase| self.has(way, who, phase)))
    }

    fn has(self, way: Way, who: usize, phase: Phase) -> bool {
        let (arrival, receiver) = match way {
            Way::Local => (Phase::Local, SENDER),
            Way::Ring => (Phase::Rings, RECEIVER),
            Way::Driver => (Phase::Links, RECEIVER),
        };
        match self {
            Part::Whole => true,
            Part::Write => (who, phase) == (SENDER, Phase::Shims),
            Part::Send => (who, phase) == (SENDER, Phase::Flush),
            Part::Receive => (who, phase) == (receiver, arrival),
            Part::Acknowledge => {
                [(receiver, Phase::Flush), (SENDER, arrival)].contains(&(who, phase))
            }
        }
    }
}

/// What phases took of either, and how many messages were handled meanwhile.
#[derive(Default)]
struct Times {
    phases: Vec<(usize, Phase, Duration)>,
    messages: u64,
}

impl Times {
    /// Adds those of a round, in which so many messages were handled, if that is enough.
    fn add(&mut self, round: &[(usize, Phase, Duration)], messages: u64) {
        if messages < MESSAGES_MIN {
            return;
        }
        self.messages += messages;
        for &(who, phase, took) in round {
            match self.phases.iter_mut().find(|it| (it.0, it.1) == (who, phase)) {
                Some((_, _, sum)) => *sum += took,
                None => self.phases.push((who, phase, took)),
            }
        }
    }

    fn of(&self, counts: impl Fn(usize, Phase) -> bool) -> Figure {
        let of_them = self.phases.iter().filter(|(who, phase, _)| counts(*who, *phase));
        let sum: Duration = of_them.map(|(_, _, sum)| *sum).sum();
        Figure::each(sum.as_nanos() as f64 / self.messages as f64)
    }
}

fn by_driver(driver: &str) -> Result<Times, String> {
    #[cfg(feature = "dpdk")]
    if let Some(wire) = Wire::of(driver) {
        return by_dpdk(&wire);
    }
    match parsed(driver)? {
        DriverKind::Xdp(options) => {
            let lab = Lab::pair()?;
            let start = |end| lab.within(end, || xdp(host(end), options));
            of_turns(turns([start(SENDER)?, start(RECEIVER)?], Way::Driver)?)
        }
        DriverKind::Shm(options) => {
            of_turns(turns([shm(ANY, options)?, shm(ANY, options)?], Way::Driver)?)
        }
        _ => of_turns(turns([kernel(ANY)?, kernel(ANY)?], Way::Driver)?),
    }
}

/// Both ports of one process.
#[cfg(feature = "dpdk")]
fn by_dpdk(wire: &Wire) -> Result<Times, String> {
    let drivers = wire.drivers();
    let start = |end: usize| match parsed(&drivers[end])? {
        DriverKind::Dpdk(options) => dpdk(host(end), options),
        _ => unreachable!("a wire of DPDK's has its driver"),
    };
    of_turns(turns([start(SENDER)?, start(RECEIVER)?], Way::Driver)?)
}

fn parsed(driver: &str) -> Result<DriverKind, String> {
    driver.parse().map_err(|_| format!("{driver} is no driver"))
}

fn host(end: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + end as u8], 7000))
}

/// Rounds of them, a turn each; the last one has the receiver.
fn of_turns<D: Driver, const COUNT: usize>(mut turns: [Turn<D>; COUNT]) -> Result<Times, String> {
    let (clock, begun) = (Clock::start(), Instant::now());
    let (mut times, mut round, mut handled) = (Times::default(), Vec::new(), 0);
    loop {
        round.clear();
        for (who, turn) in turns.iter_mut().enumerate() {
            let mut since = Instant::now();
            turn.take_by_phases(clock.now(), true, |phase| {
                let now = Instant::now();
                round.push((who, phase, now - since));
                since = now;
            });
        }
        let before = std::mem::replace(&mut handled, turns[COUNT - 1].counts().delivered);
        let lasted = begun.elapsed();
        if lasted > WARM_UP {
            times.add(&round, handled - before);
        }
        if lasted > WARM_UP + MEASURED && times.messages > 0 {
            return Ok(times);
        }
        if lasted > PATIENCE {
            return Err(format!("no {MESSAGES_MIN} were handled at once within {PATIENCE:?}"));
        }
    }
}

/// A reactor that has both.
fn alone() -> Result<Turn<NoNetwork>, String> {
    let mut turn = Turn::alone(Arc::new(templates(WORD, channel().0)));
    for agent in [SINK, TELLER] {
        turn.run(agent, agent, &Parameters::new())?;
    }
    Ok(turn)
}

/// The sender's, and the receiver's, of one box if rings are between them.
fn turns<D: Driver>(drivers: [D; 2], way: Way) -> Result<[Turn<D>; 2], String> {
    let templates: Arc<Templates> = Arc::new(templates([7u8; BYTES], channel().0));
    let at = |me: usize| match way {
        Way::Driver => ReactorAddress { agent_box: BoxId(1 + me as u16), reactor: 0 },
        _ => ReactorAddress { agent_box: BoxId(1), reactor: me as u8 },
    };
    let seat = |me: usize| Seat {
        agents: vec![Kin::one([TELLER, SINK][me])],
        at: at(me),
        socket: drivers[me].address(),
        cpu: 0,
        driver: DriverKind::Kernel,
        idle: Idle::Latency,
        is_sealed: false,
    };
    let seats = [seat(SENDER), seat(RECEIVER)];
    let [sender, receiver] = drivers;
    let sender = turn(&seats, SENDER, sender, templates.clone())?;
    Ok([sender, turn(&seats, RECEIVER, receiver, templates)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_in_which_fewer_than_32_were_handled_do_not_count() {
        let mut times = Times::default();
        let round = |ns| [(SENDER, Phase::Shims, Duration::from_nanos(ns))];
        times.add(&round(1_000_000), 31);
        times.add(&round(320), 32);
        times.add(&round(960), 96);
        times.add(&round(1_000_000), 0);
        assert_eq!((times.messages, times.of(|_, _| true).value), (128, 10.0));
    }

    #[test]
    fn a_phase_is_of_one_part_at_most() {
        use Part::{Acknowledge, Receive, Send, Write};
        let phases = [Phase::Rings, Phase::Local, Phase::Shims, Phase::Links, Phase::Flush];
        let turns = [SENDER, RECEIVER].into_iter().flat_map(|who| phases.map(|it| (who, it)));
        for (way, expect) in [(Way::Ring, 5), (Way::Driver, 5)] {
            let parts = |(who, phase)| {
                let all = [Write, Send, Receive, Acknowledge];
                all.into_iter().filter(|part| part.has(way, who, phase)).count()
            };
            let counts: Vec<usize> = turns.clone().map(parts).collect();
            assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
            assert_eq!(counts.iter().sum::<usize>(), expect);
        }
    }

    #[test]
    fn within_a_reactor_and_by_rings_enough_are_handled_at_once() {
        for way in [Way::Local, Way::Ring] {
            let figure = Part::Receive.find(way, "none").expect("it needs nothing");
            assert!(figure.value > 0.0, "{figure:?}");
        }
    }
}
