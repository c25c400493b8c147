//! The controller's process and the boxes: what each does with what happens to it. Controller, box managers and
//! ports are those of production; what is needed of `turn.rs`, `wedge.rs` and `hosting.rs` is restated.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use daedal_model::control::{ArchivedToPort, Failure, Hosting, Raise, Raised, ToManager, ToPort};
use daedal_model::controller::{Controller, System};
use daedal_model::encode::encode_to_vec;
use daedal_model::id::{AgentId, Name, Number, Point};
use daedal_model::latt::{CONTROLLER, JOURNAL, Specification};
use daedal_model::manager::{BoxDescription, BoxManager};
use daedal_model::message::Wire;
use daedal_model::path::AgentPath;
use daedal_model::place::Site;
use daedal_model::point::PointRange;
use daedal_model::port::{Command, Kept, Port};
use daedal_model::refine::{Qualities, Transformation};
use daedal_model::state::{Captured, PointMap, Prefixed, State};
use daedal_transforms::Shard;

use super::cell::{Cell, End, Load, Note, Packet, To};
use super::client::Client;
use crate::done_box::{Admission, DoneBox};
use crate::heir::bequests;
use crate::record::Record;
use crate::turn::Fate;
use crate::wedge::{Bequest, DoneEntry};

/// The agent whose number of shards changes.
pub(super) const SHARDED: &str = "kvs";

/// Points of the client's messages: the first one's goes to another box with each of the changes that are looked
/// at, the second one's stays.
pub(super) const POINTS: [Point; 2] = [Point(0xc000_0000_0000_0000), Point(1)];

/// What happens to a process.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Packet(Rc<Packet>),
    /// Another process has ended; these asks to it were not done.
    Lost(End, Vec<(AgentId, Number)>),
    /// It ends itself, and the next one begins.
    Crash,
    /// A life that was asked to end has got all its answers.
    Ends(String),
    /// It has waited too long for them.
    GoesOn(String),
    /// Nothing else happens, and time passes.
    Time,
    /// The client learns the way, as the first message would have it.
    LookUp,
    /// The client sends its next message.
    Send,
    /// Somebody asks for another number of shards.
    Reshard(u32),
}

/// What the world is to know of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// A life began, from these parts of others.
    Began(Hosting, Vec<u64>),
    /// A message was processed, by a life that had done so as often before.
    Processed(Point, u64),
    /// The parts of earlier lives do not make one.
    Torn(String),
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Home(Box<Home>),
    Box(Box<AgentBox>),
    Client(Box<Client>),
}

impl Part {
    pub fn new(end: End, shards: usize, process: u64) -> Part {
        match end {
            End::Home => {
                Part::Home(Box::new(Home::new(shards, Raised { space: 0, epoch: 0 }, process)))
            }
            End::A | End::B => Part::Box(Box::new(AgentBox::new(end, process))),
            End::Client => Part::Client(Box::new(Client::new(process))),
        }
    }

    /// Does what is to be done; gives what it sends to others, and what happened.
    pub fn step(&mut self, input: &Input) -> (Vec<Packet>, Vec<Fact>) {
        match self {
            Part::Home(home) => (home.step(input), Vec::new()),
            Part::Box(agent_box) => agent_box.step(input),
            Part::Client(client) => (client.step(input), Vec::new()),
        }
    }

    /// A manager that registers listens to nobody.
    pub fn wants(&self, packet: &Packet) -> bool {
        match (self, &packet.load) {
            (Part::Box(it), Load::Control { to: To::Agent(id), .. }) => {
                *id != it.manager.out.id || it.manager.wants(&packet.load)
            }
            _ => true,
        }
    }

    pub fn has_alarm(&self) -> bool {
        match self {
            Part::Home(home) => !home.cell.out.alarms.is_empty(),
            Part::Box(it) => !it.port.out.alarms.is_empty(),
            Part::Client(client) => client.has_alarm(),
        }
    }
}

/// The controller and its journal, which outlives it.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub cell: Cell<Controller>,
    synced: Raised,
    shards: usize,
    process: u64,
}

