//! What controller, box managers and ports are told and answered, as bytes of a stranger and as messages that
//! are whole and make no sense: each is refused where it is read, or taken; nothing is answered that was not
//! asked, and nothing twice.
//! Input: 1 byte whom, then steps, each as long as what it draws.

use std::collections::BTreeMap;

use daedal_model::agent::{Agent, Answer, Outcome, Refusal};
use daedal_model::context::{Addressee, Envelope};
use daedal_model::control::{
    ActionEntry, BoxEntry, ConstantEntry, Cut, Failure, FromController, FromManager, FromPort,
    Hosting, Knowledge, Legacy, PartEntry, PartOf, PlaceEntry, Raise, Raised, Reason, RouteEntry,
    ToController, ToManager, ToPort, View, Wedged,
};
use daedal_model::controller::{Controller, System};
use daedal_model::encode::{Body, encode_to_vec};
use daedal_model::id::{AgentId, Name, Number, Space, Stamp};
use daedal_model::latt::Specification;
use daedal_model::manager::{BoxDescription, BoxManager};
use daedal_model::message::{Message, Schema, Wire};
use daedal_model::outputs::{Output, Outputs};
use daedal_model::path::AgentPath;
use daedal_model::place::Site;
use daedal_model::point::PointRange;
use daedal_model::port::{Command, Kept, Port};
use daedal_model::refine::Qualities;
use daedal_transforms::shard::Shard;

/// Of one input.
const STEPS_MAX: usize = 120;
/// Names that mean something here, and some that mean nothing.
const NAMES: [&str; 24] = [
    "kvs",
    "kvs/shard1",
    "kvs/shard2",
    "kvs/shard1:2",
    "kvs/shard2:3",
    "kvs/shard3",
    "counter",
    "counter:2",
    "counter:4294967295",
    "counter:v2:7",
    "new",
    "new:2",
    "a",
    "b",
    "guest",
    "home",
    "box-a",
    "box-a-0",
    "box-b-1",
    "controller",
    "controller-journal",
    "KeyValue",
    "Counter",
    "",
];

