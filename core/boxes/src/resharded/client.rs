//! The client: it writes to the shards, and asks for the change. Its port and its routes are those of production;
//! what becomes of its messages is restated from `turn.rs`, `arrival.rs`, `plane.rs` and `hosting.rs`.

use std::collections::VecDeque;

use daedal_model::control::{FromController, ToController, ToPort, port_path};
use daedal_model::encode::encode_to_vec;
use daedal_model::id::{AgentId, BoxId, Epoch, Number, Point, ReactorAddress};
use daedal_model::latt::CONTROLLER;
use daedal_model::message::Wire;
use daedal_model::port::{Command, Port};
use daedal_net::wire::message::MessageHeader;

use super::cell::{CLIENT, Cell, End, Load, Note, Outbox, Packet, To};
use super::parts::{Input, POINTS, SHARDED};
use crate::conversation::RouteIndex;
use crate::plane::Via;
use crate::record::{Draft, HAS_POINT};
use crate::routes::{Leaf, Routes};
use crate::turn::Fate;

/// A message of the client.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    point: Point,
    number: Option<Number>,
    pub stage: MailStage,
    /// Since when it has come back.
    came_back: Option<Epoch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MailStage {
    Unsent,
    /// For its route.
    Waits,
    /// Out to this life, in a box.
    Out(AgentId, u32),
    Done,
}

/// Who writes to the shards, and who asks for the change.
#[derive(Clone)]
pub(super) struct Client {
    port: Cell<Port>,
    operator: Outbox,
    /// How many shards were asked for.
    wanted: Option<u32>,
    pub told: Option<FromController>,
    routes: Routes,
    route: RouteIndex,
    pub mails: Vec<Mail>,
    process: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Client { port, operator, wanted, told, routes, mails, .. } = self;
        write!(out, "{port:?} {operator:?} {wanted:?} {told:?} {routes:?} {mails:?}")
    }
}

impl Client {
    pub fn new(process: u64) -> Client {
        let id = port_path(End::Client.name(), 0).expect("a box's name").logical_id();
        let (mut routes, stage) = (Routes::default(), MailStage::Unsent);
        let (route, _) = routes.index(AgentId::of(SHARDED));
        let mail = |point| Mail { point, number: None, stage: stage.clone(), came_back: None };
        Client {
            port: Cell::new(Port::default(), id, End::Client, process),
            operator: Outbox::new(AgentId::of(CLIENT), End::Client, process),
            wanted: None,
            told: None,
            routes,
            route,
            mails: POINTS.map(mail).into(),
            process,
        }
    }

    pub fn step(&mut self, input: &Input) -> Vec<Packet> {
        let (mut own, mut sent) = (VecDeque::new(), Vec::new());
        match input {
            Input::Packet(packet) => self.take(packet, &mut sent),
            Input::Lost(gone, waits) => self.lose(*gone, waits, &mut sent),
            Input::Time if self.is_refused() => self.ask(),
            Input::Time => self.port.wake(),
            Input::LookUp => self.miss(),
            Input::Send => {
                let mut unsent = self.mails.iter_mut();
                let next = unsent.find(|mail| mail.stage == MailStage::Unsent);
                next.expect("there is one").stage = MailStage::Waits;
                self.release(&mut sent);
            }
            Input::Reshard(shards) => {
                self.wanted = Some(*shards);
                self.ask();
            }
            _ => {}
        }
        loop {
            let fresh = self.port.out.sent.drain(..).chain(self.operator.sent.drain(..));
            let (here, there) = fresh.partition::<Vec<_>, _>(|packet| packet.to == End::Client);
            own.extend(here);
            sent.extend(there);
            let Some(packet) = own.pop_front() else { break };
            self.take(&packet, &mut sent);
        }
        sent
    }

    pub fn has_alarm(&self) -> bool {
        self.is_refused() || !self.port.out.alarms.is_empty()
    }

    /// Who is refused asks again later.
    fn is_refused(&self) -> bool {
        matches!(self.told, Some(FromController::Refused(..)))
    }

    fn ask(&mut self) {
        self.told = None;
        let (path, shards) = (SHARDED.to_owned(), self.wanted.expect("it was asked for"));
        let body = encode_to_vec::<ToController>(&ToController::Reshard { path, shards });
        let to = AgentId::of(CONTROLLER);
        let number = self.operator.post(To::Agent(to), ToController::SCHEMA, body);
        self.operator.asks.insert((to, number));
    }

    fn take(&mut self, packet: &Packet, sent: &mut Vec<Packet>) {
        match &packet.load {
            Load::Fate { number, physical, fate } => self.settle(*number, *physical, *fate, sent),
            Load::Control { to: To::Asker(name), body, .. } if name.source == self.operator.id => {
                self.operator.asks.clear();
                let told = FromController::access(body).expect("it was encoded here");
                self.told = Some(FromController::owned(told));
            }
            load => {
                self.port.take(load);
                for command in self.port.agent.take_commands() {
                    self.obey(command, sent);
                }
            }
        }
    }

    /// `hosting.rs`, `obey_port` and `obey_learn`.
    fn obey(&mut self, command: Command, sent: &mut Vec<Packet>) {
        let Command::Learn(learned) = command else { return };
        for (path, route) in learned.routes {
            self.routes.learn(path, route);
        }
        for (physical, at) in learned.places {
            self.routes.place(physical, at);
        }
        for (agent_box, _, address) in learned.boxes {
            self.routes.put_box(agent_box, address.parse().expect("an address"));
        }
        self.release(sent);
    }

