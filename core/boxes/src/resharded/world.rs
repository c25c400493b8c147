//! The world of four processes: what may happen in a state of it, and what comes of that.

use std::fmt;

use daedal_model::control::FromController;
use daedal_model::point::PointRange;

use super::arena::{self, Flight, Print, keep, packet, part, process};
use super::cell::{End, Load, Note, To};
use super::client::{Client, MailStage};
use super::parts::{AgentBox, Fact, Input, POINTS, Part};

/// What may happen, once each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    /// A process ends, and the next one begins.
    pub crash: bool,
    /// A process is reached by none for a while.
    pub cut: bool,
    /// A message of the client comes twice.
    pub again: bool,
    /// A life that is to end waits for answers too long, and goes on.
    pub refusal: bool,
    /// Whether what boxes and the controller tell each other, but to start and to end lives, comes at once.
    pub hasty: bool,
    /// How many of the client's messages are under way when the change is asked for. One that is late is as one
    /// that is sent late by the old route.
    pub early: usize,
    /// How many messages the client has.
    pub mails: usize,
}

/// A state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    parts: [Print; 4],
    /// Which process of each end is there.
    pub lives: [u8; 4],
    /// In order.
    flights: Vec<Flight>,
    /// Who has not noticed yet that whose process has ended.
    unnoticed: Vec<(End, End)>,
    pub cut: Option<End>,
    pub left: Faults,
    /// Spaces, epochs and paths of lives.
    used: Vec<(u32, u32, String)>,
    /// Parts of lives that others have begun from.
    begun_from: Vec<u64>,
    /// By message, how often it was processed in lives that continue each other.
    pub processed: [u8; 2],
    pub crashed: Option<Crash>,
    pub wrong: Option<Wrong>,
}

/// What a crash came between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Crash {
    /// The end of a life and the beginning of whoever goes on from it.
    Bequest,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wrong {
    TwoOwners,
    BegunAgain,
    Twice,
    UsedAgain,
    Torn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Deliver(Flight),
    /// It is handled, and its receiver ends before it has said so.
    DeliverLast(Flight),
    Again(Flight),
    Notice(End, End),
    Crash(End),
    Cut(End),
    Heal,
    Ends(End, usize),
    GoesOn(End, usize),
    Send,
    Time(End),
}

impl fmt::Debug for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Deliver(it) => write!(out, "deliver {}", arena::describe(it)),
            Action::DeliverLast(it) => write!(out, "deliver last {}", arena::describe(it)),
            Action::Again(it) => write!(out, "comes twice: {}", arena::describe(it)),
            Action::Notice(who, gone) => write!(out, "{who:?} notices that {gone:?} has ended"),
            Action::Crash(end) => write!(out, "crash {end:?}"),
            Action::Cut(end) => write!(out, "cut off {end:?}"),
            Action::Heal => write!(out, "heal"),
            Action::Ends(end, which) => write!(out, "life {which} of {end:?} ends"),
            Action::GoesOn(end, which) => write!(out, "life {which} of {end:?} goes on"),
            Action::Send => write!(out, "the client sends"),
            Action::Time(end) => write!(out, "time passes for {end:?}"),
        }
    }
}

impl World {
    /// So many shards are stated, and `from` run; the client knows the way, and a change has been asked for.
    pub fn new(stated: u32, from: u32, into: u32, left: Faults) -> World {
        let new = |end| keep(Part::new(end, stated as usize, process(end, 0)));
        let mut world = World {
            parts: End::ALL.map(new),
            lives: [0; 4],
            flights: Vec::new(),
            unnoticed: Vec::new(),
            cut: None,
            left: Faults::default(),
            used: Vec::new(),
            begun_from: Vec::new(),
            processed: [0; 2],
            crashed: None,
            wrong: None,
        };
        // What their agents' first transitions have sent leaves with the next thing that happens.
        End::ALL.into_iter().for_each(|end| world.happen(end, Input::Lost(end, Vec::new())));
        world.settle();
        if stated != from {
            world.happen(End::Client, Input::Reshard(from));
            world.settle();
        }
        world.happen(End::Client, Input::LookUp);
        world.settle();
        (0..left.early).for_each(|_| world.happen(End::Client, Input::Send));
        world.happen(End::Client, Input::Reshard(into));
        if left.hasty {
            let at = world.flights.iter().position(|it| it.to == End::Home);
            world.act(Action::Deliver(world.flights[at.expect("it was asked for")]));
        }
        World { left, ..world }
    }

