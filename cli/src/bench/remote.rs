//! Two processes, a spinning reactor each, joined by the kernel's UDP on 127.0.0.1, by memory that they share, by a wire
//! of DPDK, or by a virtual Ethernet between two network namespaces.
//!
//! The second process is this program again. It ends with the first one, which kills it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use daedal::Templates;
use daedal::boxes::idle::Idle;
use daedal::boxes::reactor::{Neighbours, Reactor};
use daedal::model::id::{BoxId, ReactorAddress};
use daedal::net::driver::DriverKind;
use daedal_lab::Lab;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::agents::{ASKER, ECHO, SINK, TELLER, TO_ECHO, add_asker, add_teller, templates};
use super::dpdk::Wire;
use super::figure::Found;
use super::open_loop::{CALLER, add_caller};
use super::pairs;
use super::reactors::{BYTES, Kin, Seat, finish, start};

/// What two processes do, and what is found of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// What is found.
    pub metric: Metric,
    /// Bytes of a message, which is a list of them; one of a fixed length, [`BYTES`], if they are not said.
    pub bytes: Option<usize>,
    /// How many agents tell, or pairs there are.
    pub senders: u16,
    /// How many messages are told a visit; as many as usual if it is not said.
    pub batch: Option<u16>,
    /// Microseconds between an answer and the next ask.
    pub rest_us: u64,
    /// Whether reactors park when there is nothing to do (`balanced`); else they spin (`latency`).
    pub parks: bool,
    /// Whether both have a secret, and seal what they send.
    pub is_sealed: bool,
    /// Whether each is on a host of its own; else on this one.
    pub is_over_ethernet: bool,
}

/// What is found of two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Messages handled a second.
    Tell,
    /// Round trips, one outstanding.
    Ask,
    /// Round trips by a schedule: so many a second; without a number, as many as are answered.
    Load(Option<u64>),
    /// Answers a second of pairs of agents.
    Pairs,
}

impl Work {
    /// Messages handled a second.
    pub const TELL: Work = Work { metric: Metric::Tell, ..Work::ASK };
    /// Round trips, one outstanding.
    pub const ASK: Work = Work {
        metric: Metric::Ask,
        bytes: None,
        senders: 1,
        batch: None,
        rest_us: 0,
        parks: false,
        is_sealed: false,
        is_over_ethernet: false,
    };
    /// Round trips by a schedule, as many as are answered.
    pub const LOAD: Work = Work::ASK.at_rate(None);

    /// Answers a second of so many pairs.
    pub const fn pairs(count: u16) -> Work {
        Work { metric: Metric::Pairs, senders: count, ..Work::ASK }
    }

    /// The same, over a virtual Ethernet.
    pub const fn over_ethernet(self) -> Work {
        Work { is_over_ethernet: true, ..self }
    }

    /// Round trips by a schedule: so many a second; without a number, as many as are answered.
    pub const fn at_rate(self, per_second: Option<u64>) -> Work {
        Work { metric: Metric::Load(per_second), ..self }
    }

    /// Has two processes do it, joined by `driver`.
    /// # Errors
    /// A text for people: what one of them lacks.
    pub fn find(self, driver: &str) -> Found {
        let lab = self.is_over_ethernet.then(Lab::pair).transpose()?;
        let wire = Wire::of(driver);
        let sockets = if lab.is_some() || wire.is_some() {
            [1, 2].map(|end| SocketAddr::from(([10, 0, 0, end], 7000)))
        } else {
            free_ports().map_err(|error| format!("ports on 127.0.0.1: {error}"))?
        };
        let drivers = match &wire {
            Some(wire) => wire.drivers(),
            None => [driver, driver].map(str::to_owned),
        };
        let pair = Pair { work: self, sockets, drivers };
        let (says, found) = channel();
        let (seats, templates, neighbours) = (pair.seats()?, self.templates(says), alone()?);
        let first = within(&lab, 0, || start(seats, 0, neighbours, &templates))?;
        let second = within(&lab, 1, || Second::start(&pair));
        let _second = second.map_err(|error| format!("the second process: {error}"))?;
        finish(vec![first], &found)
    }

    fn agents(self) -> [Vec<Kin>; 2] {
        let [first, second] = match self.metric {
            Metric::Tell => [SINK, TELLER],
            Metric::Ask => [ASKER, ECHO],
            Metric::Load(_) => [CALLER, ECHO],
            Metric::Pairs => return pairs::seats(self.senders),
        };
        [vec![Kin::one(first)], vec![Kin { template: second, count: self.senders }]]
    }

    fn templates(self, says: Sender<Found>) -> Arc<Templates> {
        let message = [7u8; BYTES];
        let mut all = match self.bytes {
            Some(bytes) => templates(vec![7u8; bytes], says.clone()),
            None => templates(message, says.clone()),
        };
        if let Some(batch) = self.batch {
            add_teller(&mut all, message, batch);
        }
        match self.metric {
            Metric::Load(per_second) => add_caller(&mut all, per_second, says),
            Metric::Pairs => pairs::add(&mut all, self.senders, says),
            _ if self.rest_us > 0 => {
                let rest = Duration::from_micros(self.rest_us);
                add_asker(&mut all, message, [TO_ECHO], rest, says);
            }
            _ => {}
        }
        Arc::new(all)
    }
}

fn within<T>(lab: &Option<Lab>, end: usize, run: impl FnOnce() -> T) -> T {
    match lab {
        Some(lab) => lab.within(end, run),
        None => run(),
    }
}

/// What the second process is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// What is done.
    pub work: Work,
    /// Where each of them is.
    pub sockets: [SocketAddr; 2],
    /// What moves the frames of each.
    pub drivers: [String; 2],
}

impl FromStr for Pair {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Pair, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl Pair {
    /// As the second process is told: JSON.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("all of it has a form in JSON")
    }

    fn seats(&self) -> Result<[Seat; 2], String> {
        let driver = |me: usize| {
            let driver = &self.drivers[me];
            let parsed = driver.parse::<DriverKind>();
            parsed.map_err(|why| why.unwrap_or_else(|| format!("{driver} is no driver")))
        };
        let (drivers, agents) = ([driver(0)?, driver(1)?], self.work.agents());
        Ok([0, 1].map(|me| Seat {
            agents: agents[me].clone(),
            at: ReactorAddress { agent_box: BoxId(me as u16 + 1), reactor: 0 },
            socket: self.sockets[me],
            cpu: me,
            driver: drivers[me],
            idle: if self.work.parks { Idle::Balanced } else { Idle::Latency },
            is_sealed: self.work.is_sealed,
        }))
    }
}

/// The second process, which does not outlive this value.
struct Second(Child);

impl Second {
    fn start(pair: &Pair) -> std::io::Result<Second> {
        let program = std::env::current_exe()?;
        Command::new(program).args(["bench", "--second", &pair.text()]).spawn().map(Second)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The second process: runs its reactor until it is killed.
/// # Errors
/// When the reactor does not start.
pub fn second(pair: &Pair) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let (says, _found) = channel();
    let templates = pair.work.templates(says);
    let _reactor: Reactor = start(pair.seats()?, 1, alone()?, &templates)?;
    loop {
        std::thread::park();
    }
}

fn alone() -> Result<Neighbours, String> {
    let mut one = Neighbours::join(1).map_err(|error| error.to_string())?;
    Ok(one.remove(0))
}

/// Two that are free now.
pub fn free_ports() -> std::io::Result<[SocketAddr; 2]> {
    let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (bind()?, bind()?);
    Ok([one.local_addr()?, other.local_addr()?])
}