    /// `arrival.rs`, `done`; `turn.rs`, `came_back`.
    fn settle(&mut self, number: Number, physical: AgentId, fate: Fate, sent: &mut Vec<Packet>) {
        let found = self.mails.iter_mut().find(|mail| mail.number == Some(number));
        let mail = found.expect("it was sent");
        let is_out = matches!(mail.stage, MailStage::Out(to, _) if to == physical);
        match fate {
            Fate::Done => mail.stage = MailStage::Done,
            Fate::Returned if is_out => {
                mail.stage = MailStage::Waits;
                mail.came_back = Some(self.routes[self.route].epoch);
                self.routes.forget(physical);
            }
            _ => {}
        }
        self.release(sent);
    }

    /// `arrival.rs`, `mend`.
    fn lose(&mut self, gone: End, waits: &[(AgentId, Number)], sent: &mut Vec<Packet>) {
        self.port.lose_asks(gone, waits);
        if gone == End::Home {
            let (port, body) =
                (self.port.out.id, encode_to_vec::<ToPort>(&ToPort::ControllerIsNew));
            self.port.out.post(To::Agent(port), ToPort::SCHEMA, body);
            let is_lost = |ask: &(AgentId, Number)| !waits.contains(ask);
            if self.operator.asks.iter().any(is_lost) {
                self.operator.asks.clear();
                self.ask();
            }
            return;
        }
        let agent_box = BoxId(gone as u16);
        self.routes.forget_reactor(ReactorAddress { agent_box, reactor: 0 });
        for mail in &mut self.mails {
            if matches!(mail.stage, MailStage::Out(_, at) if at == gone as u32) {
                mail.stage = MailStage::Waits;
            }
        }
        self.release(sent);
    }

    /// `plane.rs`, `settle_routes` and `release`: sends what has a way; `hosting.rs`, `ask_for_routes`.
    fn release(&mut self, sent: &mut Vec<Packet>) {
        self.routes.settle(&mut |_, at, address| {
            address.map_or(Via::Nowhere, |_| Via::Link(u32::from(at.agent_box.0)))
        });
        let destination = &self.routes[self.route];
        let epoch = destination.epoch;
        let mut waits = false;
        for index in 0..self.mails.len() {
            let mail = &self.mails[index];
            if mail.stage != MailStage::Waits {
                continue;
            }
            let way = &self.routes[self.route].way;
            let leaf = way.leaf(Some(mail.point), 0).ok();
            // It is named when it is sent, and keeps its name.
            if mail.number.is_none() {
                let lane = way.lane(Some(mail.point));
                let number = self.next_of(lane);
                self.mails[index].number = Some(number);
            }
            let Some(Leaf { physical, via: Via::Link(link) }) = leaf else {
                waits = true;
                continue;
            };
            self.mails[index].stage = MailStage::Out(physical, link);
            sent.push(self.packet(index, physical, link, epoch));
        }
        if waits && self.routes[self.route].way.is_missing() {
            self.miss();
        }
    }

    fn miss(&mut self) {
        let (destination, source) = (AgentId::of(SHARDED).0, CLIENT.to_owned());
        let miss = ToPort::Miss { destination, source };
        let (port, body) = (self.port.out.id, encode_to_vec::<ToPort>(&miss));
        self.port.out.post(To::Agent(port), ToPort::SCHEMA, body);
    }

    fn next_of(&self, lane: u16) -> Number {
        let in_lane = self.mails.iter().filter_map(|mail| mail.number);
        let count = in_lane.filter(|number| number.lane() == lane).count() as u64;
        Number(Number::first_of(lane).0 + count)
    }

    /// The lowest number of a lane that is not done.
    fn floor_of(&self, lane: u16) -> Number {
        let kept = self.mails.iter().filter(|mail| mail.stage != MailStage::Done);
        let kept = kept.filter_map(|mail| mail.number);
        kept.filter(|number| number.lane() == lane).min().unwrap_or(self.next_of(lane))
    }

    fn packet(&self, index: usize, physical: AgentId, link: u32, epoch: Epoch) -> Packet {
        let mail = &self.mails[index];
        let number = mail.number.expect("it was named");
        let floor = number.0 - self.floor_of(number.lane()).0.min(number.0);
        let space = self.operator.space;
        let header = MessageHeader {
            destination: physical.0.into(),
            source: AgentId::of(CLIENT).0.into(),
            number: number.0.into(),
            space: space.0.into(),
            floor: (floor as u32).into(),
            point: mail.point.0.into(),
            route_epoch: epoch.0.into(),
            flags: HAS_POINT,
            ..MessageHeader::default()
        };
        let draft = Draft { header, ..Draft::default() };
        let mut record = vec![0; draft.bytes()];
        draft.write(&mut record);
        let is_newer = mail.came_back.is_some_and(|then| then < epoch);
        Packet {
            from: End::Client,
            process: self.process,
            to: if link == End::A as u32 { End::A } else { End::B },
            load: Load::Record(record),
            note: if is_newer { Note::Rerouted } else { Note::Nothing },
        }
    }
}
