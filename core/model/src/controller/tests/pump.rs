//! A small world for the control plane: processes with agents, and messages between them that arrive in
//! any order. Processes die and take their outbox along; what was not done by a process that died comes
//! again to the one after it. Every life that is hosted is checked against all lives before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::agent::{Agent, Answer, Outcome};
use crate::box_table::BoxTable;
use crate::context::{Addressee, Envelope, Letter};
use crate::control::{
    ArchivedToManager, ConstantEntry, Failure, FromController, FromPort, Hosting, Raise, Raised,
    ToController, ToManager, ToPort, bootstrap_space, manager_path, port_path,
};
use crate::controller::{Controller, System};
use crate::encode::encode_to_vec;
use crate::id::{AgentId, Name, Number, ReactorAddress, Space, Stamp};
use crate::latt::{CONTROLLER, JOURNAL};
use crate::manager::{BoxDescription, BoxManager, Registration};
use crate::message::{Schema, Wire};
use crate::outputs::{Output, Outputs};
use crate::path::AgentPath;
use crate::point::PointRange;
use crate::port::{Command, Kept, Port};
use crate::route::{Action, Route, pick};

const CLIENT: &str = "client";

/// Numbers of one seed (splitmix64).
#[derive(Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// What an agent has sent.
#[derive(Debug)]
pub struct Outbox {
    id: AgentId,
    space: Space,
    process: u64,
    outputs: Outputs,
    /// How long after they were set timers are due.
    alarms: Vec<Duration>,
    /// What was asked, and not answered.
    asks: BTreeSet<(AgentId, Number)>,
}

/// A message on its way.
#[derive(Clone, Debug)]
struct Packet {
    from: u64,
    name: Name,
    to: To,
    schema: Schema,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Agent(AgentId),
    Asker(Name),
}

impl Outbox {
    fn new(id: AgentId, process: u64) -> Outbox {
        let space = bootstrap_space(process);
        let (outputs, alarms, asks) = (Outputs::default(), Vec::new(), BTreeSet::new());
        Outbox { id, space, process, outputs, alarms, asks }
    }

    fn post(&mut self, to: To, schema: Schema, body: Vec<u8>) {
        let to = match to {
            To::Agent(id) => Addressee::Agent(id),
            To::Asker(name) => Addressee::Asker(name),
        };
        let letter =
            Letter { to, schema, point: None, broadcast: false, asks: false, in_order: false };
        self.outputs.post(letter, body);
    }

    /// Takes what was sent.
    fn packets(&mut self) -> Vec<Packet> {
        let sent = std::mem::take(&mut self.outputs.sent);
        sent.into_iter().filter_map(|output| self.packet(output)).collect()
    }

    fn packet(&mut self, output: Output) -> Option<Packet> {
        let Output { letter, number, body } = output;
        let to = match letter.to {
            Addressee::Agent(id) => To::Agent(id),
            Addressee::Asker(name) => To::Asker(name),
            // Hearts do not beat here: the world says itself when a link breaks.
            Addressee::Myself(after) if letter.schema == ToController::SCHEMA => {
                self.alarms.push(after);
                return None;
            }
            // A port waits for another that may never answer: here it has waited at once.
            Addressee::Myself(_) if letter.schema == ToPort::SCHEMA => To::Agent(self.id),
            Addressee::Myself(_) => return None,
        };
        if let (To::Agent(id), true) = (to, letter.asks) {
            self.asks.insert((id, number));
        }
        let name = Name { source: self.id, space: self.space, number };
        Some(Packet { from: self.process, name, to, schema: letter.schema, body })
    }
}

/// An agent with its outbox.
#[derive(Debug)]
struct Cell<A> {
    agent: A,
    out: Outbox,
}

impl<A: Agent> Cell<A> {
    fn new(agent: A, path: &str, process: u64) -> Cell<A> {
        let mut cell = Cell { agent, out: Outbox::new(AgentId::from(path), process) };
        let envelope = Envelope::default();
        cell.agent.start(&mut cell.out.outputs.context(cell.out.id, &envelope));
        cell
    }

