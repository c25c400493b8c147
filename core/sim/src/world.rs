//! A world: boxes with production reactors, a network with faults, and a clock that jumps from one
//! event to the next.
//!
//! Each reactor is a [`Turn`], with links, wire, sessions and bytes as in production, over the `sim`
//! driver, and with production's rings to the other reactors of its box. Box 0 is the controller's.
//! Agents are started by the controller, through box managers and ports; what else a box starts with is
//! its [`Starter`]'s. A box that crashes loses its turns and all that is in them; one that starts is a
//! new process, with new incarnation, nonces and sockets. Only the [`Journal`]'s disk outlives a process.
//!
//! Does not judge what happens: scenarios do. Invariants: nothing depends on anything but the setup;
//! what becomes of frames is written into the trace, byte for byte by hash.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use daedal_boxes::deliver::hosted;
use daedal_boxes::links::Links;
use daedal_boxes::metrics::Counts;
use daedal_boxes::reactor::join;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{CONTROLLER_AT, Placed};
use daedal_model::control::{bootstrap_space, manager_path, port_path};
use daedal_model::controller::{Controller, System};
use daedal_model::id::{BoxId, ReactorAddress, Space, Stamp};
use daedal_model::latt::{CONTROLLER, JOURNAL};
use daedal_model::manager::{BoxDescription, BoxManager};
use daedal_model::path::AgentPath;
use daedal_model::port::Port;
use daedal_net::driver::sim::SimNetwork;
use daedal_net::link::{LinkLimits, Secret};

use crate::fault::{Fault, FaultPlan, Shape};
use crate::journal::{Disk, Journal};
use crate::network::{Ether, Wiretap};
use crate::planted::Bug;
use crate::random::Random;
use crate::trace::{BoxStep, Event, Place, Trace};

/// What virtual time 0 is, as a stamp: some moment in 2023, so that clocks may be wrong both ways.
pub const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
/// Most reactors of a box: with three, what one sends two others can cross.
pub const REACTORS_MAX: u64 = 3;
/// How long a turn takes at the least, in virtual nanoseconds.
pub const TURN_NS: u64 = 1_000;
/// How much longer, on average, when a reactor of several has to wait for a core: the box's other
/// reactors go on, and fill its rings.
const WAIT_NS: u64 = 200_000;
/// How often it has to, per million turns.
const WAIT_PER_MILLION: u32 = 50_000;
/// Port of each box's first reactor; the others count on from it.
const PORT: u16 = 7000;

/// One box of a world.
#[derive(Clone, Debug)]
pub struct BoxSetup {
    /// Its name.
    pub name: String,
    /// How many reactors it has.
    pub reactors: u8,
}

/// A process that is being started: what a [`Starter`] may use.
pub struct Starting<'a> {
    /// Which box.
    pub agent_box: u16,
    /// How many processes of this box there have been, with this one.
    pub life: u32,
    /// Of the process, as its manager tells the controller.
    pub incarnation: u64,
    /// Its reactors.
    pub turns: &'a mut [Turn<Wiretap>],
}

impl fmt::Debug for Starting<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Starting(box {}, life {})", self.agent_box, self.life)
    }
}

impl Starting<'_> {
    /// The space of the process's `index`th agent that the controller does not know.
    pub fn space(&self, index: u64) -> Space {
        bootstrap_space(self.incarnation.wrapping_add(1_000 + index))
    }
}

