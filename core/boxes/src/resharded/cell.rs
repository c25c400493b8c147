//! An agent of the control plane as it is, and what it sends: packets, which the model delivers.

use std::collections::BTreeSet;

use daedal_model::agent::{Agent, Answer, Outcome};
use daedal_model::context::{Addressee, Envelope, Letter};
use daedal_model::control::{
    ArchivedFromController, ArchivedFromManager, ArchivedToController, ArchivedToManager,
    ArchivedToPort, FromController, FromManager, FromPort, ToController, ToManager, ToPort,
    bootstrap_space, manager_path, port_path,
};
use daedal_model::id::{AgentId, Name, Number, Space, Stamp};
use daedal_model::latt::CONTROLLER;
use daedal_model::message::{Schema, Wire};
use daedal_model::outputs::{Output, Outputs};

use crate::turn::Fate;

/// The path by which the client and whoever asks for the change are known.
pub(super) const CLIENT: &str = "client";

/// A process: the controller's, a box's, the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    Home,
    A,
    B,
    Client,
}

impl End {
    pub const ALL: [End; 4] = [End::Home, End::A, End::B, End::Client];
    pub const BOXES: [End; 2] = [End::A, End::B];

    pub fn name(self) -> &'static str {
        ["home", "a", "b", "c"][self as usize]
    }

    /// Its agents, by logical id.
    pub fn agents(self) -> Vec<AgentId> {
        let own = |path: daedal_model::path::AgentPath| path.logical_id();
        let port = || own(port_path(self.name(), 0).expect("a box's name"));
        match self {
            End::Home => vec![AgentId::of(CONTROLLER)],
            End::A | End::B => {
                vec![own(manager_path(self.name()).expect("a box's name")), port()]
            }
            End::Client => vec![AgentId::of(CLIENT), port()],
        }
    }

    /// Where an agent is.
    pub fn of(agent: AgentId) -> End {
        let found = End::ALL.into_iter().find(|end| end.agents().contains(&agent));
        found.unwrap_or(End::Home)
    }
}

/// What one process sends another, or its own.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub from: End,
    /// Which process of that end.
    pub process: u64,
    pub to: End,
    pub load: Load,
    pub note: Note,
}

impl Packet {
    /// Whether nobody does anything on account of it, now or later: then it does not matter when it comes.
    pub fn is_inert(&self) -> bool {
        let Load::Control { schema, body, .. } = &self.load else { return false };
        match *schema {
            FromController::SCHEMA => matches!(
                FromController::access(body),
                Ok(ArchivedFromController::Reported | ArchivedFromController::Resharded { .. })
            ),
            FromManager::SCHEMA => matches!(
                FromManager::access(body),
                Ok(ArchivedFromManager::Stale | ArchivedFromManager::Stopped)
            ),
            // Where a box is, told to other boxes.
            ToPort::SCHEMA => matches!(
                ToPort::access(body),
                Ok(ArchivedToPort::Learn(it)) if it.routes.is_empty()
            ),
            _ => false,
        }
    }

    /// Whether boxes and the controller find each other by it, or parts of lives come by it.
    pub fn is_of_registration(&self) -> bool {
        let Load::Control { schema, body, .. } = &self.load else { return false };
        match *schema {
            FromManager::SCHEMA | FromPort::SCHEMA => true,
            FromController::SCHEMA => {
                matches!(
                    FromController::access(body),
                    Ok(ArchivedFromController::Registered { .. })
                )
            }
            ToController::SCHEMA => matches!(
                ToController::access(body),
                Ok(ArchivedToController::Register { .. } | ArchivedToController::Report { .. })
            ),
            ToPort::SCHEMA => matches!(
                ToPort::access(body),
                Ok(ArchivedToPort::Fetch { .. } | ArchivedToPort::Take { .. })
            ),
            ToManager::SCHEMA => {
                matches!(ToManager::access(body), Ok(ArchivedToManager::Collect { .. }))
            }
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Load {
    /// A message of the control plane.
    Control { name: Name, to: To, schema: Schema, body: Vec<u8> },
    /// A message of the client to a shard, as it lies on the wire.
    Record(Vec<u8>),
    /// What became of one, for its sender.
    Fate { number: Number, physical: AgentId, fate: Fate },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    Agent(AgentId),
    Asker(Name),
}

/// What is worth noticing of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Note {
    #[default]
    Nothing,
    /// It asks again for what was asked of a process that has ended.
    FetchedAgain,
    /// It came back, and goes out by a newer route.
    Rerouted,
    /// It is of a message that an earlier life had processed.
    SeenByHeir,
}

/// What an agent has sent, and will hear of.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    pub id: AgentId,
    pub space: Space,
    end: End,
    process: u64,
    outputs: Outputs,
    pub sent: Vec<Packet>,
    /// Timers that go off when nothing else happens, in the order in which they were set.
    pub alarms: Vec<(Stamp, Vec<u8>)>,
    /// What was asked, and not answered.
    pub asks: BTreeSet<(AgentId, Number)>,
    now: Stamp,
}

impl Outbox {
    pub fn new(id: AgentId, end: End, process: u64) -> Outbox {
        Outbox {
            id,
            // The two agents of a process send to each other, too.
            space: bootstrap_space(process),
            end,
            process,
            outputs: Outputs::default(),
            sent: Vec::new(),
            alarms: Vec::new(),
            asks: BTreeSet::new(),
            now: Stamp(0),
        }
    }