    fn wants(&self, packet: &Packet) -> bool {
        match packet.to {
            To::Asker(_) => true,
            To::Agent(_) => self.agent.wants(A::Message::access(&packet.body).unwrap()),
        }
    }

    fn take(&mut self, packet: &Packet, now: Stamp) {
        let envelope = Envelope { name: packet.name, now, ..Envelope::default() };
        let mut context = self.out.outputs.context(self.out.id, &envelope);
        match packet.to {
            To::Agent(_) => {
                assert_eq!(packet.schema, A::Message::SCHEMA);
                let message = A::Message::access(&packet.body).unwrap();
                self.agent.transition(message, &mut context);
            }
            To::Asker(asked) => {
                let outcome = Outcome::Reply { schema: packet.schema, body: &packet.body };
                let answer = Answer { from: packet.name.source, to: asked.number, outcome };
                self.agent.answered(&answer, &mut context);
                self.out.asks.remove(&(packet.name.source, asked.number));
            }
        }
    }

    /// Those of its asks that these agents had, which are gone, will not be answered. `waits`: what is still
    /// to be delivered to whoever comes after them.
    fn lose_asks(&mut self, gone: &[AgentId], waits: &[(AgentId, Number)], now: Stamp) {
        let lost = |ask: &&(AgentId, Number)| gone.contains(&ask.0) && !waits.contains(ask);
        for (from, to) in self.out.asks.iter().filter(lost).copied().collect::<Vec<_>>() {
            self.out.asks.remove(&(from, to));
            let envelope = Envelope { now, ..Envelope::default() };
            let answer = Answer { from, to, outcome: Outcome::Unknown };
            let mut context = self.out.outputs.context(self.out.id, &envelope);
            self.agent.answered(&answer, &mut context);
        }
    }
}

/// One process of a box.
#[derive(Debug)]
pub struct Process {
    own: BoxDescription,
    manager: Cell<BoxManager>,
    ports: Vec<Cell<Port>>,
    pub hosted: BTreeMap<String, Hosting>,
    routes: Vec<BTreeMap<AgentId, Route>>,
    pub places: BoxTable,
    pub refused: Vec<String>,
    done: Vec<Packet>,
}

impl Process {
    /// Lives of which something is kept.
    pub fn kept(&self) -> Vec<String> {
        self.ports.iter().flat_map(|port| port.agent.kept()).map(str::to_owned).collect()
    }

    pub fn registration(&self) -> &Registration {
        self.manager.agent.registration()
    }
}

/// The world.
#[derive(Debug)]
pub struct World {
    pub random: Seeded,
    system: System,
    controller: Option<Cell<Controller>>,
    controller_done: Vec<Packet>,
    /// What the journal has synced.
    pub synced: Raised,
    journal: Outbox,
    /// Whether it cannot be written.
    pub is_journal_stuck: bool,
    pub boxes: Vec<Option<Process>>,
    /// Boxes that run, and that no message reaches or leaves.
    pub away: BTreeSet<usize>,
    /// What time it is.
    pub now: Stamp,
    /// Templates whose agents cannot be run for now.
    pub unfit: BTreeSet<String>,
    /// Lives that wait for answers, by path.
    pub asking: BTreeSet<String>,
    /// Lives whose state does not split, by path.
    pub indivisible: BTreeSet<String>,
    /// Whether what boxes are told to start does not arrive as yet.
    pub are_starts_late: bool,
    client: Outbox,
    pub told: Vec<FromController>,
    pub captured: Vec<FromPort>,
    /// Lives whose constant field is another than that of all others, by path.
    pub different: BTreeSet<String>,
    /// By life that ended for others, what was kept of it.
    pub ended: BTreeMap<String, Vec<String>>,
    /// By life, the parts of earlier lives that it went on from.
    pub inherited: BTreeMap<String, Vec<String>>,
    /// Lives that were made of such parts, by path.
    heirs: BTreeMap<String, Hosting>,
    queue: Vec<Packet>,
    processes: u64,
    spaces: BTreeSet<u32>,
    epochs: BTreeSet<u32>,
    lives: BTreeSet<String>,
}

