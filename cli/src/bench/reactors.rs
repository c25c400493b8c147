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

/// One reactor, and the agents of one kind that run there.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Template of the agents, and path of the only one; of several the path has a number behind.
    pub agent: &'static str,
    /// How many there are.
    pub count: u16,
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
    fn paths(&self) -> impl Iterator<Item = Result<AgentPath, String>> {
        let (agent, count) = (self.agent, self.count);
        (1..=count).map(move |number| {
            let path = if count == 1 { agent.to_owned() } else { format!("{agent}{number}") };
            AgentPath::parse(&path).map_err(|error| error.to_string())
        })
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
        name: format!("bench-{}", seats[me].agent),
        cpu: Some(seats[me].cpu),
        executor: Executor::Thread,
        idle: seats[me].idle,
        clock: Clock::start(),
        neighbours,
        page: None,
    };
    let (templates, mine) = (templates.clone(), seats[me]);
    let text = |error: DriverError| error.to_string();
    let started = match mine.driver {
        DriverKind::Xdp(options) => Reactor::start(spec, move |_: &Files| {
            let interface = Interface::open(mine.socket.ip(), options).map_err(text)?;
            let config = xdp::Config::new(mine.socket, 0, &interface);
            let driver = Xdp::start(&interface, &config).map_err(text)?;
            turn(seats, me, driver, templates)
        }),
        #[cfg(feature = "dpdk")]
        DriverKind::Dpdk(options) => Reactor::start(spec, move |_: &Files| {
            let port = dpdk::Port::open(mine.socket.ip(), options, 1, dpdk::RECEIVE_BUFFERS);
            let port = port.map_err(text)?;
            let config = dpdk::Config::new(mine.socket, 0, &port);
            turn(seats, me, Dpdk::start(&port, &config).map_err(text)?, templates)
        }),
        DriverKind::Shm(options) => Reactor::start(spec, move |_: &Files| {
            let driver = Shm::start(&shm::Config::new(mine.socket, options)).map_err(text)?;
            turn(seats, me, driver, templates)
        }),
        _ => Reactor::start(spec, move |_: &Files| {
            let driver = Kernel::start(&kernel::Config::new(mine.socket)).map_err(text)?;
            turn(seats, me, driver, templates)
        }),
    };
    started.map_err(|error| error.to_string())
}

/// What the reactor of `seats[me]` does, with its agents.
/// # Errors
/// A text for people: an agent that cannot be made.
pub fn turn<D: Driver>(
    seats: [Seat; 2],
    me: usize,
    driver: D,
    templates: Arc<Templates>,
) -> Result<Turn<D>, String> {
    let mine = seats[me];
    // Whatever differs: no incarnation of these two meets an earlier one.
    let nonce = u64::from(std::process::id()) << 8 | me as u64;
    let mut links = Links::new(mine.at, driver, templates.kinds(), Default::default(), nonce);
    if mine.is_sealed {
        links.seal_with(Secret([7; 32]));
    }
    let mut turn = Turn::new(mine.at, templates.clone(), links);
    for seat in seats {
        turn.put_box(seat.at.agent_box, seat.socket);
        for path in seat.paths() {
            turn.fix_route(path?, seat.at);
        }
    }
    for (path, number) in mine.paths().zip(0..) {
        let agent = templates.make(mine.agent, &Parameters::new())?;
        // No agent of the other reactor has the same.
        let space = Space(seats.len() as u32 * number + me as u32 + 1);
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