    fn settle(&mut self) {
        loop {
            let mut actions = Vec::new();
            self.must(&mut actions);
            let Some(action) = actions.into_iter().next() else { return };
            self.act(action);
        }
    }

    /// Whether a life is asked to end, or what one was is kept.
    pub fn is_changing(&self) -> bool {
        let is_changing =
            |it: &AgentBox| !it.kept.is_empty() || it.running.values().any(|it| it.is_ending());
        End::BOXES.into_iter().any(|end| self.with_box(end, is_changing))
    }

    fn with_box<R>(&self, end: End, read: impl FnOnce(&AgentBox) -> R) -> R {
        match &*part(self.parts[end as usize]) {
            Part::Box(it) => read(it),
            _ => unreachable!("{end:?} is a box"),
        }
    }

    fn with_client<R>(&self, read: impl FnOnce(&Client) -> R) -> R {
        match &*part(self.parts[End::Client as usize]) {
            Part::Client(it) => read(it),
            _ => unreachable!("the client is one"),
        }
    }

    /// Lives that were asked to end, by their place in their box.
    fn ending(&self, end: End) -> Vec<(usize, String)> {
        self.with_box(end, |it| {
            let all = it.running.iter().enumerate();
            let ending = all.filter(|(_, (_, running))| running.is_ending());
            ending.map(|(index, (path, _))| (index, path.clone())).collect()
        })
    }

    fn is_cut(&self, one: End, other: End) -> bool {
        self.cut.is_some_and(|end| end == one || end == other)
    }

    fn is_old(&self, flight: &Flight) -> bool {
        flight.life < self.lives[flight.from as usize]
    }

    fn may_come(&self, flight: &Flight) -> bool {
        let (from, to) = (flight.from, flight.to);
        let waits_for_notice = !self.is_old(flight) && self.unnoticed.contains(&(to, from));
        !self.is_cut(from, to)
            && !waits_for_notice
            && !self.unnoticed.contains(&(from, to))
            && part(self.parts[to as usize]).wants(&packet(flight.print))
    }

    fn happen(&mut self, end: End, input: Input) {
        self.follow(end, &arena::step(self.parts[end as usize], input));
    }

    fn deliver(&mut self, flight: &Flight) {
        let to = flight.to;
        self.follow(to, &arena::deliver(self.parts[to as usize], flight.print));
    }

    fn follow(&mut self, end: End, step: &arena::Step) {
        self.parts[end as usize] = step.part;
        step.facts.iter().for_each(|fact| self.judge(fact));
        for flight in &step.sent {
            let packet = packet(flight.print);
            let is_early = self.left.hasty && packet.is_of_registration() && self.may_come(flight);
            match packet.is_inert() || is_early {
                true => self.deliver(flight),
                false => self.flights.push(*flight),
            }
        }
        self.flights.sort_unstable();
    }

    fn judge(&mut self, fact: &Fact) {
        match fact {
            Fact::Torn(_) => self.wrong = Some(Wrong::Torn),
            Fact::Processed(point, before) => {
                let index = POINTS.iter().position(|it| it == point).expect("one of the client's");
                self.processed[index] += 1;
                if self.processed[index] > 1 || *before > 0 {
                    self.wrong = Some(Wrong::Twice);
                }
            }
            Fact::Began(hosting, from) => {
                if from.iter().any(|part| self.begun_from.contains(part)) {
                    self.wrong = Some(Wrong::BegunAgain);
                }
                self.begun_from.extend(from);
                self.begun_from.sort_unstable();
                let it = (hosting.space, hosting.epoch, hosting.path.clone());
                let is_same = |other: &(u32, u32, String)| {
                    other.0 == it.0 || other.1 == it.1 || other.2 == it.2
                };
                if self.used.iter().any(is_same) {
                    self.wrong = Some(Wrong::UsedAgain);
                }
                self.used.push(it);
                self.used.sort_unstable();
                let others = |end| {
                    self.with_box(end, |it| {
                        let own = it.running.values().map(|it| &it.hosting);
                        own.filter(|it| it.range().overlaps(&hosting.range())).count()
                    })
                };
                // Itself is one of them.
                if End::BOXES.into_iter().map(others).sum::<usize>() > 1 {
                    self.wrong = Some(Wrong::TwoOwners);
                }
            }
        }
    }

