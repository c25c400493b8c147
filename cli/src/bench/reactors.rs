//! Reactors as a box has them: pinned, spinning, each with its socket. What is missing is the control
//! plane, which is not on the way of a message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use daedal::boxes::Placed;
use daedal::boxes::executor::{Executor, Files};
use daedal::boxes::idle::Idle;
use daedal::boxes::links::Links;
use daedal::boxes::reactor::{Clock, Neighbours, Reactor, ReactorSpec};
use daedal::boxes::turn::Turn;
use daedal::model::id::{ReactorAddress, Space};
use daedal::model::path::AgentPath;
#[cfg(feature = "dpdk")]
use daedal::net::driver::dpdk::{self, Dpdk};
use daedal::net::driver::kernel::{self, Kernel};
use daedal::net::driver::shm::{self, Shm};
use daedal::net::driver::xdp::{self, Interface, Xdp};
use daedal::net::driver::{Driver, DriverError, DriverKind};
use daedal::net::link::Secret;
use daedal::{Parameters, Templates};

use super::figure::Found;

/// Bytes of a message.
pub const BYTES: usize = 64;
/// How long a run may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Agents of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Kin {
    /// Their template, and path of the only one; of several the path has the number behind that each is told.
    pub template: &'static str,
    /// How many there are.
    pub count: u16,
}

impl Kin {
    /// One.
    pub const fn one(template: &'static str) -> Kin {
        Kin { template, count: 1 }
    }

    /// The path of each.
    pub fn path(self, number: u16) -> String {
        let number = if self.count == 1 { String::new() } else { number.to_string() };
        format!("{}{number}", self.template)
    }

    /// What each is told.
    pub fn parameters(number: u16) -> Parameters {
        Parameters::from([(NUMBER.to_owned(), number.to_string())])
    }
}

/// Name of the parameter that says which of several an agent is, from 0 on.
pub const NUMBER: &str = "number";

/// One reactor, and the agents that run there.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Its agents.
    pub agents: Vec<Kin>,
    /// The reactor.
    pub at: ReactorAddress,
    /// Its socket's address.
    pub socket: SocketAddr,
    /// The processor that it is pinned to.
    pub cpu: usize,
    /// What moves its frames.
    pub driver: DriverKind,
    /// What it does when there is nothing to do.
    pub idle: Idle,
    /// Whether its frames are sealed.
    pub is_sealed: bool,
}

impl Seat {
    /// Template, number and path of each agent.
    fn agents(&self) -> impl Iterator<Item = (&'static str, u16, Result<AgentPath, String>)> {
        let path = |kin: Kin, number| {
            AgentPath::parse(&kin.path(number)).map_err(|error| error.to_string())
        };
        let each = move |kin: Kin| {
            (0..kin.count).map(move |number| (kin.template, number, path(kin, number)))
        };
        self.agents.iter().copied().flat_map(each)
    }
}

/// Starts the reactor of `seats[me]`, which knows where the others are.
/// # Errors
/// A text for people: a port that is taken, a processor that is not there.
pub fn start(
    seats: [Seat; 2],
    me: usize,
    neighbours: Neighbours,
    templates: &Arc<Templates>,
) -> Result<Reactor, String> {
    let spec = ReactorSpec {
        name: format!("bench-{}", seats[me].agents[0].template),
        cpu: Some(seats[me].cpu),
        executor: Executor::Thread,
        idle: seats[me].idle,
        clock: Clock::start(),
        neighbours,
        page: None,
    };
    let (templates, socket) = (templates.clone(), seats[me].socket);
    let started = match seats[me].driver {
        DriverKind::Xdp(options) => Reactor::start(spec, move |_: &Files| {
            turn(&seats, me, xdp(socket, options)?, templates)
        }),
        #[cfg(feature = "dpdk")]
        DriverKind::Dpdk(options) => Reactor::start(spec, move |_: &Files| {
            turn(&seats, me, dpdk(socket, options)?, templates)
        }),
        DriverKind::Shm(options) => Reactor::start(spec, move |_: &Files| {
            turn(&seats, me, shm(socket, options)?, templates)
        }),
        _ => Reactor::start(spec, move |_: &Files| turn(&seats, me, kernel(socket)?, templates)),
    };
    started.map_err(|error| error.to_string())
}

/// A driver there, of one reactor.
/// # Errors
/// What it lacks, for people.
pub fn kernel(at: SocketAddr) -> Result<Kernel, String> {
    Kernel::start(&kernel::Config::new(at)).map_err(text)
}

/// As [`kernel`].
pub fn shm(at: SocketAddr, options: shm::Options) -> Result<Shm, String> {
    Shm::start(&shm::Config::new(at, options)).map_err(text)
}

/// As [`kernel`].
pub fn xdp(at: SocketAddr, options: xdp::Options) -> Result<Xdp, String> {
    let interface = Interface::open(at.ip(), options).map_err(text)?;
    Xdp::start(&interface, &xdp::Config::new(at, 0, &interface)).map_err(text)
}

/// As [`kernel`].
#[cfg(feature = "dpdk")]
pub fn dpdk(at: SocketAddr, options: dpdk::Options) -> Result<Dpdk, String> {
    let port = dpdk::Port::open(at.ip(), options, 1, dpdk::RECEIVE_BUFFERS).map_err(text)?;
    Dpdk::start(&port, &dpdk::Config::new(at, 0, &port)).map_err(text)
}

fn text(error: DriverError) -> String {
    error.to_string()
}

/// What the reactor of `seats[me]` does, with its agents.
/// # Errors
/// A text for people: an agent that cannot be made.
pub fn turn<D: Driver>(
    seats: &[Seat; 2],
    me: usize,
    driver: D,
    templates: Arc<Templates>,
) -> Result<Turn<D>, String> {
    let mine = &seats[me];
    // Whatever differs: no incarnation of these two meets an earlier one.
    let nonce = u64::from(std::process::id()) << 8 | me as u64;
    let mut links = Links::new(mine.at, driver, templates.kinds(), Default::default(), nonce);
    if mine.is_sealed {
        links.seal_with(Secret([7; 32]));
    }
    let mut turn = Turn::new(mine.at, templates.clone(), links);
    for seat in seats {
        turn.put_box(seat.at.agent_box, seat.socket);
        for (_, _, path) in seat.agents() {
            turn.fix_route(path?, seat.at);
        }
    }
    for ((template, number, path), index) in mine.agents().zip(0..) {
        let agent = templates.make(template, &Kin::parameters(number))?;
        // No agent of the other reactor has the same.
        let space = Space(seats.len() as u32 * index + me as u32 + 1);
        turn.host(Placed::alone(path?, space), agent);
    }
    Ok(turn)
}

/// Waits for what is found, and stops the reactors.
/// # Errors
/// When nothing is; a reactor that does not stop.
pub fn finish(reactors: Vec<Reactor>, found: &Receiver<Found>) -> Found {
    let found = found
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err(format!("nothing was measured within {PATIENCE:?}")));
    for reactor in reactors {
        reactor.stop(PATIENCE).map_err(|error| error.to_string())?;
    }
    found
}