/// Draws what it is asked for from an input; zeros behind its end.
struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Small, at an end, or near the middle.
    fn number(&mut self) -> u64 {
        let byte = self.byte();
        let small = u64::from(byte & 31);
        match byte >> 5 {
            0..5 => small,
            5 => u64::MAX - small,
            6 => (u64::MAX / 2).wrapping_add(small).wrapping_sub(16),
            _ => u64::from(u32::MAX) - small,
        }
    }

    fn short(&mut self) -> u32 {
        self.number() as u32
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = self.below(64).min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }

    fn text(&mut self) -> String {
        match self.byte() {
            255 => String::from_utf8_lossy(&self.bytes()).into_owned(),
            which => NAMES[usize::from(which) % NAMES.len()].to_owned(),
        }
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| draw(self))
    }

    fn some<T>(&mut self, mut draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| draw(self)).collect()
    }

    fn cut(&mut self) -> Cut {
        Cut { since: self.short(), children: self.short() }
    }

    fn hosting(&mut self) -> Hosting {
        Hosting {
            path: self.text(),
            template: self.text(),
            parameters: self.text(),
            source: self.text(),
            space: self.short(),
            epoch: self.short(),
            reactor: self.maybe(|draw| draw.byte() & 7),
            first: self.number(),
            last: self.number(),
            cut: self.cut(),
        }
    }

    fn wedged(&mut self) -> Wedged {
        let (hosting, into) = (self.hosting(), self.cut());
        Wedged { hosting, into, constants: self.some(Self::constant) }
    }

    fn legacy(&mut self) -> Legacy {
        Legacy { path: self.text(), port: self.text(), way: self.knowledge() }
    }

    fn constant(&mut self) -> ConstantEntry {
        ConstantEntry { field: self.text(), hash: self.number() }
    }

    fn part(&mut self) -> PartEntry {
        PartEntry { first: self.number(), last: self.number() }
    }

    fn failure(&mut self) -> Failure {
        Failure { why: self.text(), may_pass: self.flag() }
    }

    fn action(&mut self) -> ActionEntry {
        let share = |draw: &mut Self| (draw.number(), draw.number());
        match self.below(8) {
            0 => ActionEntry::To(self.number()),
            1 => ActionEntry::PickPoint(self.some(share)),
            2 => ActionEntry::PickRoundRobin(self.some(share)),
            3 => ActionEntry::PickLeastOutstanding(self.some(share)),
            4 => ActionEntry::Each(self.some(Self::number), self.short()),
            5 => ActionEntry::Through(self.some(Self::number), self.number()),
            6 => ActionEntry::Hold,
            _ => ActionEntry::Unknown,
        }
    }

    fn knowledge(&mut self) -> Knowledge {
        let route = |draw: &mut Self| RouteEntry {
            path: draw.text(),
            epoch: draw.short(),
            action: draw.action(),
        };
        let place = |draw: &mut Self| PlaceEntry {
            physical: draw.number(),
            agent_box: draw.short() as u16,
            reactor: draw.byte(),
        };
        let agent_box = |draw: &mut Self| BoxEntry {
            agent_box: draw.short() as u16,
            name: draw.text(),
            address: draw.text(),
        };
        Knowledge {
            routes: self.some(route),
            places: self.some(place),
            boxes: self.some(agent_box),
        }
    }

    fn for_controller(&mut self) -> ToController {
        match self.below(12) {
            0 | 1 => ToController::Register {
                name: self.text(),
                address: self.text(),
                reactors: self.byte() & 7,
                incarnation: self.number(),
                agent_box: self.short() as u16,
            },
            2 | 3 => ToController::Report {
                name: self.text(),
                incarnation: self.number(),
                term: self.short(),
                running: self.some(Self::hosting),
                wedged: self.some(Self::wedged),
            },
            4 => ToController::Gone { name: self.text(), incarnation: self.number() },
            5 => ToController::Here,
            6 => {
                let destination = AgentId::of(&self.text()).0;
                ToController::Lookup { destination, source: self.text() }
            }
            7 => ToController::Create {
                path: self.text(),
                template: self.text(),
                parameters: self.text(),
                agent_box: self.maybe(Self::text),
                reactor: self.maybe(Self::byte),
            },
            8 => ToController::Stop { path: self.text() },
            9 => ToController::Reshard { path: self.text(), shards: self.short() },
            10 => match self.below(3) {
                0 => ToController::Describe(View::Tree),
                1 => ToController::Describe(View::Routes),
                _ => ToController::Boxes,
            },
            _ => ToController::Retry,
        }
    }

    fn by_controller(&mut self) -> FromController {
        match self.below(9) {
            0 => FromController::Registered { agent_box: self.short() as u16, term: self.short() },
            1 => FromController::Reported,
            2 => FromController::Refused(Reason::Overloaded, self.text()),
            3 => FromController::Refused(Reason::UnknownAgent, self.text()),
            4 => FromController::Learned(self.knowledge()),
            5 => FromController::Created,
            6 => FromController::Stopped,
            7 => FromController::Text(self.text()),
            _ => FromController::Boxes(Vec::new()),
        }
    }

    fn for_manager(&mut self) -> ToManager {
        // Most are meant for this process, by the controller that it listens to.
        let (term, incarnation) = match self.below(4) {
            0 => (self.short(), self.number()),
            _ => (1, 1),
        };
        match self.below(8) {
            0 | 1 => ToManager::Start {
                hosting: self.hosting(),
                legacies: self.some(Self::legacy),
                term,
                incarnation,
            },
            2 | 3 => ToManager::Wedge {
                path: self.text(),
                parts: self.some(Self::part),
                into: self.cut(),
                term,
                incarnation,
            },
            4 => ToManager::Collect { path: self.text(), term, incarnation },
            5 => ToManager::Stop { path: self.text(), term, incarnation },
            6 => ToManager::ControllerIsNew,
            _ => ToManager::Beat,
        }
    }

    fn by_manager(&mut self) -> FromManager {
        match self.below(5) {
            0 => FromManager::Started(self.hosting()),
            1 => FromManager::Stopped,
            2 => FromManager::Wedged(self.wedged()),
            3 => FromManager::Stale,
            _ => FromManager::Refused(self.failure()),
        }
    }

    fn for_port(&mut self) -> ToPort {
        match self.below(20) {
            0 | 1 => ToPort::Host(self.hosting(), self.some(Self::legacy)),
            2 => ToPort::Wedge { path: self.text(), parts: self.some(Self::part) },
            3 => ToPort::Fetch { path: self.text(), range: self.part(), from: self.number() },
            4 => ToPort::AskAgain { path: self.text() },
            5 => ToPort::Collect { path: self.text() },
            6 => ToPort::Unhost { path: self.text() },
            7 => ToPort::Capture { path: self.text(), held_by: self.maybe(Self::number) },
            8 => ToPort::Describe,
            9 => ToPort::Described(self.text()),
            10 => ToPort::Learn(self.knowledge()),
            11 => ToPort::Forget { destination: self.number(), epoch: self.short() },
            12 => ToPort::Miss { destination: self.number(), source: self.text() },
            13 => ToPort::MissAgain { destination: self.number(), source: self.text() },
            14 => ToPort::Take { path: self.text(), range: self.part() },
            15 => ToPort::Made { path: self.text(), refused: self.maybe(Self::failure) },
            16 => ToPort::Ended { path: self.text(), constants: self.some(Self::constant) },
            17 => ToPort::Hold { path: self.text(), by: self.number() },
            18 => match self.flag() {
                true => ToPort::Release { path: self.text(), by: self.number() },
                false => {
                    let (path, by) = (self.text(), self.number());
                    ToPort::Held { path, by, refused: self.maybe(Self::failure) }
                }
            },
            _ => match self.below(4) {
                0 => ToPort::ControllerIsNew,
                _ => ToPort::Finished {
                    path: self.text(),
                    refused: self.maybe(Self::failure),
                    state: self.maybe(Self::bytes),
                },
            },
        }
    }

    fn by_port(&mut self) -> FromPort {
        match self.below(7) {
            0 | 1 => FromPort::Part(PartOf {
                range: self.part(),
                bytes: self.bytes(),
                total: self.number(),
                is_last: self.flag(),
            }),
            2 => FromPort::Done,
            5 => FromPort::Ended(self.some(Self::constant)),
            3 => FromPort::Captured(self.bytes()),
            4 => FromPort::Described(self.text()),
            _ => FromPort::Refused(self.failure()),
        }
    }
}

