//! Where the time of a message goes: two reactors take turns in one thread, by kernel sockets over loopback, and one tells
//! the other as much as it may. Each phase of their turns is timed, and divided by the messages that were handled: a
//! burst a turn, so that reading the clock does not show.

#![expect(clippy::disallowed_methods, reason = "this is what measures")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use daedal::boxes::idle::Idle;
use daedal::boxes::reactor::Clock;
use daedal::boxes::turn::{Phase, Turn};
use daedal::model::id::{BoxId, ReactorAddress};
use daedal::net::driver::kernel::{self, Kernel};
use daedal::net::driver::{Driver, DriverKind};

use super::agents::{MEASURED, SINK, TELLER, WARM_UP, templates};
use super::figure::{Figure, Found};
use super::reactors::{BYTES, PATIENCE, Seat, turn};

const SENDER: usize = 0;
const RECEIVER: usize = 1;

/// Both turns, nanoseconds a message.
pub fn whole() -> Found {
    let times = times()?;
    Ok(times.of(|_, _| true))
}

/// The sender's transition, and writing the message into its frame.
pub fn writing() -> Found {
    let times = times()?;
    Ok(times.of(|who, phase| who == SENDER && phase == Phase::Shims))
}

/// Frames to the driver, and by it to the kernel.
pub fn sending() -> Found {
    let times = times()?;
    Ok(times.of(|who, phase| who == SENDER && phase == Phase::Flush))
}

/// Frames from the driver, what is read and checked of them, and the receiver's transition.
pub fn receiving() -> Found {
    let times = times()?;
    Ok(times.of(|who, phase| who == RECEIVER && phase == Phase::Links))
}

/// Acknowledgements, on their way and at their end.
pub fn acknowledging() -> Found {
    let times = times()?;
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

fn times() -> Result<Times, String> {
    super::cpu::on(0, || {
        let mut turns = turns()?;
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
    })
}

/// The sender's, and the receiver's.
fn turns() -> Result<[Turn<Kernel>; 2], String> {
    let templates = Arc::new(templates([7u8; BYTES], channel().0));
    let start = || {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Kernel::start(&kernel::Config::new(any)).map_err(|error| error.to_string())
    };
    let drivers = [start()?, start()?];
    let seat = |me: usize| Seat {
        agent: [TELLER, SINK][me],
        count: 1,
        at: ReactorAddress { agent_box: BoxId(1 + me as u16), reactor: 0 },
        socket: drivers[me].address(),
        cpu: 0,
        driver: DriverKind::Kernel,
        idle: Idle::Latency,
        is_sealed: false,
    };
    let seats = [seat(SENDER), seat(RECEIVER)];
    let [sender, receiver] = drivers;
    let sender = turn(seats, SENDER, sender, templates.clone())?;
    Ok([sender, turn(seats, RECEIVER, receiver, templates)?])
}