impl Home {
    fn new(shards: usize, synced: Raised, process: u64) -> Home {
        let site = |end: &End| Site { name: end.name().to_owned(), reactors: 1 };
        let spec = Specification {
            template: "Tally".to_owned(),
            qualities: Qualities { keyed: true, stateless: false, deterministic: true },
            transforms: vec![Rc::new(Shard(shards)) as Rc<dyn Transformation>],
            ..Specification::default()
        };
        let system = System {
            agents: vec![(AgentPath::parse(SHARDED).expect("a path"), spec)],
            boxes: End::BOXES.iter().map(site).collect(),
            home: End::Home.name().to_owned(),
            ..System::default()
        };
        let agent = Controller::new(&system).expect("it fits");
        let cell = Cell::new(agent, AgentId::of(CONTROLLER), End::Home, process);
        Home { cell, synced, shards, process }
    }

    fn step(&mut self, input: &Input) -> Vec<Packet> {
        match input {
            Input::Packet(packet) => self.cell.take(&packet.load),
            Input::Lost(gone, waits) => drop(self.cell.lose_asks(*gone, waits)),
            Input::Crash => *self = Home::new(self.shards, self.synced, self.process + 4),
            Input::Time => self.cell.wake(),
            _ => {}
        }
        let mut sent = Vec::new();
        while !self.cell.out.sent.is_empty() {
            for packet in std::mem::take(&mut self.cell.out.sent) {
                match &packet.load {
                    Load::Control { name, to: To::Agent(id), body, .. }
                        if *id == AgentId::of(JOURNAL) =>
                    {
                        self.sync(*name, body);
                    }
                    _ => sent.push(packet),
                }
            }
        }
        sent
    }

    fn sync(&mut self, asker: Name, body: &[u8]) {
        let raise = Raise::owned(Raise::access(body).expect("it was encoded here"));
        self.synced.space += raise.spaces;
        self.synced.epoch += raise.epochs;
        let body = encode_to_vec::<Raised>(&self.synced);
        let name = Name { source: AgentId::of(JOURNAL), ..Name::default() };
        self.cell.take(&Load::Control { name, to: To::Asker(asker), schema: Raised::SCHEMA, body });
    }
}

/// How often each key was written.
#[daedal_model::state(crate = daedal_model)]
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    #[keyed]
    writes: PointMap<Vec<u8>, u64, Prefixed>,
}

/// A shard that runs, or is asked to end.
#[derive(Clone)]
pub(super) struct Running {
    pub hosting: Hosting,
    tally: Tally,
    done: DoneBox,
    /// What it inherited of that.
    inherited: DoneBox,
    /// Which parts of others it goes on from.
    from: Vec<u64>,
    /// For whom it ends.
    ending: Option<Vec<PointRange>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (done, inherited) = (self.done.entries(), self.inherited.entries());
        write!(out, "{:?} {:?} {done:?} {inherited:?}", self.hosting, self.tally)?;
        write!(out, " {:?} {:?}", self.from, self.ending)
    }
}

impl Running {
    fn new(hosting: Hosting, tally: Tally, done: DoneBox, from: Vec<u64>) -> Running {
        Running { hosting, tally, inherited: done.clone(), done, from, ending: None }
    }

    pub fn writes(&self, point: Point) -> u64 {
        self.tally.writes.get(&point.0.to_be_bytes()[..]).copied().unwrap_or(0)
    }

    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }
}

/// A box of one reactor.
#[derive(Clone, Debug)]
pub(super) struct AgentBox {
    end: End,
    process: u64,
    manager: Cell<BoxManager>,
    pub port: Cell<Port>,
    /// By path.
    pub running: BTreeMap<String, Running>,
    /// By path, lives that were made of parts of others, and do not run yet.
    pub heirs: BTreeMap<String, Running>,
    /// What is kept for others: which points were written to.
    pub kept: BTreeMap<String, Vec<Point>>,
}

