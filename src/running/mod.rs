//! Boxes that run: a system's processes, or a part of somebody else's.
//!
//! A box is its reactors, each with its driver and its port, and a manager on the first one. The
//! controller's box has the controller and its journal besides. A guest is a box that is not part of the
//! system: it asks, and runs nothing. Each starts threads of its own, and none of the caller's.

mod config;
mod make;
mod outspoken;
mod secret;
mod whole;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use daedal_boxes::counters::{Board, BoxReading};
use daedal_boxes::executor::Executor;
use daedal_boxes::handle::Handle;
use daedal_boxes::idle::Idle;
use daedal_boxes::journal::Journal;
use daedal_boxes::preflight::{self, Finding, Preflight, Standing, Taken};
use daedal_boxes::prometheus::Server;
use daedal_boxes::reactor::{Clock, Neighbours, Reactor, ReactorSpec};
use daedal_boxes::template::Templates;
use daedal_model::control::ToController;
use daedal_model::controller::Controller;
use daedal_model::id::{AgentId, BoxId};
use daedal_model::latt::CONTROLLER;
use daedal_model::manager::BoxManager;
use daedal_model::port::Port;
use daedal_net::driver::DriverKind;

pub use self::config::{BoxConfig, Faults, config_of};
use self::make::{Make, Past, Residents};
pub use self::outspoken::Word;
pub use self::whole::RunningSystem;
use crate::assemble::controller;
use crate::system::SystemSpec;

/// Where guests are: the first of these that is free, behind those that Linux gives away by itself. Boxes
/// keep a link for each peer that they have heard, so guests that follow each other share one.
const GUEST_PORTS: RangeInclusive<u16> = 61_000..=61_255;

/// Of the ids of guests: no box of a system file has it.
const GUEST: u16 = 1 << 15;

/// How long the controller may take to hear that a box ends.
const LEAVE_AT_MOST: Duration = Duration::from_secs(1);

/// How long a reactor may take to stop.
const STOP_AT_MOST: Duration = Duration::from_secs(5);

/// A box that runs. Dropped without [`RunningBox::stop`] it ends as if it had crashed.
#[derive(Debug)]
pub struct RunningBox {
    config: BoxConfig,
    /// What it has less of than it was to have, and which driver it has chosen.
    notes: Vec<Finding>,
    /// Gives out its counters; ends before their file goes.
    server: Option<Server>,
    board: Option<Board>,
    incarnation: u64,
    is_member: bool,
    reactors: Vec<Reactor>,
    words: Receiver<Word>,
    handle: Handle,
}

/// Says to the controller that a box ends, so that its agents may run elsewhere, or in the process that
/// follows: of one that only ended they are believed to run.
#[derive(Clone, Debug)]
pub struct Farewell {
    handle: Handle,
    name: String,
    incarnation: u64,
}

impl Farewell {
    /// Says it, and waits a second at most for it to be heard. A controller that does not hear it finds out as
    /// after a crash.
    pub fn say(&self) {
        let Farewell { handle, name, incarnation } = self;
        let gone = ToController::Gone { name: name.clone(), incarnation: *incarnation };
        drop(handle.ask::<Controller>(CONTROLLER, &gone).wait_within(LEAVE_AT_MOST));
    }
}

impl RunningBox {
    /// Starts a box of the system. It goes on by itself: it joins when the controller is there, and joins
    /// again when that was away. What becomes of it comes as [`RunningBox::next_word`].
    /// # Errors
    /// A text for people: a port that is taken, a core that is not there.
    pub fn start(config: BoxConfig, templates: &Arc<Templates>) -> Result<RunningBox, String> {
        let (says, words) = channel();
        let preflight = preflight::check(&config.needs());
        start_after(preflight, config, templates, (Residents::Manager(says), words))
    }

    /// Starts the controller's box.
    /// # Errors
    /// As [`RunningBox::start`]; also a system that cannot be, and a journal that cannot be used.
    pub fn start_controller(
        config: BoxConfig,
        templates: &Arc<Templates>,
        spec: SystemSpec,
        journal: PathBuf,
    ) -> Result<RunningBox, String> {
        controller(&spec, templates)?;
        let mut needs = config.needs();
        needs.writes.push(journal.clone());
        let preflight = preflight::check(&needs);
        Journal::check(&journal).map_err(|error| error.to_string())?;
        let (says, words) = channel();
        let residents = Residents::Controller(Arc::new(spec), journal, says);
        start_after(preflight, config, templates, (residents, words))
    }

