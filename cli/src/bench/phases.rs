//! Where the time of a message goes: two reactors take turns in one thread, and one tells the other as much as it may. Each phase of their turns is timed, and divided by the messages that were handled: a
//! burst a turn, so that reading the clock does not show.

#![expect(clippy::disallowed_methods, reason = "this is what measures")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use daedal::boxes::idle::Idle;
use daedal::boxes::reactor::Clock;
use daedal::boxes::turn::{Phase, Turn};
use daedal::model::id::{BoxId, ReactorAddress};
use daedal::net::driver::kernel::{self, Kernel};
use daedal::net::driver::shm::{self, Shm};
use daedal::net::driver::xdp::{self, Interface, Xdp};
use daedal::net::driver::{Driver, DriverError, DriverKind};
use daedal_lab::Lab;

use super::agents::{MEASURED, SINK, TELLER, WARM_UP, templates};
use super::figure::{Figure, Found};
use super::reactors::{BYTES, Kin, PATIENCE, Seat, turn};

const SENDER: usize = 0;
const RECEIVER: usize = 1;
/// Any port of this host.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Both turns, nanoseconds a message.
pub fn whole(driver: &str) -> Found {
    let times = times(driver)?;
    Ok(times.of(|_, _| true))
}

/// The sender's transition, and writing the message into its frame.
pub fn writing(driver: &str) -> Found {
    let times = times(driver)?;
    Ok(times.of(|who, phase| who == SENDER && phase == Phase::Shims))
}

/// Frames to the driver, and by it to where they are sent.
pub fn sending(driver: &str) -> Found {
    let times = times(driver)?;
    Ok(times.of(|who, phase| who == SENDER && phase == Phase::Flush))
}

/// Frames from the driver, what is read and checked of them, and the receiver's transition.
pub fn receiving(driver: &str) -> Found {
    let times = times(driver)?;
    Ok(times.of(|who, phase| who == RECEIVER && phase == Phase::Links))
}

/// Acknowledgements, on their way and at their end.
pub fn acknowledging(driver: &str) -> Found {
    let times = times(driver)?;
    Ok(times
        .of(|who, phase| matches!((who, phase), (RECEIVER, Phase::Flush) | (SENDER, Phase::Links))))
}

/// What phases took of either, and how many messages were handled meanwhile.
#[derive(Default)]
struct Times {
    phases: Vec<(usize, Phase, Duration)>,
    messages: u64,
}

impl Times {
    fn add(&mut self, who: usize, phase: Phase, took: Duration) {
        match self.phases.iter_mut().find(|it| (it.0, it.1) == (who, phase)) {
            Some((_, _, sum)) => *sum += took,
            None => self.phases.push((who, phase, took)),
        }
    }

    fn of(&self, counts: impl Fn(usize, Phase) -> bool) -> Figure {
        let of_them = self.phases.iter().filter(|(who, phase, _)| counts(*who, *phase));
        let sum: Duration = of_them.map(|(_, _, sum)| *sum).sum();
        Figure::each(sum.as_nanos() as f64 / self.messages as f64)
    }
}

fn times(driver: &str) -> Result<Times, String> {
    let text = |error: DriverError| error.to_string();
    let kind: DriverKind = driver.parse().map_err(|_| format!("{driver} is no driver"))?;
    super::cpu::on(0, || match kind {
        DriverKind::Xdp(options) => {
            let lab = Lab::pair()?;
            let start = |end: usize| {
                lab.within(end, || {
                    let at = SocketAddr::from(([10, 0, 0, 1 + end as u8], 7000));
                    let interface = Interface::open(at.ip(), options).map_err(text)?;
                    Xdp::start(&interface, &xdp::Config::new(at, 0, &interface)).map_err(text)
                })
            };
            of_turns([start(SENDER)?, start(RECEIVER)?])
        }
        DriverKind::Shm(options) => {
            let start = |at| Shm::start(&shm::Config::new(at, options)).map_err(text);
            of_turns([start(ANY)?, start(ANY)?])
        }
        _ => {
            let start = |at| Kernel::start(&kernel::Config::new(at)).map_err(text);
            of_turns([start(ANY)?, start(ANY)?])
        }
    })
}

fn of_turns<D: Driver>(drivers: [D; 2]) -> Result<Times, String> {
    let mut turns = turns(drivers)?;
    let (clock, begun) = (Clock::start(), Instant::now());
    let (mut times, mut handled) = (Times::default(), None);
    loop {
        for (who, turn) in turns.iter_mut().enumerate() {
            let mut since = Instant::now();
            turn.take_by_phases(clock.now(), true, |phase| {
                let now = Instant::now();
                times.add(who, phase, now - since);
                since = now;
            });
        }
        let (lasted, count) = (begun.elapsed(), turns[RECEIVER].counts().delivered);
        match handled {
            None if lasted > WARM_UP && count > 0 => {
                (times, handled) = (Times::default(), Some(count));
            }
            Some(before) if lasted > WARM_UP + MEASURED => {
                times.messages = count - before;
                return Ok(times);
            }
            _ if lasted > PATIENCE => {
                return Err(format!("nothing was handled within {PATIENCE:?}"));
            }
            _ => {}
        }
    }
}

/// The sender's, and the receiver's.
fn turns<D: Driver>(drivers: [D; 2]) -> Result<[Turn<D>; 2], String> {
    let templates = Arc::new(templates([7u8; BYTES], channel().0));
    let seat = |me: usize| Seat {
        agents: vec![Kin::one([TELLER, SINK][me])],
        at: ReactorAddress { agent_box: BoxId(1 + me as u16), reactor: 0 },
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
