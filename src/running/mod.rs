//! Boxes that run: a system's processes, or a part of somebody else's.
//!
//! A box is its reactors, each with its driver and its port, and a manager on the first one. The
//! controller's box has the controller and its journal besides. A guest is a box that is not part of the
//! system: it asks, and runs nothing.

mod config;
mod make;
mod outspoken;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use daedal_boxes::handle::Handle;
use daedal_boxes::idle::Idle;
use daedal_boxes::journal::Journal;
use daedal_boxes::reactor::{Clock, Neighbours, Reactor, ReactorSpec};
use daedal_boxes::template::Templates;
use daedal_model::controller::Controller;
use daedal_model::id::BoxId;
use daedal_model::manager::BoxManager;
use daedal_model::port::Port;

pub use self::config::{BoxConfig, Faults, config_of};
use self::make::{Make, Residents};
pub use self::outspoken::Word;
use crate::assemble::controller;
use crate::system::SystemSpec;

/// How long a reactor may take to stop.
const STOP_AT_MOST: Duration = Duration::from_secs(5);

/// A box that runs.
#[derive(Debug)]
pub struct RunningBox {
    config: BoxConfig,
    reactors: Vec<Reactor>,
    words: Receiver<Word>,
    handle: Handle,
}

impl RunningBox {
    /// Starts a box of the system.
    /// # Errors
    /// A text for people: a port that is taken, a core that is not there.
    pub fn start(config: BoxConfig, templates: &Arc<Templates>) -> Result<RunningBox, String> {
        let (says, words) = channel();
        start(config, templates, Residents::Manager(says), words)
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
        Journal::open(&journal).map_err(|error| error.to_string())?;
        let (says, words) = channel();
        start(config, templates, Residents::Controller(Arc::new(spec), journal, says), words)
    }

    /// Starts a guest, which may ask the agents of a system whose controller is known.
    /// # Errors
    /// As [`RunningBox::start`].
    pub fn start_guest(at: SocketAddr, templates: &Arc<Templates>) -> Result<RunningBox, String> {
        let random = random();
        let config = BoxConfig {
            name: format!("guest{random:016x}g"),
            id: BoxId(random as u16 | 1 << 15),
            address: SocketAddr::new(address_towards(at)?, 0),
            reactors: 1,
            idle: Idle::Frugal,
            cpus: Vec::new(),
            controller: at,
            faults: None,
        };
        let (_, words) = channel();
        start(config, templates, Residents::Nobody, words)
    }

    /// What it was started with.
    pub fn config(&self) -> &BoxConfig {
        &self.config
    }

    /// For threads and tasks of this process: asks and sends through the first reactor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it has to say, waiting for it at most that long.
    pub fn next_word(&self, at_most: Duration) -> Option<Word> {
        self.words.recv_timeout(at_most).ok()
    }

    /// Stops it. What its agents held is gone with it.
    /// # Errors
    /// A reactor that does not stop.
    pub fn stop(self) -> Result<(), String> {
        for reactor in self.reactors {
            reactor.stop(STOP_AT_MOST).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn start(
    config: BoxConfig,
    templates: &Arc<Templates>,
    residents: Residents,
    words: Receiver<Word>,
) -> Result<RunningBox, String> {
    let templates = Arc::new(with_control_plane(templates));
    let incarnation = random();
    let clock = Clock::start();
    let mut neighbours = Neighbours::join(config.reactors).map_err(|error| error.to_string())?;
    let (handle, shim) = neighbours[0].handle(HANDLE_CALLS_MAX);
    let mut shim = Some(shim);
    let mut reactors = Vec::new();
    for (index, neighbours) in neighbours.into_iter().enumerate() {
        let spec = ReactorSpec {
            name: format!("{}-{index}", config.name),
            cpu: config.cpus.get(index % config.cpus.len().max(1)).copied(),
            idle: config.idle,
            clock,
            neighbours,
        };
        let make = Make {
            config: config.clone(),
            templates: templates.clone(),
            residents: if index == 0 { residents.clone() } else { Residents::Nobody },
            shim: shim.take(),
            incarnation,
            reactor: index as u8,
        };
        reactors.push(make.start(spec).map_err(|error| error.to_string())?);
    }
    Ok(RunningBox { config, reactors, words, handle })
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