/// Gives a process that starts what it has beyond manager, ports and controller: clients.
pub type Starter = Box<dyn FnMut(Starting<'_>)>;

/// What a world is made from.
pub struct Setup {
    /// Virtual time, at 0.
    pub clock: Rc<Cell<u64>>,
    /// The only source of randomness.
    pub random: Random,
    /// All boxes; the first is the controller's.
    pub boxes: Vec<BoxSetup>,
    /// What the controller runs.
    pub system: System,
    /// The agents that boxes can make.
    pub templates: Templates,
    /// What goes wrong.
    pub plan: FaultPlan,
    /// Settings of all links.
    pub limits: LinkLimits,
    /// Messages that an agent keeps which it cannot handle yet.
    pub inbox_messages: usize,
    /// What frames are sealed with, if they are.
    pub secret: Option<Secret>,
    /// What is kept of the trace.
    pub trace_bytes_max: usize,
    /// A bug that is put in; those of the turn are put in elsewhere.
    pub planted: Option<Bug>,
    /// What boxes start with.
    pub starter: Starter,
}

impl Setup {
    /// Boxes that nothing goes wrong with, on a network that frames cross in so long.
    pub fn undisturbed(
        boxes: Vec<BoxSetup>,
        system: System,
        templates: Templates,
        travel_ns: u64,
    ) -> Setup {
        let shape = Shape { boxes: boxes.len() as u16, travel_ns, quiet_from: 0 };
        Setup {
            clock: Rc::default(),
            random: Random::new(7),
            boxes,
            system,
            templates,
            plan: FaultPlan::none(shape),
            limits: LinkLimits::default(),
            inbox_messages: 1024,
            secret: None,
            trace_bytes_max: 0,
            planted: None,
            starter: Box::new(|_| ()),
        }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Setup").field("boxes", &self.boxes).field("plan", &self.plan).finish()
    }
}

/// One box.
struct Machine {
    setup: BoxSetup,
    /// By reactor; none while the box is down.
    turns: Vec<Turn<Wiretap>>,
    /// By reactor: when it may take its next turn.
    free_at: Vec<u64>,
    /// By reactor: whether it waits for room in a ring.
    is_held_up: Vec<bool>,
    is_paused: bool,
    lives: u32,
    /// How far its clock is ahead of virtual time; from its next start on.
    ahead_ns: i64,
    ahead_next: i64,
    random: Random,
}

/// A whole system in virtual time.
pub struct World {
    ether: Rc<RefCell<Ether>>,
    clock: Rc<Cell<u64>>,
    network: SimNetwork,
    machines: Vec<Machine>,
    faults: VecDeque<(u64, Fault)>,
    system: System,
    templates: Arc<Templates>,
    limits: LinkLimits,
    inbox_messages: usize,
    secret: Option<Secret>,
    disk: Rc<RefCell<Disk>>,
    planted: Option<Bug>,
    starter: Starter,
    turns: u64,
    /// Of processes that are no more.
    counts: Vec<Counts>,
}

impl fmt::Debug for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "World({} boxes, {} ns)", self.machines.len(), self.clock.get())
    }
}

impl World {
    /// Starts all boxes at virtual time 0.
    /// # Panics
    /// When the system cannot be as it is stated.
    pub fn new(setup: Setup) -> World {
        let Setup {
            random,
            boxes,
            system,
            mut templates,
            plan,
            limits,
            inbox_messages,
            secret,
            starter,
            clock,
            ..
        } = setup;
        templates.talks_to::<Controller>().talks_to::<BoxManager>();
        templates.talks_to::<Port>().talks_to::<Journal>();
        let faults = plan.events().iter().map(|event| (event.at, event.fault)).collect();
        let trace = Trace::new(setup.trace_bytes_max);
        let ether =
            Ether::new(plan, trace, random.fork("network"), setup.planted.and_then(Bug::sends_max));
        let ether = Rc::new(RefCell::new(ether));
        let policy = Rc::clone(&ether);
        let machine = |(index, setup): (usize, BoxSetup)| Machine {
            setup,
            turns: Vec::new(),
            free_at: Vec::new(),
            is_held_up: Vec::new(),
            is_paused: false,
            lives: 0,
            ahead_ns: 0,
            ahead_next: 0,
            random: random.fork(&format!("box {index}")),
        };
        let mut world = World {
            network: SimNetwork::new(move |flight, into| policy.borrow_mut().carry(flight, into)),
            ether,
            clock,
            machines: boxes.into_iter().enumerate().map(machine).collect(),
            faults,
            system,
            templates: Arc::new(templates),
            limits,
            inbox_messages,
            secret,
            disk: Rc::default(),
            planted: setup.planted,
            starter,
            turns: 0,
            counts: Vec::new(),
        };
        // Wrong clocks are wrong from the start.
        while let Some((0, Fault::ClockSet { agent_box, ahead_ns })) = world.faults.front().copied()
        {
            world.faults.pop_front();
            world.machines[usize::from(agent_box)].ahead_next = ahead_ns;
        }
        for index in 0..world.machines.len() {
            world.start(index);
        }
        world
    }