/// An agent, and those around it.
struct Stage<A> {
    agent: A,
    id: AgentId,
    now: u64,
    outputs: Outputs,
    /// Asks that nobody answered.
    asked: Vec<Output>,
    /// Timers that are not due.
    timers: Vec<Vec<u8>>,
    /// Messages that came, by number, and whether they were answered.
    came: BTreeMap<u64, bool>,
}

impl<A: Agent> Stage<A> {
    fn new(agent: A, path: &str) -> Stage<A> {
        let (id, outputs) = (AgentId::of(path), Outputs::default());
        let (asked, timers, came) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut stage = Stage { agent, id, now: 1, outputs, asked, timers, came };
        let envelope = Envelope::default();
        stage.agent.start(&mut stage.outputs.context(id, &envelope));
        stage.sort();
        stage
    }

    /// What was sent last.
    fn sort(&mut self) {
        for output in std::mem::take(&mut self.outputs.sent) {
            match output.letter.to {
                Addressee::Agent(_) if output.letter.asks => self.asked.push(output),
                Addressee::Agent(_) => {}
                Addressee::Myself(_) => self.timers.push(output.body),
                Addressee::Asker(name) => {
                    let answered = self.came.get_mut(&name.number.0).expect("it has come");
                    assert!(!std::mem::replace(answered, true), "answered twice");
                }
            }
        }
    }

    /// A message, of anybody. One that the agent does not want now is not kept.
    fn tell(&mut self, bytes: &[u8]) {
        let Ok(message) = A::Message::access(bytes) else { return };
        if !self.agent.wants(message) {
            return;
        }
        let number = self.came.len() as u64;
        self.came.insert(number, false);
        let name = Name { source: AgentId(7), space: Space(1), number: Number(number) };
        let envelope = Envelope { name, now: Stamp(self.now), ..Envelope::default() };
        self.agent.transition(message, &mut self.outputs.context(self.id, &envelope));
        self.sort();
    }

    fn answer(&mut self, from: AgentId, to: Number, outcome: Outcome<'_>) {
        let envelope = Envelope { now: Stamp(self.now), ..Envelope::default() };
        let answer = Answer { from, to, outcome };
        self.agent.answered(&answer, &mut self.outputs.context(self.id, &envelope));
        self.sort();
    }

    /// One of its asks is answered; `None`: there is none.
    fn answer_one(&mut self, draw: &mut Draw<'_>) {
        let which = usize::from(draw.byte());
        if self.asked.is_empty() {
            return;
        }
        let at = which % self.asked.len();
        let Output { letter, number: to, body } = self.asked.swap_remove(at);
        let (Addressee::Agent(from), schema) = (letter.to, letter.schema) else { return };
        let told = match draw.below(8) {
            0 => return self.answer(from, to, Outcome::Unknown),
            1 => return self.answer(from, to, Outcome::Refused(Refusal::UnknownAgent)),
            2 => (FromController::SCHEMA, draw.bytes()),
            3 | 4 => made_up(schema, draw),
            _ => fitting(schema, &body, draw),
        };
        self.answer(from, to, Outcome::Reply { schema: told.0, body: &told.1 });
    }