impl World {
    pub fn new(system: System, seed: u64) -> World {
        let mut world = World {
            random: Seeded(seed),
            system,
            controller: None,
            controller_done: Vec::new(),
            synced: Raised { space: 0, epoch: 0 },
            journal: Outbox::new(AgentId::of(JOURNAL), 1),
            is_journal_stuck: false,
            boxes: Vec::new(),
            away: BTreeSet::new(),
            now: Stamp(0),
            unfit: BTreeSet::new(),
            asking: BTreeSet::new(),
            indivisible: BTreeSet::new(),
            are_starts_late: false,
            client: Outbox::new(AgentId::of(CLIENT), 2),
            told: Vec::new(),
            captured: Vec::new(),
            different: BTreeSet::new(),
            ended: BTreeMap::new(),
            inherited: BTreeMap::new(),
            heirs: BTreeMap::new(),
            queue: Vec::new(),
            processes: 2,
            spaces: BTreeSet::new(),
            epochs: BTreeSet::new(),
            lives: BTreeSet::new(),
        };
        world.start_controller();
        world
    }

    fn process(&mut self) -> u64 {
        self.processes += 1;
        self.processes
    }

    pub fn controller(&self) -> &Controller {
        &self.controller.as_ref().expect("it is there").agent
    }

    pub fn start_controller(&mut self) {
        let process = self.process();
        let agent = Controller::new(&self.system).unwrap();
        self.controller = Some(Cell::new(agent, CONTROLLER, process));
        self.collect();
        // Each box sees that the link leads to another process.
        for index in 0..self.boxes.len() {
            self.say_that_the_controller_is_new(index);
        }
    }

    /// A manager is told so by its own box: it saw the link break.
    pub fn say_that_the_controller_is_new(&mut self, index: usize) {
        let Some(process) = &mut self.boxes[index] else { return };
        let manager = &mut process.manager.out;
        let body = encode_to_vec::<ToManager>(&ToManager::ControllerIsNew);
        manager.post(To::Agent(manager.id), ToManager::SCHEMA, body);
        self.collect();
    }

    pub fn kill_controller(&mut self) {
        let Some(dead) = self.controller.take() else { return };
        let done = std::mem::take(&mut self.controller_done);
        self.bury(dead.out.process, &[], done);
    }

    /// Starts a box's process at an address; gives its index.
    pub fn start_box(&mut self, name: &str, address: &str, reactors: u8) -> usize {
        let incarnation = self.process();
        let (name, address) = (name.to_owned(), address.to_owned());
        let own = BoxDescription { name: name.clone(), address, reactors, incarnation };
        let manager = BoxManager::new(own.clone()).unwrap();
        let path = manager_path(&name).unwrap();
        let port =
            |k| Cell::new(Port::default(), port_path(&name, k).unwrap().as_str(), incarnation);
        self.boxes.push(Some(Process {
            own,
            manager: Cell::new(manager, path.as_str(), incarnation),
            ports: (0..reactors).map(port).collect(),
            hosted: BTreeMap::new(),
            routes: vec![BTreeMap::new(); usize::from(reactors)],
            places: BoxTable::default(),
            refused: Vec::new(),
            done: Vec::new(),
        }));
        self.collect();
        self.boxes.len() - 1
    }

    pub fn kill_box(&mut self, index: usize) {
        let Some(dead) = self.boxes[index].take() else { return };
        let ports = dead.ports.iter().map(|port| port.out.id);
        let own: Vec<AgentId> = ports.chain([dead.manager.out.id]).collect();
        self.bury(dead.own.incarnation, &own, dead.done);
    }

