//! Two processes, a spinning reactor each, joined by the kernel's UDP on 127.0.0.1, by memory that they share, or by a
//! virtual Ethernet between two network namespaces.
//!
//! The second process is this program again. It ends with the first one, which kills it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use daedal::Templates;
use daedal::boxes::reactor::{Neighbours, Reactor};
use daedal::model::id::{BoxId, ReactorAddress};
use daedal::net::driver::xdp::{Attach, Options};
use daedal::net::driver::{DriverKind, shm};
use daedal_lab::Lab;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::agents::{ASKER, ECHO, SINK, TELLER, templates};
use super::figure::Found;
use super::open_loop::{CALLER, add_caller};
use super::reactors::{BYTES, Seat, finish, start};

/// Messages handled a second.
pub fn tell() -> Found {
    measure(Metric::Tell, DriverKind::Kernel)
}

/// Round trips, one outstanding.
pub fn ask() -> Found {
    measure(Metric::Ask, DriverKind::Kernel)
}

/// As [`tell`], by memory that both share.
pub fn tell_by_shm() -> Found {
    measure(Metric::Tell, DriverKind::Shm(shm::Options::default()))
}

/// As [`ask`], by memory that both share.
pub fn ask_by_shm() -> Found {
    measure(Metric::Ask, DriverKind::Shm(shm::Options::default()))
}

/// Round trips by a schedule: so many a second; without a number, as many as are answered.
pub fn load(per_second: Option<u64>) -> Found {
    measure(Metric::Load(per_second), DriverKind::Kernel)
}

/// As [`load`], by memory that both share.
pub fn load_by_shm(per_second: Option<u64>) -> Found {
    measure(Metric::Load(per_second), DriverKind::Shm(shm::Options::default()))
}

/// As [`load`], over a virtual Ethernet past the kernel.
pub fn load_by_xdp_generic(per_second: Option<u64>) -> Found {
    over_ethernet(Metric::Load(per_second), xdp(Attach::Generic))
}

/// As [`load_by_xdp_generic`], in the interface's driver.
pub fn load_by_xdp_native(per_second: Option<u64>) -> Found {
    over_ethernet(Metric::Load(per_second), xdp(Attach::Native))
}

fn xdp(attach: Attach) -> DriverKind {
    DriverKind::Xdp(Options { attach: Some(attach), ..Options::default() })
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub enum Metric {
    /// Messages handled a second.
    Tell,
    /// Round trips, one outstanding.
    Ask,
    /// At that rate, which the second process need not know.
    Load(Option<u64>),
}

impl Metric {
    fn templates(self, says: Sender<Found>) -> Arc<Templates> {
        let mut all = templates([7u8; BYTES], says.clone());
        if let Metric::Load(per_second) = self {
            add_caller(&mut all, per_second, says);
        }
        Arc::new(all)
    }
}

/// Round trips over a virtual Ethernet, one outstanding.
pub fn ask_by_kernel() -> Found {
    over_ethernet(Metric::Ask, DriverKind::Kernel)
}

/// As [`ask_by_kernel`], past the kernel.
pub fn ask_by_xdp_generic() -> Found {
    over_ethernet(Metric::Ask, xdp(Attach::Generic))
}

/// As [`ask_by_xdp_generic`], in the interface's driver.
pub fn ask_by_xdp_native() -> Found {
    over_ethernet(Metric::Ask, xdp(Attach::Native))
}

/// What the second process is told: metric, both sockets' addresses, and its driver.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    metric: Metric,
    sockets: [SocketAddr; 2],
    driver: DriverKind,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair, String> {
        let words: Vec<&str> = text.splitn(4, ',').collect();
        let (metric, one, other, driver) = match words[..] {
            ["tell", one, other, driver] => (Metric::Tell, one, other, driver),
            ["ask", one, other, driver] => (Metric::Ask, one, other, driver),
            ["load", one, other, driver] => (Metric::Load(None), one, other, driver),
            _ => {
                return Err(
                    "expected tell, ask or load, two addresses and a driver, with commas".into()
                );
            }
        };
        let parse = |text: &str| text.parse().map_err(|_| format!("{text} is no address"));
        let driver = driver.parse().map_err(|_| format!("{driver} is no driver"))?;
        Ok(Pair { metric, sockets: [parse(one)?, parse(other)?], driver })
    }
}

impl Pair {
    fn text(&self) -> String {
        let metric = match self.metric {
            Metric::Tell => "tell",
            Metric::Ask => "ask",
            Metric::Load(_) => "load",
        };
        format!("{metric},{},{},{}", self.sockets[0], self.sockets[1], self.driver)
    }

    fn seats(&self) -> [Seat; 2] {
        let agents = match self.metric {
            Metric::Tell => [SINK, TELLER],
            Metric::Ask => [ASKER, ECHO],
            Metric::Load(_) => [CALLER, ECHO],
        };
        [0, 1].map(|me| Seat {
            agent: agents[me],
            at: ReactorAddress { agent_box: BoxId(me as u16 + 1), reactor: 0 },
            socket: self.sockets[me],
            cpu: me,
            driver: self.driver,
        })
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

fn measure(metric: Metric, driver: DriverKind) -> Found {
    let sockets = free_ports().map_err(|error| format!("ports on 127.0.0.1: {error}"))?;
    between(metric, sockets, [driver, driver])
}

/// Between two processes of this host, each with its driver.
pub fn between(metric: Metric, sockets: [SocketAddr; 2], drivers: [DriverKind; 2]) -> Found {
    let [first, second] = drivers.map(|driver| Pair { metric, sockets, driver });
    let (says, found) = channel();
    let templates = metric.templates(says);
    let first = start(first.seats(), 0, alone()?, &templates)?;
    let _second = Second::start(&second).map_err(|error| format!("the second process: {error}"))?;
    finish(vec![first], &found)
}

fn over_ethernet(metric: Metric, driver: DriverKind) -> Found {
    let lab = Lab::pair()?;
    let sockets = [1, 2].map(|end| SocketAddr::from(([10, 0, 0, end], 7000)));
    let pair = Pair { metric, sockets, driver };
    let (says, found) = channel();
    let templates = metric.templates(says);
    let neighbours = alone()?;
    let first = lab.within(0, || start(pair.seats(), 0, neighbours, &templates))?;
    let second = lab.within(1, || Second::start(&pair));
    let _second = second.map_err(|error| format!("the second process: {error}"))?;
    finish(vec![first], &found)
}

/// The second process: runs its reactor until it is killed.
/// # Errors
/// When the reactor does not start.
pub fn second(pair: &Pair) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let (says, _found) = channel();
    let templates = pair.metric.templates(says);
    let _reactor: Reactor = start(pair.seats(), 1, alone()?, &templates)?;
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
