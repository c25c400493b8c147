//! What a reactor runs, made on its own thread: driver, links, port, and on a box's first reactor those
//! who live there from the start.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use daedal_boxes::deliver::Host;
use daedal_boxes::executor::Files;
use daedal_boxes::handle::HandleShim;
use daedal_boxes::journal::Journal;
use daedal_boxes::links::Links;
use daedal_boxes::preflight::Taken;
use daedal_boxes::reactor::{Reactor, ReactorError, ReactorSpec};
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{CONTROLLER_AT, Placed, hosted};
use daedal_model::control::{bootstrap_space, manager_path, port_path};
use daedal_model::id::{ReactorAddress, Space};
use daedal_model::latt::{CONTROLLER, JOURNAL};
use daedal_model::manager::{BoxDescription, BoxManager};
use daedal_model::path::AgentPath;
#[cfg(feature = "dpdk")]
use daedal_net::driver::dpdk;
use daedal_net::driver::fault::Fault;
use daedal_net::driver::kernel::{self, Kernel};
use daedal_net::driver::pcap::Pcap;
use daedal_net::driver::shm::{self, Shm};
use daedal_net::driver::xdp::{self, Interface, Xdp};
use daedal_net::driver::{Driver, DriverKind};
use daedal_net::link::Secret;

use super::config::BoxConfig;
use super::outspoken::{Outspoken, Word};
use crate::assemble::controller;
use crate::system::SystemSpec;

/// What the first reactor of a box runs from the start.
#[derive(Clone)]
pub(super) enum Residents {
    Manager(Sender<Word>),
    Controller(Arc<SystemSpec>, PathBuf, Sender<Word>),
    Nobody,
}

/// Where a box's frames go past the kernel's sockets, if they do: its reactors have that together.
#[derive(Clone)]
pub(super) enum Past {
    Nowhere,
    Shm(shm::Options),
    Xdp(Arc<Interface>),
    ShmXdp(shm::Options, Arc<Interface>),
    #[cfg(feature = "dpdk")]
    Dpdk(Arc<dpdk::Port>),
}

impl Past {
    /// `taken`: what there is of it already.
    /// # Errors
    /// What the driver says of it, for people.
    pub fn open(config: &BoxConfig, taken: Taken) -> Result<Past, String> {
        let ip = config.address.ip();
        let interface = |options| match &taken {
            Taken::Interface(it) => Ok(it.clone()),
            _ => Interface::open(ip, options),
        };
        let opened = match config.driver.unwrap_or_default() {
            DriverKind::Xdp(options) => interface(options).map(Past::Xdp),
            DriverKind::ShmXdp(shm, options) => interface(options).map(|it| Past::ShmXdp(shm, it)),
            #[cfg(feature = "dpdk")]
            DriverKind::Dpdk(options) => match taken {
                Taken::Port(port) => Ok(Past::Dpdk(port)),
                _ => dpdk::Port::open(ip, options, config.reactors, dpdk::RECEIVE_BUFFERS)
                    .map(Past::Dpdk),
            },
            DriverKind::Shm(options) => Ok(Past::Shm(options)),
            _ => Ok(Past::Nowhere),
        };
        opened.map_err(|error| error.to_string())
    }
}

/// What a reactor's turn is made from.
pub(super) struct Make {
    pub config: BoxConfig,
    pub templates: Arc<Templates>,
    /// Where frames are taken from past the kernel.
    pub past: Past,
    pub residents: Residents,
    /// What serves the box's handle, on its first reactor.
    pub shim: Option<HandleShim>,
    /// What the frames of its links are sealed with.
    pub secret: Option<Secret>,
    pub incarnation: u64,
    pub reactor: u8,
}

impl Make {
    /// Starts the reactor.
    pub fn start(self, spec: ReactorSpec) -> Result<Reactor, ReactorError> {
        if self.config.faults.is_some() || self.config.pcap.is_some() {
            return Reactor::start(spec, move |files| {
                self.wrapped().and_then(|it| self.turn(it, files))
            });
        }
        match self.past.clone() {
            Past::Xdp(interface) => Reactor::start(spec, move |files| {
                self.xdp(&interface).and_then(|it| self.turn(it, files))
            }),
            #[cfg(feature = "dpdk")]
            Past::Dpdk(port) => Reactor::start(spec, move |files| {
                self.dpdk(&port).and_then(|it| self.turn(it, files))
            }),
            Past::Shm(options) => Reactor::start(spec, move |files| {
                self.shm(options).and_then(|it| self.turn(it, files))
            }),
            Past::ShmXdp(options, interface) => Reactor::start(spec, move |files| {
                self.shm_xdp(options, &interface).and_then(|it| self.turn(it, files))
            }),
            Past::Nowhere => {
                Reactor::start(spec, move |files| self.kernel().and_then(|it| self.turn(it, files)))
            }
        }
    }

    fn address(&self) -> SocketAddr {
        let mut address = self.config.address;
        if address.port() != 0 {
            address.set_port(address.port() + u16::from(self.reactor));
        }
        address
    }