    fn forget(&mut self, flight: &Flight) {
        let at = self.flights.iter().position(|it| it == flight).expect("it is under way");
        self.flights.remove(at);
    }

    fn crash(&mut self, end: End) {
        self.left.crash = false;
        self.crashed = Some(Crash::Other);
        if End::BOXES.contains(&end) {
            self.lose_writes(end);
            let keeps = self.with_box(end, |it| !it.kept.is_empty());
            if keeps && self.running().iter().all(|(_, cut)| *cut == 0) {
                self.crashed = Some(Crash::Bequest);
            }
        }
        self.lives[end as usize] += 1;
        // Answers are nobody's but the asker's; what the client sent, it sends again when it notices.
        self.flights.retain(|flight| {
            flight.to != end
                || matches!(&packet(flight.print).load, Load::Control { to: To::Agent(_), .. })
        });
        let others = End::ALL.into_iter().filter(|other| *other != end);
        self.unnoticed = others.map(|other| (other, end)).collect();
        self.happen(end, Input::Crash);
        self.notice_at_once();
    }

    /// What ran in a box, and what nobody else has that it kept, is gone with it.
    fn lose_writes(&mut self, end: End) {
        for (index, point) in POINTS.into_iter().enumerate() {
            let runs = |other| {
                self.with_box(other, |it| it.running.values().any(|it| it.writes(point) > 0))
            };
            let keeps = self.with_box(end, |it| it.kept.values().flatten().any(|it| *it == point));
            let elsewhere = End::BOXES.into_iter().any(|other| other != end && runs(other));
            if runs(end) || keeps && !elsewhere {
                self.processed[index] = 0;
            }
        }
    }

    /// Lives that run, and by which change they are cut.
    fn running(&self) -> Vec<(PointRange, u32)> {
        let of = |end| {
            self.with_box(end, |it| {
                let hostings = it.running.values().map(|it| &it.hosting);
                hostings.map(|it| (it.range(), it.cut.since)).collect::<Vec<_>>()
            })
        };
        let mut all: Vec<_> = End::BOXES.into_iter().flat_map(of).collect();
        all.sort_unstable();
        all
    }

    /// Who hears nothing any more from a process that has ended notices that.
    fn notice_at_once(&mut self) {
        for (who, gone) in self.unnoticed.clone() {
            let hears = |it: &Flight| it.from == gone && it.to == who && self.is_old(it);
            if !self.flights.iter().any(hears) {
                self.notice(who, gone);
            }
        }
    }

    fn notice(&mut self, who: End, gone: End) {
        self.unnoticed.retain(|it| *it != (who, gone));
        let life = self.lives[gone as usize];
        self.flights.retain(|it| it.from != gone || it.to != who || it.life == life);
        let asks = self.flights.iter().filter(|it| it.from == who && it.to == gone);
        let waits = asks.filter_map(|it| match &packet(it.print).load {
            Load::Control { name, to: To::Agent(id), .. } => Some((*id, name.number)),
            _ => None,
        });
        let waits = waits.collect();
        self.happen(who, Input::Lost(gone, waits));
    }

    /// What happens by itself.
    pub fn must(&self, actions: &mut Vec<Action>) {
        let mut flights = self.flights.clone();
        flights.dedup();
        flights.retain(|flight| self.may_come(flight));
        actions.extend(flights.into_iter().map(Action::Deliver));
        let notices = self.unnoticed.iter().filter(|(who, gone)| !self.is_cut(*who, *gone));
        actions.extend(notices.map(|(who, gone)| Action::Notice(*who, *gone)));
        for end in End::BOXES {
            let ending = self.ending(end).into_iter();
            actions.extend(ending.map(|(index, _)| Action::Ends(end, index)));
        }
        let is_unsent = |client: &Client| {
            client.mails[..self.left.mails].iter().any(|it| it.stage == MailStage::Unsent)
        };
        if self.with_client(is_unsent) {
            actions.push(Action::Send);
        }
        if self.cut.is_some() {
            actions.push(Action::Heal);
        }
        if actions.is_empty() {
            let late =
                End::ALL.into_iter().filter(|end| part(self.parts[*end as usize]).has_alarm());
            actions.extend(late.map(Action::Time));
        }
    }