    /// Of a process that died: some of what it sent is still on its way, and some of what it did has to
    /// be done again, for its sender did not hear of it. What it sent to its own agents is gone.
    fn bury(&mut self, dead: u64, own: &[AgentId], done: Vec<Packet>) {
        let random = &mut self.random;
        self.queue.retain(|packet| {
            let left = match packet.to {
                To::Agent(id) => !own.contains(&id),
                To::Asker(_) => true,
            };
            packet.from != dead || left && random.below(2) == 0
        });
        for packet in done {
            let sender_lives = self.controller.as_ref().map(|cell| cell.out.process)
                == Some(packet.from)
                || self.live().any(|process| process.own.incarnation == packet.from);
            if sender_lives && matches!(packet.to, To::Agent(_)) && self.random.below(3) == 0 {
                self.queue.push(packet);
            }
        }
        for process in self.boxes.iter_mut().flatten() {
            let id = process.own.incarnation;
            let sent = self.queue.iter().filter(|packet| packet.from == id);
            for port in &mut process.ports {
                let its = sent.clone().filter(|packet| packet.name.source == port.out.id);
                let waits = its.filter_map(|packet| match packet.to {
                    To::Agent(to) => Some((to, packet.name.number)),
                    To::Asker(_) => None,
                });
                port.lose_asks(own, &waits.collect::<Vec<_>>(), self.now);
            }
        }
        self.collect();
    }

    /// A reactor forgets what it knows of routes, as it does when a message comes back.
    pub fn forget_routes(&mut self, index: usize) {
        let process = self.boxes[index].as_mut().unwrap();
        process.routes.iter_mut().for_each(BTreeMap::clear);
    }

    pub fn live(&self) -> impl Iterator<Item = &Process> {
        self.boxes.iter().flatten()
    }

    /// Everything that somebody runs, by logical path.
    pub fn hosted(&self) -> BTreeMap<String, Hosting> {
        let logical = |hosting: &Hosting| AgentPath::parse(&hosting.path).unwrap().logical();
        let all = self.live().flat_map(|process| process.hosted.values());
        all.map(|hosting| (logical(hosting).to_string(), hosting.clone())).collect()
    }

    /// A client asks the controller; the answer comes into `told`.
    pub fn ask(&mut self, message: &ToController) {
        let body = encode_to_vec::<ToController>(message);
        self.client.post(To::Agent(AgentId::of(CONTROLLER)), ToController::SCHEMA, body);
        self.collect();
    }

    /// A client asks a port for something.
    pub fn ask_port(&mut self, port: &AgentPath, message: &ToPort) {
        let body = encode_to_vec::<ToPort>(message);
        self.client.post(To::Agent(port.logical_id()), ToPort::SCHEMA, body);
        self.collect();
        self.settle();
    }

    /// How many look-ups are on their way to the controller.
    pub fn lookups(&self) -> usize {
        let is_lookup = |packet: &&Packet| {
            packet.schema == ToController::SCHEMA
                && matches!(
                    ToController::owned(ToController::access(&packet.body).unwrap()),
                    ToController::Lookup { .. }
                )
        };
        self.queue.iter().filter(is_lookup).count()
    }

    /// Asks, and waits until nothing moves.
    pub fn answer(&mut self, message: &ToController) -> Option<FromController> {
        self.told.clear();
        self.ask(message);
        self.settle();
        self.told.pop()
    }

    /// The process's own number.
    pub fn incarnation(&self, index: usize) -> u64 {
        self.boxes[index].as_ref().expect("it is there").own.incarnation
    }