    fn kernel(&self) -> Result<Kernel, String> {
        Kernel::start(&kernel::Config::new(self.address())).map_err(|error| error.to_string())
    }

    fn shm(&self, options: shm::Options) -> Result<Shm, String> {
        let config = shm::Config::new(self.address(), options);
        Shm::start(&config).map_err(|error| error.to_string())
    }

    /// Each reactor has a queue of the interface.
    fn xdp(&self, interface: &Arc<Interface>) -> Result<Xdp, String> {
        let config = xdp::Config::new(self.address(), self.reactor, interface);
        Xdp::start(interface, &config).map_err(|error| error.to_string())
    }

    fn shm_xdp(
        &self,
        options: shm::Options,
        interface: &Arc<Interface>,
    ) -> Result<Shm<Xdp>, String> {
        let slots = shm::Config::new(self.address(), options).slots;
        let shm = Shm::beside(self.xdp(interface)?, slots, options);
        shm.map_err(|error| error.to_string())
    }

    #[cfg(feature = "dpdk")]
    fn dpdk(&self, port: &Arc<dpdk::Port>) -> Result<dpdk::Dpdk, String> {
        let config = dpdk::Config::new(self.address(), self.reactor, port);
        dpdk::Dpdk::start(port, &config).map_err(|error| error.to_string())
    }

    /// The driver in its wrappers: what is written down is what the network sees, faults and all.
    fn wrapped(&self) -> Result<Box<dyn Driver>, String> {
        let mut driver: Box<dyn Driver> = match &self.past {
            Past::Xdp(interface) => Box::new(self.xdp(interface)?),
            #[cfg(feature = "dpdk")]
            Past::Dpdk(port) => Box::new(self.dpdk(port)?),
            Past::Shm(options) => Box::new(self.shm(*options)?),
            Past::ShmXdp(options, interface) => Box::new(self.shm_xdp(*options, interface)?),
            Past::Nowhere => Box::new(self.kernel()?),
        };
        if let Some(file) = self.config.pcap_of(self.reactor) {
            driver = Box::new(written_down(driver, &file)?);
        }
        if let Some(faults) = self.config.faults {
            let seed = faults.seed.wrapping_add(u64::from(self.reactor));
            driver = Box::new(Fault::new(driver, faults.rates, seed));
        }
        Ok(driver)
    }

    fn turn<D: Driver>(mut self, driver: D, files: &Files) -> Result<Turn<D>, String> {
        let me = ReactorAddress { agent_box: self.config.id, reactor: self.reactor };
        let nonce =
            self.incarnation ^ (u64::from(self.reactor) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut links = Links::new(me, driver, self.templates.kinds(), self.config.links, nonce);
        self.secret.take().into_iter().for_each(|secret| links.seal_with(secret));
        let mut turn = Turn::new(me, self.templates.clone(), links);
        turn.describe_as(self.config.about(self.reactor));
        turn.sample(self.config.sample);
        turn.put_box(CONTROLLER_AT.agent_box, self.config.controller);
        turn.fix_route(parse(CONTROLLER), CONTROLLER_AT);
        for reactor in 0..self.config.reactors {
            let port = port_path(&self.config.name, reactor).map_err(|error| error.to_string())?;
            turn.fix_route(port, ReactorAddress { reactor, ..me });
        }
        let manager = manager_path(&self.config.name).map_err(|error| error.to_string())?;
        turn.fix_route(manager, ReactorAddress { reactor: 0, ..me });
        turn.host_port(&self.config.name, self.space(Seat::Port(self.reactor)));
        self.seat_residents(&mut turn, files)?;
        if let Some(shim) = self.shim.take() {
            let path = parse(&format!("box-{}-handle", self.config.name));
            turn.host(Placed::alone(path, self.space(Seat::Handle)), shim.into_host());
        }
        Ok(turn)
    }

    fn seat_residents<D: Driver>(&self, turn: &mut Turn<D>, files: &Files) -> Result<(), String> {
        let says = match &self.residents {
            Residents::Nobody => return Ok(()),
            Residents::Manager(says) => says,
            Residents::Controller(spec, journal, says) => {
                turn.fix_route(parse(JOURNAL), CONTROLLER_AT);
                let journal = Journal::open(journal, files).map_err(|error| error.to_string())?;
                turn.host(
                    Placed::alone(parse(JOURNAL), self.space(Seat::Journal)),
                    journal.into_host(),
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
        let manager: Box<dyn Host> = hosted(Outspoken::new(manager, says.clone()));
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

/// A driver whose frames are written to a file, each at once: a process that is killed leaves all of them.
fn written_down(
    driver: Box<dyn Driver>,
    path: &Path,
) -> Result<Pcap<Box<dyn Driver>, File>, String> {
    let opened = File::create(path).and_then(|file| Pcap::new(driver, file));
    opened.map_err(|error| {
        format!(
            "cannot write frames to \"{}\": {error}; name another file by `pcap` in the system file or \
             by --pcap, or leave it out",
            path.display()
        )
    })
}