    /// Starts a guest, which may ask the agents of a system whose controller is known. `secret`: the file of
    /// what the system's frames are sealed with, if they are.
    /// # Errors
    /// As [`RunningBox::start`].
    pub fn start_guest(
        at: SocketAddr,
        secret: Option<&Path>,
        templates: &Arc<Templates>,
    ) -> Result<RunningBox, String> {
        let ip = address_towards(at)?;
        for port in GUEST_PORTS {
            let address = SocketAddr::new(ip, port);
            if UdpSocket::bind(address).is_err() {
                continue;
            }
            let (_, words) = channel();
            let residents = (Residents::Nobody, words);
            let started = start(guest(address, at, secret), Taken::Nothing, templates, residents);
            // Another may have taken the port meanwhile.
            if started.is_ok() || UdpSocket::bind(address).is_ok() {
                return started;
            }
        }
        let (first, last) = (GUEST_PORTS.start(), GUEST_PORTS.end());
        Err(format!("ports {first} to {last} of {ip} are taken; end some of those who have them"))
    }

    /// What it was started with.
    pub fn config(&self) -> &BoxConfig {
        &self.config
    }

    /// What it has less of than it was to have, and what follows; which driver it has chosen, if it was told none, and
    /// why no other. What it has stands in [`RunningBox::config`].
    pub fn notes(&self) -> &[Finding] {
        &self.notes
    }