    /// What may be put in its way.
    pub fn may(&self, actions: &mut Vec<Action>) {
        let mut flights = self.flights.clone();
        flights.dedup();
        if self.left.crash && self.left.hasty {
            actions.extend(End::BOXES.map(Action::Crash));
        } else if self.left.crash {
            actions.extend([End::Home, End::A, End::B].map(Action::Crash));
            let own = flights.iter().filter(|it| it.to != End::Client && self.may_come(it));
            let asks = own.filter(|it| {
                matches!(&packet(it.print).load, Load::Control { to: To::Agent(_), .. })
            });
            actions.extend(asks.copied().map(Action::DeliverLast));
        }
        if self.left.cut {
            actions.extend(End::ALL.map(Action::Cut));
        }
        if self.left.again {
            let is_mail = |it: &&Flight| matches!(packet(it.print).load, Load::Record(_));
            actions.extend(flights.iter().filter(is_mail).copied().map(Action::Again));
        }
        if self.left.refusal {
            for end in End::BOXES {
                let ending = self.ending(end).into_iter();
                actions.extend(ending.map(|(index, _)| Action::GoesOn(end, index)));
            }
        }
    }

    fn path_of(&self, end: End, index: usize) -> String {
        let ending = self.ending(end);
        ending.into_iter().find(|it| it.0 == index).expect("it was asked to end").1
    }

    pub fn act(&mut self, action: Action) {
        match action {
            Action::Deliver(flight) => {
                self.forget(&flight);
                self.deliver(&flight);
                self.notice_at_once();
            }
            Action::DeliverLast(flight) => {
                self.deliver(&flight);
                self.crash(flight.to);
            }
            Action::Again(flight) => {
                self.left.again = false;
                self.flights.push(flight);
                self.flights.sort_unstable();
            }
            Action::Notice(who, gone) => self.notice(who, gone),
            Action::Crash(end) => self.crash(end),
            Action::Cut(end) => {
                self.left.cut = false;
                self.cut = Some(end);
            }
            Action::Heal => self.cut = None,
            Action::Ends(end, index) => {
                let path = self.path_of(end, index);
                self.happen(end, Input::Ends(path));
            }
            Action::GoesOn(end, index) => {
                self.left.refusal = false;
                let path = self.path_of(end, index);
                self.happen(end, Input::GoesOn(path));
            }
            Action::Send => self.happen(End::Client, Input::Send),
            Action::Time(end) => self.happen(end, Input::Time),
        }
    }

    /// Nothing is left to happen but faults.
    pub fn is_at_rest(&self) -> bool {
        if self.flights.iter().any(|flight| self.may_come(flight)) {
            return false;
        }
        let mut actions = Vec::new();
        self.must(&mut actions);
        actions.is_empty()
    }

    /// All has come of the change that was asked for.
    pub fn is_finished(&self, into: u32) -> bool {
        let running = self.running();
        let is_whole = running.len() == into as usize
            && running[0].0.first.0 == 0
            && running[running.len() - 1].0.last.0 == u64::MAX
            && running.windows(2).all(|pair| pair[0].0.last.0 + 1 == pair[1].0.first.0);
        let is_told = |it: &Client| matches!(it.told, Some(FromController::Resharded { .. }));
        let are_done =
            |it: &Client| it.mails[..self.left.mails].iter().all(|it| it.stage == MailStage::Done);
        let keeps = |end| self.with_box(end, |it| it.port.agent.kept().count() > 0);
        is_whole
            && self.flights.is_empty()
            && self.with_client(is_told)
            && self.with_client(are_done)
            && !End::BOXES.into_iter().any(keeps)
    }

    /// Every write that was processed, and that no crash took, is where its point is; none is there twice.
    pub fn has_all_writes(&self) -> bool {
        POINTS.into_iter().zip(self.processed).all(|(point, processed)| {
            let writes = |end| {
                self.with_box(end, |it| it.running.values().map(|it| it.writes(point)).sum::<u64>())
            };
            let found: u64 = End::BOXES.into_iter().map(writes).sum();
            (u64::from(processed)..=1).contains(&found)
        })
    }

    pub fn has(&self, note: Note) -> bool {
        self.flights.iter().any(|it| packet(it.print).note == note)
    }
}