    pub fn post(&mut self, to: To, schema: Schema, body: Vec<u8>) -> Number {
        let to = match to {
            To::Agent(id) => Addressee::Agent(id),
            To::Asker(name) => Addressee::Asker(name),
        };
        let letter =
            Letter { to, schema, point: None, broadcast: false, asks: false, in_order: false };
        let number = self.outputs.post(letter, body);
        self.sort();
        number
    }

    /// What was sent last becomes packets, asks and alarms.
    fn sort(&mut self) {
        for Output { letter, number, body } in std::mem::take(&mut self.outputs.sent) {
            let (to, agent) = match letter.to {
                Addressee::Agent(id) => (To::Agent(id), id),
                Addressee::Asker(name) => (To::Asker(name), name.source),
                // Hearts do not beat here: links tell at once that a process has ended.
                Addressee::Myself(_) if !is_awaited(letter.schema) => continue,
                // Whether a port is asked again now or later, it may take its time.
                Addressee::Myself(_) if is_ask_again(letter.schema, &body) => {
                    self.post(To::Agent(self.id), letter.schema, body);
                    continue;
                }
                Addressee::Myself(after) => {
                    self.alarms.push((Stamp(self.now.0 + after.as_nanos() as u64), body));
                    continue;
                }
            };
            if letter.asks {
                self.asks.insert((agent, number));
            }
            let name = Name { source: self.id, space: self.space, number };
            let load = Load::Control { name, to, schema: letter.schema, body };
            let (from, process, note) = (self.end, self.process, Note::Nothing);
            self.sent.push(Packet { from, process, to: End::of(agent), load, note });
        }
        // No timer is cancelled: states that differ by the number of timers alone are one.
        self.outputs.timers = 0;
    }
}

fn is_awaited(schema: Schema) -> bool {
    [ToController::SCHEMA, ToPort::SCHEMA].contains(&schema)
}

fn is_ask_again(schema: Schema, body: &[u8]) -> bool {
    schema == ToPort::SCHEMA && matches!(ToPort::access(body), Ok(ArchivedToPort::AskAgain { .. }))
}

/// An agent with its outbox.
#[derive(Clone, Debug)]
pub(super) struct Cell<A> {
    pub agent: A,
    pub out: Outbox,
}

impl<A: Agent> Cell<A> {
    pub fn new(agent: A, id: AgentId, end: End, process: u64) -> Cell<A> {
        let mut cell = Cell { agent, out: Outbox::new(id, end, process) };
        let envelope = Envelope::default();
        cell.agent.start(&mut cell.out.outputs.context(id, &envelope));
        cell.out.sort();
        cell
    }

    pub fn wants(&self, load: &Load) -> bool {
        match load {
            Load::Control { to: To::Agent(_), body, .. } => {
                self.agent.wants(A::Message::access(body).expect("it was encoded here"))
            }
            _ => true,
        }
    }

    pub fn take(&mut self, load: &Load) {
        let Load::Control { name, to, schema, body } = load else { return };
        match *to {
            To::Agent(_) => self.tell(*name, *schema, body),
            To::Asker(asked) if asked.space == self.out.space => {
                self.out.asks.remove(&(name.source, asked.number));
                let outcome = Outcome::Reply { schema: *schema, body };
                self.answer(Answer { from: name.source, to: asked.number, outcome });
            }
            // An earlier process asked.
            To::Asker(_) => {}
        }
    }

    fn tell(&mut self, name: Name, schema: Schema, body: &[u8]) {
        assert_eq!(schema, A::Message::SCHEMA);
        let envelope = Envelope { name, now: self.out.now, ..Envelope::default() };
        let message = A::Message::access(body).expect("it was encoded here");
        let mut context = self.out.outputs.context(self.out.id, &envelope);
        self.agent.transition(message, &mut context);
        self.out.sort();
    }

    fn answer(&mut self, answer: Answer<'_>) {
        let envelope = Envelope { now: self.out.now, ..Envelope::default() };
        let mut context = self.out.outputs.context(self.out.id, &envelope);
        self.agent.answered(&answer, &mut context);
        self.out.sort();
    }

    /// A process has ended: what it was asked and had done, nobody will answer. `waits`: what its successor
    /// will be asked. Whether there was anything.
    pub fn lose_asks(&mut self, gone: End, waits: &[(AgentId, Number)]) -> bool {
        let gone = gone.agents();
        let is_lost = |ask: &&(AgentId, Number)| gone.contains(&ask.0) && !waits.contains(ask);
        let lost: Vec<_> = self.out.asks.iter().filter(is_lost).copied().collect();
        for (from, to) in &lost {
            self.out.asks.remove(&(*from, *to));
            self.answer(Answer { from: *from, to: *to, outcome: Outcome::Unknown });
        }
        !lost.is_empty()
    }

    /// The first timer goes off.
    pub fn wake(&mut self) {
        let (due, body) = self.out.alarms.remove(0);
        self.out.now = self.out.now.max(due);
        let name = Name { source: self.out.id, ..Name::default() };
        self.tell(name, A::Message::SCHEMA, &body);
    }
}