impl AgentBox {
    fn new(end: End, process: u64) -> AgentBox {
        let (name, address) = (end.name().to_owned(), format!("10.0.0.{}:7000", end as u8));
        let own = BoxDescription { name: name.clone(), address, reactors: 1, incarnation: process };
        let manager = BoxManager::new(own).expect("a box's name");
        let [id, port] = end.agents()[..] else { unreachable!("a box has two agents") };
        AgentBox {
            end,
            process,
            manager: Cell::new(manager, id, end, process),
            port: Cell::new(Port::default(), port, end, process),
            running: BTreeMap::new(),
            heirs: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    fn step(&mut self, input: &Input) -> (Vec<Packet>, Vec<Fact>) {
        let (mut own, mut sent, mut facts) = (VecDeque::new(), Vec::new(), Vec::new());
        match input {
            Input::Packet(packet) => self.take(packet, &mut sent, &mut facts),
            Input::Crash => *self = AgentBox::new(self.end, self.process + 4),
            Input::Lost(gone, waits) => self.lose(*gone, waits),
            Input::Ends(path) => self.end_life(path),
            Input::GoesOn(path) => {
                let running = self.running.get_mut(path).expect("it was asked to end");
                running.ending = None;
                let why = Failure::for_now(format!("{path} waits for answers"));
                self.finished(path, Some(why));
            }
            Input::Time => self.port.wake(),
            _ => {}
        }
        // What is for its own agents is handled in this turn, in the order in which it was sent.
        loop {
            let fresh = self.manager.out.sent.drain(..).chain(self.port.out.sent.drain(..));
            let (here, there) = fresh.partition::<Vec<_>, _>(|packet| packet.to == self.end);
            own.extend(here);
            sent.extend(there);
            let Some(packet) = own.pop_front() else { break };
            self.take(&packet, &mut sent, &mut facts);
        }
        if let Input::Lost(..) = input {
            sent.iter_mut().filter(|it| is_fetch(it)).for_each(|it| it.note = Note::FetchedAgain);
        }
        let kept: BTreeSet<String> = self.port.agent.kept().map(str::to_owned).collect();
        self.kept.retain(|path, _| kept.contains(path));
        (sent, facts)
    }

    fn take(&mut self, packet: &Packet, sent: &mut Vec<Packet>, facts: &mut Vec<Fact>) {
        let agent = match &packet.load {
            Load::Control { to: To::Agent(id), .. } => *id,
            Load::Control { to: To::Asker(name), .. } => name.source,
            Load::Record(record) => return sent.push(self.arrive(record, facts)),
            Load::Fate { .. } => return,
        };
        if agent == self.manager.out.id {
            return self.manager.take(&packet.load);
        }
        self.port.take(&packet.load);
        for command in self.port.agent.take_commands() {
            self.obey(command, facts);
        }
    }

    /// `arrival.rs`, `mend`.
    fn lose(&mut self, gone: End, waits: &[(AgentId, Number)]) {
        self.port.lose_asks(gone, waits);
        self.manager.lose_asks(gone, waits);
        if gone == End::Home {
            let (port, manager) = (self.port.out.id, self.manager.out.id);
            let body = encode_to_vec::<ToPort>(&ToPort::ControllerIsNew);
            self.port.out.post(To::Agent(port), ToPort::SCHEMA, body);
            let body = encode_to_vec::<ToManager>(&ToManager::ControllerIsNew);
            self.port.out.post(To::Agent(manager), ToManager::SCHEMA, body);
        }
    }

    /// `hosting.rs`, `obey_port`.
    fn obey(&mut self, command: Command, facts: &mut Vec<Fact>) {
        match command {
            Command::Host(hosting) => {
                let path = hosting.path.clone();
                let anew = Running::new(hosting, Tally::default(), DoneBox::default(), Vec::new());
                self.begin(anew, facts);
                self.finished(&path, None);
            }
            Command::Make(hosting, parts) => {
                let path = hosting.path.clone();
                let refused = self.make(hosting, &parts, facts).err();
                self.tell_port(&ToPort::Made { path, refused });
            }
            Command::Begin(path) => {
                let heir = self.heirs.remove(&path).expect("it was made");
                self.begin(heir, facts);
                self.finished(&path, None);
            }
            Command::Wedge(path, parts) => match self.running.get_mut(&path) {
                Some(running) => running.ending = Some(parts),
                None => {
                    let why = Failure::for_now(format!("{path} does not run here"));
                    self.finished(&path, Some(why));
                }
            },
            Command::Unhost(path) => {
                self.running.remove(&path);
                self.finished(&path, None);
            }
            _ => {}
        }
    }

    /// `heir.rs`, `obey_make` and `inherit`.
    fn make(
        &mut self,
        hosting: Hosting,
        parts: &[Vec<u8>],
        facts: &mut Vec<Fact>,
    ) -> Result<(), Failure> {
        let bequests = bequests(parts);
        let states = bequests.iter().map(|it| Captured::from_bytes(&it.state));
        let whole = states.collect::<Result<Vec<_>, _>>().and_then(|states| match states.len() {
            0 => Ok(Tally::default()),
            _ => Captured::join(states).and_then(Tally::restore),
        });
        let tally = whole.map_err(|error| {
            facts.push(Fact::Torn(error.to_string()));
            error.to_string()
        })?;
        let mut done = DoneBox::default();
        for entry in bequests.iter().flat_map(|it| &it.done) {
            entry.pass_to(&mut done);
        }
        let from = bequests.iter().map(|it| it.stamp).collect();
        self.heirs.insert(hosting.path.clone(), Running::new(hosting, tally, done, from));
        Ok(())
    }

    fn begin(&mut self, running: Running, facts: &mut Vec<Fact>) {
        facts.push(Fact::Began(running.hosting.clone(), running.from.clone()));
        self.running.insert(running.hosting.path.clone(), running);
    }

    /// `wedge.rs`, `end_life`.
    fn end_life(&mut self, path: &str) {
        let running = self.running.remove(path).expect("it was asked to end");
        let parts = running.ending.as_ref().expect("it was asked to end");
        let states = running.tally.capture().split(parts).expect("it splits");
        let kept = parts.iter().zip(states).map(|(range, state)| {
            let done = DoneEntry::all_of(&running.done);
            // No agent here sees its stamp: so it tells parts apart.
            let stamp = AgentId::from(format!("{path} {range}").as_str()).0;
            let bequest = Bequest { state: state.to_bytes(), done, stamp, ..Bequest::default() };
            Kept { range: *range, bytes: encode_to_vec::<Bequest>(&bequest) }
        });
        self.port.agent.keep(path.to_owned(), kept.collect());
        let written = POINTS.into_iter().filter(|point| running.writes(*point) > 0);
        self.kept.insert(path.to_owned(), written.collect());
        self.tell_port(&ToPort::Ended { path: path.to_owned(), constants: Vec::new() });
    }

    fn finished(&mut self, path: &str, refused: Option<Failure>) {
        self.tell_port(&ToPort::Finished { path: path.to_owned(), refused, state: None });
    }

    fn tell_port(&mut self, message: &ToPort) {
        let (port, body) = (self.port.out.id, encode_to_vec::<ToPort>(message));
        self.port.out.post(To::Agent(port), ToPort::SCHEMA, body);
    }

    /// `turn.rs`, `arrive`.
    fn arrive(&mut self, record: &[u8], facts: &mut Vec<Fact>) -> Packet {
        let read = Record::of(record);
        let point = read.point().expect("the client's have one");
        let physical = read.destination();
        let is_it = |it: &&mut Running| AgentId::from(it.hosting.path.as_str()) == physical;
        let found = self.running.values_mut().find(is_it);
        let found = found.filter(|it| !it.is_ending() && it.hosting.range().contains(point));
        let mut note = Note::Nothing;
        let fate = match found {
            None => Fate::Returned,
            Some(running) => {
                match running.done.admit(&read) {
                    Admission::New | Admission::First => {
                        let key = point.0.to_be_bytes().to_vec();
                        let writes = running.writes(point);
                        running.tally.writes.insert(key, writes + 1);
                        facts.push(Fact::Processed(point, writes));
                    }
                    _ if running.inherited.clone().admit(&read) == Admission::Seen => {
                        note = Note::SeenByHeir;
                    }
                    _ => {}
                }
                Fate::Done
            }
        };
        let load = Load::Fate { number: read.number(), physical, fate };
        Packet { from: self.end, process: self.process, to: End::Client, load, note }
    }
}

fn is_fetch(packet: &Packet) -> bool {
    let Load::Control { to: To::Agent(_), schema, body, .. } = &packet.load else { return false };
    *schema == ToPort::SCHEMA && matches!(ToPort::access(body), Ok(ArchivedToPort::Fetch { .. }))
}
