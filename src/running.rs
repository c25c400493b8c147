//! Boxes that run: a system's processes, or a part of somebody else's.
//!
//! A box is its reactors, each with its driver and its port, and a manager on the first one. The
//! controller's box has the controller and its journal besides. A guest is a box that is not part of the
//! system: it asks, and runs nothing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use daedal_boxes::deliver::Host;
use daedal_boxes::handle::{Handle, HandleShim};
use daedal_boxes::idle::Idle;
use daedal_boxes::journal::Journal;
use daedal_boxes::links::Links;
use daedal_boxes::reactor::{Clock, Neighbours, Reactor, ReactorSpec};
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{CONTROLLER_AT, Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::control::{ToManager, bootstrap_space, manager_path, port_path};
use daedal_model::controller::Controller;
use daedal_model::id::{BoxId, ReactorAddress, Space};
use daedal_model::latt::{CONTROLLER, JOURNAL};
use daedal_model::manager::{BoxDescription, BoxManager, Registration};
use daedal_model::path::AgentPath;
use daedal_model::port::Port;
use daedal_model::state::{Captured, State, StateError};
use daedal_net::driver::kernel::{Config, Kernel};

use crate::assemble::{HOME, controller};
use crate::system::SystemSpec;

/// How long a reactor may take to stop.
const STOP_AT_MOST: Duration = Duration::from_secs(5);

/// What a box says of itself while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The controller took it in.
    Member(BoxId),
    /// The controller does not want it: the text says why.
    Refused(String),
}

/// How a box is to run.
#[derive(Clone, Debug)]
pub struct BoxConfig {
    /// Its name.
    pub name: String,
    /// Its id in frames.
    pub id: BoxId,
    /// Address of its first reactor; the others follow, a port each.
    pub address: SocketAddr,
    /// How many reactors.
    pub reactors: u8,
    /// What they do when there is nothing to do.
    pub idle: Idle,
    /// The cores that they are pinned to, in turn; none: they are not pinned.
    pub cpus: Vec<usize>,
    /// Where the controller is.
    pub controller: SocketAddr,
}

/// What the first reactor of a box runs from the start.
#[derive(Clone)]
enum Residents {
    Manager(Sender<Word>),
    Controller(Arc<SystemSpec>, PathBuf, Sender<Word>),
    Nobody,
}

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
        let reactor =
            Reactor::start(spec, move || make.turn()).map_err(|error| error.to_string())?;
        reactors.push(reactor);
    }
    Ok(RunningBox { config, reactors, words, handle })
}

/// Calls of outside threads that wait to be taken in, a reactor.
const HANDLE_CALLS_MAX: usize = 4096;

/// What a reactor's turn is made from, on its own thread.
struct Make {
    config: BoxConfig,
    templates: Arc<Templates>,
    residents: Residents,
    /// What serves the box's handle, on its first reactor.
    shim: Option<HandleShim>,
    incarnation: u64,
    reactor: u8,
}