    /// Steps until the input ends. `message`: what a draw makes of it.
    fn run<'a, M>(
        &mut self,
        mut draw: Draw<'a>,
        message: fn(&mut Draw<'a>) -> M,
        mut after: impl FnMut(&mut A),
    ) where
        M: Message + Body<Message = M>,
    {
        for _ in 0..STEPS_MAX {
            if draw.0.is_empty() {
                return;
            }
            self.now += u64::from(draw.byte()) << 20;
            match draw.below(8) {
                0 => {
                    let bytes = draw.bytes();
                    self.tell(&bytes);
                }
                1 if !self.timers.is_empty() => {
                    let timer = self.timers.remove(0);
                    self.tell(&timer);
                }
                2..5 => self.answer_one(&mut draw),
                _ => {
                    let told = encode_to_vec::<M>(&message(&mut draw));
                    self.tell(&told);
                }
            }
            after(&mut self.agent);
        }
    }
}

/// Any answer of the kind that the asker expects.
fn made_up(asked: Schema, draw: &mut Draw<'_>) -> (Schema, Vec<u8>) {
    if asked == ToController::SCHEMA {
        (FromController::SCHEMA, encode_to_vec::<FromController>(&draw.by_controller()))
    } else if asked == ToManager::SCHEMA {
        (FromManager::SCHEMA, encode_to_vec::<FromManager>(&draw.by_manager()))
    } else if asked == ToPort::SCHEMA {
        (FromPort::SCHEMA, encode_to_vec::<FromPort>(&draw.by_port()))
    } else {
        let raised = Raised { space: draw.short(), epoch: draw.short() };
        (Raised::SCHEMA, encode_to_vec::<Raised>(&raised))
    }
}

/// What an honest one answers.
fn fitting(asked: Schema, body: &[u8], draw: &mut Draw<'_>) -> (Schema, Vec<u8>) {
    if asked == ToController::SCHEMA {
        let told = match ToController::access(body).map(ToController::owned) {
            Ok(ToController::Register { .. }) => {
                FromController::Registered { agent_box: 1, term: 1 }
            }
            Ok(ToController::Lookup { .. }) => FromController::Learned(draw.knowledge()),
            _ => FromController::Reported,
        };
        return (FromController::SCHEMA, encode_to_vec::<FromController>(&told));
    }
    if asked == ToManager::SCHEMA {
        let told = match ToManager::access(body).map(ToManager::owned) {
            Ok(ToManager::Start { hosting, .. }) => FromManager::Started(hosting),
            _ => FromManager::Stopped,
        };
        return (FromManager::SCHEMA, encode_to_vec::<FromManager>(&told));
    }
    if asked == Raise::SCHEMA {
        let raised = Raised { space: 1000 + u32::from(draw.byte()), epoch: 1000 };
        return (Raised::SCHEMA, encode_to_vec::<Raised>(&raised));
    }
    (FromPort::SCHEMA, encode_to_vec::<FromPort>(&FromPort::Done))
}

fn system() -> System {
    let path = |name: &str| AgentPath::parse(name).expect("a path");
    let site = |name: &str| Site { name: name.to_owned(), reactors: 2 };
    let plain =
        |template: &str| Specification { template: template.to_owned(), ..Default::default() };
    let keyed = Specification {
        qualities: Qualities { keyed: true, ..Default::default() },
        transforms: vec![std::rc::Rc::new(Shard(2))],
        ..plain("KeyValue")
    };
    System {
        agents: vec![(path("kvs"), keyed), (path("counter"), plain("Counter"))],
        templates: [("Counter".to_owned(), plain("Counter"))].into(),
        boxes: vec![site("a"), site("b")],
        home: "home".to_owned(),
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let [whom, steps @ ..] = data else { return };
    let draw = Draw(steps);
    match whom % 3 {
        0 => {
            let controller = Controller::new(&system()).expect("it fits");
            Stage::new(controller, "controller").run(draw, Draw::for_controller, |controller| {
                let _ = controller.running().count();
            });
        }
        1 => {
            let (name, address) = ("a".to_owned(), "127.0.0.1:1".to_owned());
            let own = BoxDescription { name, address, reactors: 2, incarnation: 1 };
            let manager = BoxManager::new(own).expect("a name");
            Stage::new(manager, "box-a").run(draw, Draw::for_manager, |manager| {
                let _ = manager.running().count();
            });
        }
        _ => Stage::new(Port::default(), "box-a-0").run(draw, Draw::for_port, |port| {
            for command in port.take_commands() {
                if let Command::Wedge(path, parts) = command {
                    let kept = |range: &PointRange| Kept { range: *range, bytes: vec![1; 40] };
                    port.keep(path, parts.iter().map(kept).collect());
                }
            }
        }),
    }
}