    /// Virtual time, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.clock.get()
    }

    /// Turns that were taken.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// What happened so far.
    pub fn trace(&self) -> Trace {
        self.ether.borrow().trace().clone()
    }

    /// Messages that went into frames for the first time, so far: the network's message delays.
    pub fn messages_sent(&self) -> u64 {
        self.ether.borrow().messages_sent()
    }

    /// What reactors counted, those of dead processes included.
    pub fn counts(&self) -> impl Iterator<Item = &Counts> {
        let living = self.machines.iter().flat_map(|machine| &machine.turns).map(Turn::counts);
        self.counts.iter().chain(living)
    }

    /// A reactor of a box that is up.
    pub fn turn(&mut self, agent_box: u16, reactor: u8) -> Option<&mut Turn<Wiretap>> {
        self.machines[usize::from(agent_box)].turns.get_mut(usize::from(reactor))
    }

    /// Does what is next: a fault, or a turn of each reactor that has something to do. `false`: nothing
    /// is left to do, ever.
    pub fn step(&mut self) -> bool {
        let fault = self.faults.front().map(|(at, _)| *at);
        let Some(at) = self.next_turn().into_iter().chain(fault).min() else { return false };
        self.clock.set(at.max(self.now()));
        while let Some((due, fault)) = self.faults.front().copied().filter(|(due, _)| *due <= at) {
            debug_assert!(due <= self.now());
            self.faults.pop_front();
            self.strike(fault);
        }
        for index in 0..self.machines.len() {
            for reactor in 0..self.machines[index].turns.len() {
                if self.is_due(index, reactor) {
                    self.take(index, reactor);
                }
            }
        }
        true
    }

    /// When the next reactor has something to do.
    fn next_turn(&self) -> Option<u64> {
        let machines = self.machines.iter().enumerate();
        let reactors = machines.flat_map(|(index, machine)| {
            (0..machine.turns.len()).filter_map(move |reactor| self.due(index, reactor))
        });
        reactors.min()
    }

    fn is_due(&self, index: usize, reactor: usize) -> bool {
        self.due(index, reactor).is_some_and(|due| due <= self.now())
    }

    /// When this reactor has something to do.
    fn due(&self, index: usize, reactor: usize) -> Option<u64> {
        let machine = &self.machines[index];
        if machine.is_paused {
            return None;
        }
        let turn = &machine.turns[reactor];
        let arrival = self.network.next_arrival(address(index, reactor));
        let own = turn.next_due().map(|due| virtual_time(due, machine.ahead_ns));
        let is_runnable = turn.is_runnable() || turn.is_rung() || machine.is_held_up[reactor];
        let at_once = is_runnable.then_some(0);
        let due = arrival.into_iter().chain(own).chain(at_once).min()?;
        Some(due.max(machine.free_at[reactor]))
    }

    fn take(&mut self, index: usize, reactor: usize) {
        let now = self.now();
        let machine = &mut self.machines[index];
        let waits = machine.turns.len() > 1 && machine.random.chance(WAIT_PER_MILLION);
        let wait = if waits { machine.random.delay(WAIT_NS) } else { 0 };
        machine.free_at[reactor] = now + TURN_NS + wait;
        let stamp = stamp(now, machine.ahead_ns);
        machine.turns[reactor].take(stamp, true);
        machine.is_held_up[reactor] = machine.turns[reactor].is_held_up();
        self.turns += 1;
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::PartitionSet(index) => self.note_partition(index, false),
            Fault::PartitionHealed(index) => self.note_partition(index, true),
            // Its frames show it.
            Fault::SlownessSet(_) | Fault::SlownessOver(_) => {}
            Fault::Paused(agent_box) => {
                self.machines[usize::from(agent_box)].is_paused = true;
                self.note(agent_box, BoxStep::Paused);
            }
            Fault::Resumed(agent_box) => {
                self.machines[usize::from(agent_box)].is_paused = false;
                self.note(agent_box, BoxStep::Resumed);
            }
            Fault::Crashed(agent_box) => self.crash(agent_box),
            Fault::Restarted(agent_box) => {
                self.note(agent_box, BoxStep::Restarted);
                self.start(usize::from(agent_box));
            }
            Fault::ClockSet { agent_box, ahead_ns } => {
                self.machines[usize::from(agent_box)].ahead_next = ahead_ns;
            }
        }
    }

    /// A box dies, with all that it has in memory.
    pub fn crash(&mut self, agent_box: u16) {
        self.note(agent_box, BoxStep::Crashed);
        let machine = &mut self.machines[usize::from(agent_box)];
        self.counts.extend(machine.turns.drain(..).map(|turn| *turn.counts()));
    }

    fn note(&self, agent_box: u16, step: BoxStep) {
        let place = Place { agent_box, reactor: 0 };
        self.ether.borrow_mut().note(self.now(), place, Event::Box { step });
    }

    fn note_partition(&self, index: usize, is_healed: bool) {
        let partition = self.ether.borrow().plan().partitions()[index].clone();
        let boxes = 0..self.machines.len() as u16;
        for (from, to) in boxes.clone().flat_map(|from| boxes.clone().map(move |to| (from, to))) {
            if partition.cuts(from, to) {
                let event = Event::Partition { is_healed, from, to };
                self.ether.borrow_mut().note(self.now(), Place::default(), event);
            }
        }
    }

    /// Starts a box's process, as `daedal box` does.
    fn start(&mut self, index: usize) {
        let now = self.now();
        let home = address(0, 0);
        let machine = &mut self.machines[index];
        machine.lives += 1;
        machine.ahead_ns = machine.ahead_next;
        machine.is_paused = false;
        let incarnation = machine.random.bits();
        let agent_box = BoxId(index as u16);
        let BoxSetup { name, reactors } = machine.setup.clone();
        machine.free_at = vec![now; usize::from(reactors)];
        machine.is_held_up = vec![false; usize::from(reactors)];
        machine.turns = (0..reactors)
            .map(|reactor| {
                let me = ReactorAddress { agent_box, reactor };
                let at = address(index, usize::from(reactor));
                let driver = Wiretap::start(&self.network, &self.ether, &self.clock, at);
                let (kinds, nonce) = (self.templates.kinds(), machine.random.bits());
                let mut links = Links::new(me, driver, kinds, self.limits, nonce);
                self.secret.clone().into_iter().for_each(|secret| links.seal_with(secret));
                let mut turn = Turn::new(me, Arc::clone(&self.templates), links);
                turn.bound_inboxes(self.inbox_messages);
                turn.take(stamp(now, machine.ahead_ns), false);
                turn
            })
            .collect();
        join(&mut machine.turns);
        let path = |text: &str| AgentPath::parse(text).expect("a name of the system's own");
        let manager = manager_path(&name).expect("scenarios name boxes rightly");
        let first = ReactorAddress { agent_box, reactor: 0 };
        for (reactor, turn) in machine.turns.iter_mut().enumerate() {
            turn.put_box(BoxId(0), home);
            turn.put_box(agent_box, address(index, 0));
            turn.fix_route(path(CONTROLLER), CONTROLLER_AT);
            turn.fix_route(manager.clone(), first);
            for other in 0..reactors {
                let port = port_path(&name, other).expect("the name was checked");
                turn.fix_route(port, ReactorAddress { agent_box, reactor: other });
            }
            turn.host_port(&name, bootstrap_space(incarnation.wrapping_add(1 + reactor as u64)));
        }
        if index == 0 {
            let turn = &mut machine.turns[0];
            if self.planted == Some(Bug::JournalForgets) {
                *self.disk.borrow_mut() = Disk::default();
            }
            let journal = Journal::new(Rc::clone(&self.disk));
            turn.fix_route(path(JOURNAL), CONTROLLER_AT);
            let space = |index: u64| bootstrap_space(incarnation.wrapping_add(500 + index));
            turn.host(Placed::alone(path(JOURNAL), space(0)), hosted(journal));
            let controller = Controller::new(&self.system).expect("scenarios state it rightly");
            turn.host(Placed::alone(path(CONTROLLER), space(1)), hosted(controller));
        }
        let own =
            BoxDescription { name, address: address(index, 0).to_string(), reactors, incarnation };
        let host = hosted(BoxManager::new(own).expect("the name was checked"));
        machine.turns[0].host(Placed::alone(manager, bootstrap_space(incarnation)), host);
        let (life, turns) = (machine.lives, &mut machine.turns[..]);
        let agent_box = agent_box.0;
        (self.starter)(Starting { agent_box, life, incarnation, turns });
    }
}

/// Where a reactor is reached.
pub(crate) fn address(agent_box: usize, reactor: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (agent_box >> 8) as u8, agent_box as u8], PORT + reactor as u16))
}

/// Who is reached there.
pub(crate) fn place(address: SocketAddr) -> Place {
    let SocketAddr::V4(v4) = address else { return Place::default() };
    let [_, _, high, low] = v4.ip().octets();
    let agent_box = u16::from_be_bytes([high, low]);
    Place { agent_box, reactor: address.port().saturating_sub(PORT) as u8 }
}

fn stamp(now: u64, ahead_ns: i64) -> Stamp {
    Stamp((EPOCH_NS + now).saturating_add_signed(ahead_ns))
}

fn virtual_time(due: Stamp, ahead_ns: i64) -> u64 {
    due.0.saturating_add_signed(ahead_ns.saturating_neg()).saturating_sub(EPOCH_NS)
}