impl Make {
    fn turn(mut self) -> Result<Turn<Kernel>, String> {
        let me = ReactorAddress { agent_box: self.config.id, reactor: self.reactor };
        let mut address = self.config.address;
        if address.port() != 0 {
            address.set_port(address.port() + u16::from(self.reactor));
        }
        let driver = Kernel::start(&Config::new(address)).map_err(|error| error.to_string())?;
        let nonce =
            self.incarnation ^ (u64::from(self.reactor) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let links = Links::new(me, driver, self.templates.kinds(), Default::default(), nonce);
        let mut turn = Turn::new(me, self.templates.clone(), links);
        turn.put_box(CONTROLLER_AT.agent_box, self.config.controller);
        turn.fix_route(parse(CONTROLLER), CONTROLLER_AT);
        for reactor in 0..self.config.reactors {
            let port = port_path(&self.config.name, reactor).map_err(|error| error.to_string())?;
            turn.fix_route(port, ReactorAddress { reactor, ..me });
        }
        let manager = manager_path(&self.config.name).map_err(|error| error.to_string())?;
        turn.fix_route(manager, ReactorAddress { reactor: 0, ..me });
        turn.host_port(&self.config.name, self.space(Seat::Port(self.reactor)));
        self.seat_residents(&mut turn)?;
        if let Some(shim) = self.shim.take() {
            let path = parse(&format!("box-{}-handle", self.config.name));
            turn.host(Placed::alone(path, self.space(Seat::Handle)), shim.into_host());
        }
        Ok(turn)
    }

    fn seat_residents(&self, turn: &mut Turn<Kernel>) -> Result<(), String> {
        let says = match &self.residents {
            Residents::Nobody => return Ok(()),
            Residents::Manager(says) => says,
            Residents::Controller(spec, journal, says) => {
                turn.fix_route(parse(JOURNAL), CONTROLLER_AT);
                let journal = Journal::open(journal).map_err(|error| error.to_string())?;
                turn.host(
                    Placed::alone(parse(JOURNAL), self.space(Seat::Journal)),
                    hosted(journal),
                );
                let agent = controller(spec, &self.templates)?;
                turn.host(
                    Placed::alone(parse(CONTROLLER), self.space(Seat::Controller)),
                    hosted(agent),
                );
                says
            }
        };
        let description = BoxDescription {
            name: self.config.name.clone(),
            address: self.config.address.to_string(),
            reactors: self.config.reactors,
            incarnation: self.incarnation,
        };
        let manager = BoxManager::new(description).map_err(|error| error.to_string())?;
        let path = manager_path(&self.config.name).map_err(|error| error.to_string())?;
        let manager: Box<dyn Host> = hosted(Outspoken { manager, says: says.clone(), said: None });
        turn.host(Placed::alone(path, self.space(Seat::Manager)), manager);
        Ok(())
    }

    /// The spaces of those who speak before the controller could give them one.
    fn space(&self, seat: Seat) -> Space {
        let seat = match seat {
            Seat::Controller => 0,
            Seat::Journal => 1,
            Seat::Manager => 2,
            Seat::Handle => 3,
            Seat::Port(reactor) => 4 + u64::from(reactor),
        };
        bootstrap_space(self.incarnation.wrapping_add(seat))
    }
}

enum Seat {
    Controller,
    Journal,
    Manager,
    Handle,
    Port(u8),
}

fn parse(path: &str) -> AgentPath {
    AgentPath::parse(path).expect("the control plane's own paths are paths")
}

/// What a process that takes part in a system must know besides its own agents.
fn with_control_plane(templates: &Templates) -> Templates {
    let mut templates = templates.clone();
    templates.talks_to::<Controller>().talks_to::<Journal>();
    templates.talks_to::<BoxManager>().talks_to::<Port>();
    templates
}

/// A box manager that says aloud how it stands with the controller.
struct Outspoken {
    manager: BoxManager,
    says: Sender<Word>,
    said: Option<Word>,
}

impl Outspoken {
    fn say(&mut self) {
        let word = match self.manager.registration() {
            Registration::Asking => return,
            Registration::Member(id) => Word::Member(*id),
            Registration::Refused(why) => Word::Refused(why.clone()),
        };
        if self.said.as_ref() != Some(&word) {
            self.said = Some(word.clone());
            // Nobody may be listening any more.
            let _ = self.says.send(word);
        }
    }
}

impl Agent for Outspoken {
    type Message = ToManager;
    type Reply = <BoxManager as Agent>::Reply;

    fn start(&mut self, context: &mut Context<'_, Self>) {
        self.manager.start(&mut context.of());
        self.say();
    }

    fn transition(&mut self, message: &Archived<ToManager>, context: &mut Context<'_, Self>) {
        self.manager.transition(message, &mut context.of());
        self.say();
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        self.manager.answered(answer, &mut context.of());
        self.say();
    }
}

impl State for Outspoken {
    const NAME: &'static str = BoxManager::NAME;
    const VERSION: u16 = BoxManager::VERSION;

    fn capture(&self) -> Captured {
        self.manager.capture()
    }

    fn restore(_: Captured) -> Result<Self, StateError> {
        Err(StateError::Forbidden("a box manager learns its state again".into()))
    }
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

/// The configuration of a box of a system file; `HOME` is the controller's.
/// # Errors
/// A text that names the boxes that there are.
pub fn config_of(spec: &SystemSpec, name: &str) -> Result<BoxConfig, String> {
    let controller = spec.controller.address;
    if name == HOME {
        return Ok(BoxConfig {
            name: name.into(),
            id: CONTROLLER_AT.agent_box,
            address: controller,
            reactors: 1,
            // The controller always parks.
            idle: Idle::Frugal,
            cpus: Vec::new(),
            controller,
        });
    }
    let (Some(it), Some(id)) = (spec.boxes.get(name), spec.box_id(name)) else {
        let known: Vec<_> = spec.boxes.keys().map(String::as_str).collect();
        return Err(format!(
            "the system has no box \"{name}\"; it has: {}, and {HOME}",
            known.join(", ")
        ));
    };
    Ok(BoxConfig {
        name: name.into(),
        id,
        address: it.address,
        reactors: it.reactors,
        idle: it.idle.map_or(Idle::Balanced, idle),
        cpus: Vec::new(),
        controller,
    })
}

fn idle(idle: crate::system::Idle) -> Idle {
    match idle {
        crate::system::Idle::Latency => Idle::Latency,
        crate::system::Idle::Balanced => Idle::Balanced,
        crate::system::Idle::Frugal => Idle::Frugal,
    }
}