    /// How long after they were set the controller's timers are due; they are taken off.
    pub fn alarms(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.controller.as_mut().expect("it is there").out.alarms)
    }

    /// A message to a port from its own reactor.
    pub fn tell_port(&mut self, index: usize, reactor: usize, message: &ToPort) {
        let port = &mut self.boxes[index].as_mut().unwrap().ports[reactor].out;
        let body = encode_to_vec::<ToPort>(message);
        port.post(To::Agent(port.id), ToPort::SCHEMA, body);
        self.collect();
    }

    /// Delivers until nothing can be delivered.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the control plane does not come to rest");
    }

    /// Delivers one message; `false` when none can be.
    pub fn step(&mut self) -> bool {
        let count = self.queue.len();
        let first = if count == 0 { 0 } else { self.random.below(count) };
        for index in (0..count).map(|step| (first + step) % count) {
            let packet = self.queue[index].clone();
            if self.deliver(&packet) {
                self.queue.swap_remove(index);
                self.collect();
                return true;
            }
        }
        false
    }

    fn deliver(&mut self, packet: &Packet) -> bool {
        let (id, space) = match packet.to {
            To::Agent(id) => (id, None),
            To::Asker(name) => (name.source, Some(name.space)),
        };
        let is_sender = |index: &usize| {
            let process = self.boxes[*index].as_ref();
            process.is_some_and(|process| process.own.incarnation == packet.from)
        };
        let from_away = self.away.iter().copied().find(is_sender);
        let to_box = self.find_box(id, space, packet.from);
        let to_away = to_box.filter(|index| self.away.contains(index));
        let is_start = packet.schema == ToManager::SCHEMA
            && matches!(ToManager::access(&packet.body).unwrap(), ArchivedToManager::Start { .. });
        if from_away != to_away || is_start && self.are_starts_late {
            return false;
        }
        if id == AgentId::of(JOURNAL) && space.is_none() {
            let raise = Raise::owned(Raise::access(&packet.body).unwrap());
            let mut told = Raised::NOTHING;
            if !self.is_journal_stuck {
                self.synced.space += raise.spaces;
                self.synced.epoch += raise.epochs;
                told = self.synced;
            }
            let body = encode_to_vec::<Raised>(&told);
            self.journal.post(To::Asker(packet.name), Raised::SCHEMA, body);
            return true;
        }
        if packet.schema == FromPort::SCHEMA && id == AgentId::of(CLIENT) {
            self.captured.push(FromPort::owned(FromPort::access(&packet.body).unwrap()));
            return true;
        }
        if id == AgentId::of(CLIENT) {
            let told = FromController::access(&packet.body).unwrap();
            self.told.push(FromController::owned(told));
            return true;
        }
        if id == AgentId::of(CONTROLLER) {
            let Some(cell) = &mut self.controller else { return space.is_some() };
            if space.is_none_or(|space| space == cell.out.space) {
                cell.take(packet, self.now);
                self.controller_done.push(packet.clone());
            }
            return true;
        }
        self.deliver_to_box(id, space, packet)
    }

    fn deliver_to_box(&mut self, id: AgentId, space: Option<Space>, packet: &Packet) -> bool {
        let Some(index) = self.find_box(id, space, packet.from) else { return space.is_some() };
        let Some(process) = &mut self.boxes[index] else { return false };
        if process.manager.out.id == id {
            if !process.manager.wants(packet) {
                return false;
            }
            process.manager.take(packet, self.now);
        } else {
            let reactor = process.ports.iter().position(|port| port.out.id == id).unwrap();
            process.ports[reactor].take(packet, self.now);
            for command in self.boxes[index].as_mut().unwrap().ports[reactor].agent.take_commands()
            {
                self.carry_out(index, reactor, command);
            }
        }
        if let Some(process) = &mut self.boxes[index] {
            process.done.push(packet.clone());
        }
        true
    }

    /// A reply goes to the process that asked; a message of a process to its own agents stays there; the
    /// controller's goes where the controller knows the box to be.
    fn find_box(&self, id: AgentId, space: Option<Space>, from: u64) -> Option<usize> {
        let has = |process: &Process| {
            process.manager.out.id == id || process.ports.iter().any(|port| port.out.id == id)
        };
        let fits = |process: &Process| match space {
            Some(space) => process.manager.out.space == space,
            None if from == process.own.incarnation => true,
            None => self.controller.as_ref().is_some_and(|cell| {
                let member = cell.agent.members.get(&process.own.name);
                let current = member.and_then(|member| member.current.as_ref());
                current.is_some_and(|current| current.address == process.own.address)
            }),
        };
        self.boxes.iter().position(|process| {
            process.as_ref().is_some_and(|process| has(process) && fits(process))
        })
    }

    fn carry_out(&mut self, index: usize, reactor: usize, command: Command) {
        let finished = |path: String, refused, state| ToPort::Finished { path, refused, state };
        match command {
            Command::Host(hosting) if hosting.template == "Missing" => {
                let why = Some("this box has no template Missing".into());
                self.tell_port(index, reactor, &finished(hosting.path, why, None));
            }
            Command::Host(hosting) if self.unfit.contains(&hosting.template) => {
                let why = Some(Failure::for_now("its port is taken"));
                self.tell_port(index, reactor, &finished(hosting.path, why, None));
            }
            Command::Describe => {
                let text = ToPort::Described(format!("reactor {reactor}"));
                self.tell_port(index, reactor, &text);
            }
            Command::Make(hosting, _) if self.unfit.contains(&hosting.template) => {
                let refused = Some(Failure::for_now("its port is taken"));
                self.tell_port(index, reactor, &ToPort::Made { path: hosting.path, refused });
            }
            Command::Make(hosting, parts) => {
                let path = hosting.path.clone();
                let text = |part: Vec<u8>| String::from_utf8(part).unwrap();
                self.inherited.insert(path.clone(), parts.into_iter().map(text).collect());
                self.heirs.insert(path.clone(), hosting);
                self.tell_port(index, reactor, &ToPort::Made { path, refused: None });
            }
            Command::Host(hosting) => {
                self.inherited.insert(hosting.path.clone(), Vec::new());
                self.begin_life(index, reactor, hosting);
            }
            Command::Begin(path) => {
                let hosting = self.heirs.remove(&path).unwrap();
                self.begin_life(index, reactor, hosting);
            }
            Command::Wedge(path, _) if self.asking.contains(&path) => {
                let why = format!("{path} waits for answers for more than 1 s");
                let why = Some(Failure::for_now(why));
                self.tell_port(index, reactor, &finished(path, why, None));
            }
            Command::Wedge(path, _) if self.indivisible.contains(&path) => {
                let why = format!("{path}: field `entries` can neither be split nor joined");
                self.tell_port(index, reactor, &finished(path, Some(why.into()), None));
            }
            Command::Wedge(path, parts) => {
                let process = self.boxes[index].as_mut().unwrap();
                assert!(process.hosted.remove(&path).is_some(), "{path} does not run");
                let kept = |range: &PointRange| Kept {
                    range: *range,
                    bytes: format!("{path} {range}").into_bytes(),
                };
                let kept: Vec<Kept> = parts.iter().map(kept).collect();
                let text = |it: &Kept| String::from_utf8(it.bytes.clone()).unwrap();
                self.ended.insert(path.clone(), kept.iter().map(text).collect());
                process.ports[reactor].agent.keep(path.clone(), kept);
                let hash = u64::from(self.different.contains(&path));
                let constants = vec![ConstantEntry { field: "limit".to_owned(), hash }];
                self.tell_port(index, reactor, &ToPort::Ended { path, constants });
            }
            Command::Unhost(path) => {
                let process = self.boxes[index].as_mut().unwrap();
                assert!(process.hosted.remove(&path).is_some(), "{path} does not run");
                self.tell_port(index, reactor, &finished(path, None, None));
            }
            Command::Hold(..) | Command::Release(..) => {}
            Command::Capture(path, _) => {
                let runs = self.boxes[index].as_ref().unwrap().hosted.contains_key(&path);
                let refused = (!runs).then(|| format!("{path} does not run here").into());
                let state = runs.then(|| path.clone().into_bytes());
                self.tell_port(index, reactor, &finished(path, refused, state));
            }
            Command::Learn(learned) => {
                let process = self.boxes[index].as_mut().unwrap();
                for (path, route) in learned.routes {
                    let table = &mut process.routes[reactor];
                    let old = table.get(&path.physical_id()).map(|route| route.epoch);
                    if old.is_none_or(|old| old <= route.epoch) {
                        table.insert(path.physical_id(), route);
                    }
                }
                learned.places.iter().for_each(|(id, at)| process.places.learn_place(*id, *at));
                for (id, _, address) in &learned.boxes {
                    process.places.learn_box(*id, address);
                }
            }
            Command::Refuse { why, .. } => {
                self.boxes[index].as_mut().unwrap().refused.push(why);
            }
            Command::Forget(id, epoch) => {
                let table = &mut self.boxes[index].as_mut().unwrap().routes[reactor];
                if table.get(&id).is_some_and(|route| route.epoch <= epoch) {
                    table.remove(&id);
                }
            }
        }
    }

    fn begin_life(&mut self, index: usize, reactor: usize, hosting: Hosting) {
        self.check_life(&hosting);
        let path = hosting.path.clone();
        let process = self.boxes[index].as_mut().unwrap();
        process.hosted.insert(path.clone(), hosting);
        self.tell_port(index, reactor, &ToPort::Finished { path, refused: None, state: None });
    }

    /// No space, epoch or path of a life is used twice, ever; and no agent has two lives at a time.
    fn check_life(&mut self, hosting: &Hosting) {
        assert!(self.spaces.insert(hosting.space), "space {} again: {hosting:?}", hosting.space);
        assert!(self.epochs.insert(hosting.epoch), "epoch {} again: {hosting:?}", hosting.epoch);
        assert!(self.lives.insert(hosting.path.clone()), "a life again: {hosting:?}");
        assert!(hosting.space < self.synced.space && hosting.epoch < self.synced.epoch);
        let logical = AgentPath::parse(&hosting.path).unwrap().logical().to_string();
        assert!(!self.hosted().contains_key(&logical), "two lives at a time: {hosting:?}");
        let same_top = |other: &&Hosting| {
            other.path.split('/').next() == hosting.path.split('/').next()
                && other.range().overlaps(&hosting.range())
        };
        let hosted = self.hosted();
        let other = hosted.values().find(same_top);
        assert!(other.is_none(), "two owners: {hosting:?} and {other:?}");
    }

    fn collect(&mut self) {
        let mut outs = vec![&mut self.journal, &mut self.client];
        outs.extend(self.controller.as_mut().map(|cell| &mut cell.out));
        for process in self.boxes.iter_mut().flatten() {
            outs.push(&mut process.manager.out);
            outs.extend(process.ports.iter_mut().map(|port| &mut port.out));
        }
        outs.into_iter().for_each(|out| self.queue.append(&mut out.packets()));
    }

    /// What a reactor's tables say about where a message goes: the route, looked up again and again.
    pub fn resolve(&self, index: usize, reactor: usize, at: &str, point: u64) -> Found {
        let process = self.boxes[index].as_ref().unwrap();
        let mut id = AgentId::from(at);
        loop {
            match process.routes[reactor].get(&id).map(|route| &route.action) {
                None => return Found::Miss,
                Some(Action::Pick { among, .. }) => id = pick(among, crate::id::Point(point)),
                Some(Action::To(physical)) => {
                    let place = process.places.place(*physical).expect("it came with the route");
                    return Found::At(*physical, place);
                }
                Some(Action::Hold) => return Found::Hold,
                Some(Action::Unknown) => return Found::Unknown,
                Some(other) => panic!("{other:?} leads nowhere"),
            }
        }
    }

    /// Sends as a reactor would: a miss is asked about. Checks that what is found runs there.
    pub fn reach(&mut self, index: usize, source: &str, at: &str, point: u64) -> Found {
        if self.resolve(index, 0, at, point) == Found::Miss {
            let destination = AgentId::from(at).0;
            let source = source.to_owned();
            self.tell_port(index, 0, &ToPort::Miss { destination, source });
            self.settle();
        }
        self.resolve(index, 0, at, point)
    }

    /// Whether the life runs where the table says.
    pub fn is_there(&self, found: Found) -> bool {
        let Found::At(physical, place) = found else { return false };
        let member =
            self.controller().members.iter().find(|(_, member)| member.id == place.agent_box);
        let Some((name, _)) = member else { return false };
        self.live().filter(|process| process.own.name == *name).any(|process| {
            let is = |hosting: &Hosting| {
                AgentId::from(hosting.path.as_str()) == physical
                    && hosting.reactor == Some(place.reactor)
            };
            process.hosted.values().any(is)
        })
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Miss,
    Hold,
    Unknown,
    At(AgentId, ReactorAddress),
}