    /// Where its counters can be had as text for Prometheus.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::address)
    }

    /// The file of its counters.
    pub fn counters(&self) -> Option<&Path> {
        self.board.as_ref().filter(|board| board.is_named()).map(Board::path)
    }

    /// Which process of its name it is: no other has the same.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// For threads and tasks of this process: asks and sends through the first reactor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it has to say, waiting for it at most that long.
    pub fn next_word(&self, at_most: Duration) -> Option<Word> {
        self.words.recv_timeout(at_most).ok()
    }

    /// For a process that ends: what is to be said before, if anything. The controller's box and guests say
    /// nothing.
    pub fn farewell(&self) -> Option<Farewell> {
        let (handle, name) = (self.handle.clone(), self.config.name.clone());
        self.is_member.then_some(Farewell { handle, name, incarnation: self.incarnation })
    }

    /// Stops it, having told the controller. What its agents held is gone with it; asks that wait end as
    /// *unknown*, and later ones are not sent.
    /// # Errors
    /// A reactor that does not stop: an agent does not return.
    pub fn stop(self) -> Result<(), String> {
        self.farewell().iter().for_each(Farewell::say);
        for reactor in self.reactors {
            reactor.stop(STOP_AT_MOST).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn guest(address: SocketAddr, controller: SocketAddr, secret: Option<&Path>) -> BoxConfig {
    BoxConfig {
        name: format!("guest{:016x}g", random()),
        id: guest_id(address),
        address,
        reactors: 1,
        executor: Executor::Thread,
        counters: None,
        metrics: None,
        sample: 0,
        idle: Idle::Frugal,
        driver: Some(DriverKind::Kernel),
        cpus: Vec::new(),
        controller,
        faults: None,
        pcap: None,
        links: Default::default(),
        secret: secret.map(PathBuf::from),
    }
}

/// Of an address, so that guests that follow each other there are one peer. Two at once may have the same by
/// chance: links tell guests apart by their addresses too.
fn guest_id(address: SocketAddr) -> BoxId {
    BoxId(AgentId::from(address.to_string().as_str()).0 as u16 | GUEST)
}

/// Starts a box that was looked at: with less than it was to have, or not at all.
fn start_after(
    preflight: Preflight,
    mut config: BoxConfig,
    templates: &Arc<Templates>,
    (residents, words): (Residents, Receiver<Word>),
) -> Result<RunningBox, String> {
    let missing: Vec<_> = preflight.with(Standing::Missing).map(Finding::to_string).collect();
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    (config.executor, config.idle) = (preflight.executor, preflight.idle);
    config.driver = Some(preflight.driver);
    let taken = preflight.taken.clone();
    let mut running = start(config, taken, templates, (residents, words))?;
    running.notes.extend(preflight.notes().cloned());
    Ok(running)
}

/// `taken`: what its driver has already.
fn start(
    config: BoxConfig,
    taken: Taken,
    templates: &Arc<Templates>,
    (residents, words): (Residents, Receiver<Word>),
) -> Result<RunningBox, String> {
    let templates = Arc::new(with_control_plane(templates));
    let incarnation = random();
    let secret = config.secret.as_deref().map(secret::read).transpose()?;
    let is_member = matches!(residents, Residents::Manager(_));
    let clock = Clock::start();
    let (board, unkept) = board(&config, clock);
    let server = server(&config, board.as_ref())?;
    let past = Past::open(&config, taken)?;
    let mut neighbours = Neighbours::join(config.reactors).map_err(|error| error.to_string())?;
    let (handle, shim) = neighbours[0].handle(HANDLE_CALLS_MAX);
    let mut shim = Some(shim);
    let mut reactors = Vec::new();
    for (index, neighbours) in neighbours.into_iter().enumerate() {
        let spec = ReactorSpec {
            name: format!("{}-{index}", config.name),
            cpu: config.cpu(index as u8),
            executor: config.executor,
            idle: config.idle,
            clock,
            neighbours,
            page: board.as_ref().map(|board| board.page(index as u8)),
        };
        let make = Make {
            config: config.clone(),
            templates: templates.clone(),
            past: past.clone(),
            residents: if index == 0 { residents.clone() } else { Residents::Nobody },
            shim: shim.take(),
            secret: secret.clone(),
            incarnation,
            reactor: index as u8,
        };
        reactors.push(make.start(spec).map_err(|error| error.to_string())?);
    }
    Ok(RunningBox {
        config,
        notes: unkept.into_iter().collect(),
        server,
        board,
        incarnation,
        is_member,
        reactors,
        words,
        handle,
    })
}

/// A box's counters, for others or for its own metrics, and why others do not see them although they were to.
fn board(config: &BoxConfig, clock: Clock) -> (Option<Board>, Option<Finding>) {
    let name = config.name.as_str();
    let unnamed = || Board::unnamed(name, config.reactors, clock.now()).ok();
    let Some(folder) = &config.counters else {
        return (config.metrics.and_then(|_| unnamed()), None);
    };
    match Board::create(folder, (name, &config.address.to_string()), config.reactors, clock.now()) {
        Ok(board) => (Some(board), None),
        Err(error) => {
            let unkept = Finding {
                what: "counters",
                standing: Standing::Less,
                found: format!("counters cannot be kept in {}: {error}", folder.display()),
                follows: "no command sees them",
                mend: "name a folder that may be written by --run".into(),
            };
            (config.metrics.and_then(|_| unnamed()), Some(unkept))
        }
    }
}

/// What gives out a box's counters.
fn server(config: &BoxConfig, board: Option<&Board>) -> Result<Option<Server>, String> {
    let Some(address) = config.metrics else { return Ok(None) };
    let Some(board) = board else {
        return Err(format!(
            "metrics at {address}: there is no memory for the box's counters; leave `metrics` out"
        ));
    };
    let server = BoxReading::open(board.path()).and_then(|it| Server::start(address, it));
    server.map(Some).map_err(|error| {
        format!(
            "metrics at {address}: {error}; `ss -ltnp` shows who has the port, or write another"
        )
    })
}

/// Calls of outside threads that wait to be taken in, a reactor.
const HANDLE_CALLS_MAX: usize = 4096;

/// What a process that takes part in a system must know besides its own agents.
fn with_control_plane(templates: &Templates) -> Templates {
    let mut templates = templates.clone();
    templates.talks_to::<Controller>().talks_to::<Journal>();
    templates.talks_to::<BoxManager>().talks_to::<Port>();
    templates
}

/// Our address on the way to a peer.
fn address_towards(peer: SocketAddr) -> Result<IpAddr, String> {
    let any: IpAddr = if peer.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).map_err(|error| format!("no socket: {error}"))?;
    socket.connect(peer).map_err(|error| format!("no way to {peer}: {error}"))?;
    socket.local_addr().map(|address| address.ip()).map_err(|error| error.to_string())
}

/// Fresh for each process.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use daedal_model::control::FromController;

    use super::*;

    #[test]
    fn guests_that_follow_each_other_are_one_peer_and_those_at_once_are_not() {
        let controller = "127.0.0.1:9".parse().unwrap();
        let templates = Arc::new(Templates::new());
        let guest = || RunningBox::start_guest(controller, None, &templates).unwrap();
        let who = |guest: &RunningBox| (guest.config().id, guest.config().address);
        let (first, second) = (guest(), guest());
        assert_ne!(who(&first).0, who(&second).0);
        assert!(who(&first).0.0 >= 1 << 15);
        let was = who(&second);
        second.stop().unwrap();
        assert_eq!(who(&guest()), was);
        first.stop().unwrap();
    }

    #[test]
    fn guests_of_one_id_are_both_answered() {
        let templates = Arc::new(Templates::new());
        let address = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "[controller]\naddress = \"{}\"\n[box.a]\naddress = \"{}\"",
            address(),
            address()
        );
        let spec = crate::system::parse(&text, "system.toml").unwrap();
        let journal = std::env::temp_dir().join(format!("daedal-guests-{}", std::process::id()));
        let config = config_of(&spec, crate::assemble::HOME).unwrap();
        let at = config.address;
        let home = RunningBox::start_controller(config, &templates, spec, journal.clone()).unwrap();
        let guest = || {
            let config = BoxConfig { id: BoxId(GUEST | 7), ..guest(address(), at, None) };
            start(config, Taken::Nothing, &templates, (Residents::Nobody, channel().1)).unwrap()
        };
        let guests = [guest(), guest()];
        for _ in 0..100 {
            for guest in &guests {
                let asked = guest.handle().ask::<Controller>(CONTROLLER, &ToController::Boxes);
                let told = asked.wait_within(Duration::from_secs(20));
                assert!(matches!(told, Some(Ok(FromController::Boxes(_)))), "{told:?}");
            }
        }
        guests.into_iter().chain([home]).for_each(|it| it.stop().unwrap());
        std::fs::remove_file(journal).unwrap();
    }
}
