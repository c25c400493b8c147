//! Who is sent too much, who sends it, and who stands beside.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use daedal_boxes::shim::Shim;
use daedal_model::agent::{Agent, Answer, Archived, Refusal};
use daedal_model::context::Context;
use daedal_model::control::ToPort;
use daedal_model::id::AgentId;
use daedal_model::{message, state};

use crate::world::TURN_NS;

thread_local! {
    /// Notes that the keeper may handle.
    pub static ALLOWED: Cell<u64> = const { Cell::new(0) };
    /// Notes that the keeper handled, and how often the neighbour was asked.
    pub static HANDLED: Cell<u64> = const { Cell::new(0) };
    pub static NEIGHBOUR: Cell<u64> = const { Cell::new(0) };
    /// How long the prober's answers took, in nanoseconds.
    pub static TOOK: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// Copies of a ball that a player sends on, and how many were played.
    pub static COPIES: Cell<u64> = const { Cell::new(1) };
    pub static PLAYED: Cell<u64> = const { Cell::new(0) };
    /// How often who was asked from outside has replied, or was said to have refused.
    pub static TOLD: RefCell<BTreeMap<(AgentId, Option<Refusal>), u64>> =
        const { RefCell::new(BTreeMap::new()) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
pub enum Note {
    Number(u64),
    Tick,
    Heavy(Vec<u8>),
}

/// Takes as many notes as it may, and a tick at any time: then it may take all.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Keeper {
    #[combine(forbid)]
    pub seen: Vec<u64>,
}

impl Agent for Keeper {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, _: &mut Context<'_, Self>) {
        match note {
            Archived::<Note>::Number(number) => {
                self.seen.push(number.to_native());
                HANDLED.set(HANDLED.get() + 1);
            }
            Archived::<Note>::Tick => ALLOWED.set(u64::MAX),
            Archived::<Note>::Heavy(_) => HANDLED.set(HANDLED.get() + 1),
        }
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        matches!(note, Archived::<Note>::Tick) || HANDLED.get() < ALLOWED.get()
    }
}

/// Takes the note that it waits for, and no other: all of them, one after another.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Waiter {
    #[combine(forbid)]
    pub next: u64,
}

impl Agent for Waiter {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {
        self.next += 1;
        HANDLED.set(self.next);
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        matches!(note, Archived::<Note>::Number(number) if number.to_native() == self.next)
    }
}

/// Counts notes, and answers ticks.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Neighbour {}

impl Agent for Neighbour {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, context: &mut Context<'_, Self>) {
        match note {
            Archived::<Note>::Number(_) => NEIGHBOUR.set(NEIGHBOUR.get() + 1),
            Archived::<Note>::Tick => context.reply(&()),
            Archived::<Note>::Heavy(_) => {}
        }
    }
}

/// Asks the neighbour, one question after another, and notes how long answers take.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Prober {
    #[combine(forbid)]
    pub asked_at: u64,
}

impl Prober {
    fn ask(&mut self, context: &mut Context<'_, Self>) {
        self.asked_at = context.now().0;
        context.ask("neighbour", &Note::Tick);
    }
}

impl Agent for Prober {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        self.ask(context);
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        self.ask(context);
    }

    fn answered(&mut self, _: &Answer<'_>, context: &mut Context<'_, Self>) {
        let took = context.now().0 - self.asked_at;
        TOOK.with_borrow_mut(|all| all.push(took));
        context.after(Duration::from_nanos(TURN_NS), &Note::Tick);
    }
}

/// Sends so many notes to somebody at each tick, in this order, and one to the neighbour with each.
#[state(crate = daedal_model)]
pub struct Writer {
    #[combine(forbid)]
    pub to: u64,
    #[combine(forbid)]
    pub burst: u64,
    #[combine(forbid)]
    pub ticks: u64,
    #[combine(forbid)]
    pub written: u64,
    #[combine(forbid)]
    pub in_order: bool,
}

impl Agent for Writer {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_nanos(TURN_NS), &Note::Tick);
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        for _ in 0..self.burst {
            match self.in_order {
                true => context.send_in_order(AgentId(self.to), &Note::Number(self.written)),
                false => context.send(AgentId(self.to), &Note::Number(self.written)),
            }
            context.send("neighbour", &Note::Number(self.written));
            self.written += 1;
        }
        self.ticks -= 1;
        if self.ticks > 0 {
            context.after(Duration::from_nanos(TURN_NS), &Note::Tick);
        }
    }
}

/// Sends the keeper so many heavy notes, one each turn.
#[state(crate = daedal_model)]
pub struct Hauler {
    #[combine(forbid)]
    pub left: u64,
}

/// Bytes of a heavy note, but for what is around them.
pub const HEAVY_BYTES: usize = 64 << 10;

impl Agent for Hauler {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_nanos(TURN_NS), &Note::Tick);
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        context.send("keeper", &Note::Heavy(vec![0; HEAVY_BYTES]));
        self.left -= 1;
        if self.left > 0 {
            self.start(context);
        }
    }
}

/// Counts notes, and adds up their numbers.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Ledger {
    #[combine(sum)]
    pub count: u64,
    #[combine(sum)]
    pub sum: u64,
}

impl Agent for Ledger {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, _: &mut Context<'_, Self>) {
        if let Archived::<Note>::Number(number) = note {
            self.count += 1;
            self.sum += number.to_native();
            HANDLED.set(HANDLED.get() + 1);
        }
    }
}

/// Takes so long for each note.
#[state(crate = daedal_model)]
pub struct Slow {
    #[combine(forbid)]
    pub each_ns: u64,
    #[combine(forbid)]
    pub is_busy: bool,
}

impl Agent for Slow {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, context: &mut Context<'_, Self>) {
        self.is_busy = matches!(note, Archived::<Note>::Number(_));
        if self.is_busy {
            HANDLED.set(HANDLED.get() + 1);
            context.after(Duration::from_nanos(self.each_ns), &Note::Tick);
        }
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        !self.is_busy || matches!(note, Archived::<Note>::Tick)
    }
}

/// Tells a reactor's port this, in the controller's stead.
pub struct Teller {
    pub port: AgentId,
    pub word: Option<ToPort>,
}

impl Agent for Teller {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {}
}

impl Shim for Teller {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let word = self.word.take();
        word.iter().for_each(|word| context.send(self.port, word));
        word.is_some()
    }
}

/// Sends the keeper a tick.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Opener {}

impl Agent for Opener {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.send("keeper", &Note::Tick);
    }

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {}
}

/// Sends each ball that it gets to the other, so many copies of it, and wants no ticks.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Player {
    #[combine(forbid)]
    pub other: u64,
    /// Balls that it sends at its start.
    #[combine(forbid)]
    pub serves: u64,
    /// To whom it writes before that, and how many notes.
    #[combine(forbid)]
    pub third: u64,
    #[combine(forbid)]
    pub notes: u64,
    /// It wants no balls until the neighbour has answered it.
    #[combine(forbid)]
    pub waits: bool,
}

impl Player {
    pub fn with(other: &str, serves: u64) -> Player {
        Player { other: AgentId::of(other).0, serves, ..Player::default() }
    }
}

impl Agent for Player {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        if self.waits {
            context.ask("neighbour", &Note::Tick);
        }
        (0..self.notes).for_each(|_| context.send(AgentId(self.third), &Note::Number(0)));
        (0..self.serves).for_each(|_| context.send(AgentId(self.other), &Note::Number(0)));
    }

    fn answered(&mut self, _: &Answer<'_>, _: &mut Context<'_, Self>) {
        self.waits = false;
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        !self.waits && matches!(note, Archived::<Note>::Number(_))
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        PLAYED.set(PLAYED.get() + 1);
        (0..COPIES.get()).for_each(|_| context.send(AgentId(self.other), &Note::Number(0)));
    }
}

/// Asks all of these so many times, on behalf of somebody outside.
pub struct Outsider {
    pub to: &'static [&'static str],
    pub times: u64,
}

impl Agent for Outsider {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let refused = answer.open::<()>().err().map(|refusal| refusal.expect("it is known"));
        TOLD.with_borrow_mut(|all| *all.entry((answer.from, refused)).or_default() += 1);
    }
}

impl Shim for Outsider {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let Some(left) = self.times.checked_sub(1) else { return false };
        self.times = left;
        self.to.iter().for_each(|to| _ = context.ask(*to, &Note::Tick));
        true
    }
}

/// Sends these notes to the waiter, in this order.
#[state(crate = daedal_model)]
pub struct Lister {
    #[combine(forbid)]
    pub notes: Vec<u64>,
}

impl Agent for Lister {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        for note in &self.notes {
            context.send("waiter", &Note::Number(*note));
        }
    }

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {}
}

/// Handles notes in the order of their numbers, one of which it sets itself a timer with.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Numbered {
    #[combine(forbid)]
    next: u64,
}

impl Numbered {
    /// The timer's.
    pub const LAST: u64 = 50;
}

impl Agent for Numbered {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_nanos(TURN_NS), &Note::Number(Numbered::LAST));
    }

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {
        self.next += 1;
        HANDLED.set(self.next);
    }

    fn number(note: &Archived<Note>) -> Option<u64> {
        match note {
            Archived::<Note>::Number(number) => Some(number.to_native()),
            _ => None,
        }
    }

    fn want(&self) -> u64 {
        self.next
    }
}

/// Load from outside: has ever more notes for each of these agents in turn, as many as `BURST` a visit, and stops where
/// the next one may not go.
pub struct Feeder {
    pub to: &'static [&'static str],
    /// In each note.
    pub me: u64,
    sent: usize,
}

impl Feeder {
    const BURST: usize = 256;

    pub fn new(to: &'static [&'static str], me: u64) -> Feeder {
        Feeder { to, me, sent: 0 }
    }
}

impl Agent for Feeder {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {}
}

impl Shim for Feeder {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let (note, before) = (Note::Number(self.me), self.sent);
        while self.sent < before + Feeder::BURST {
            let to = self.to[self.sent % self.to.len()];
            if context.is_pressed_towards(to, &note) {
                break;
            }
            context.send(to, &note);
            self.sent += 1;
        }
        self.sent > before
    }
}

/// Sends so many to `tally` in its first visit, without asking for room.
pub struct Flood {
    pub count: u64,
    /// In each note.
    pub me: u64,
}

impl Agent for Flood {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {}
}

impl Shim for Flood {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let count = std::mem::take(&mut self.count);
        (0..count).for_each(|_| context.send("tally", &Note::Number(self.me)));
        count > 0
    }
}

/// Counts notes by their numbers.
#[state(crate = daedal_model)]
#[derive(Default)]
pub struct Tally {
    #[combine(forbid)]
    pub of_each: Vec<u64>,
}

impl Agent for Tally {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, _: &mut Context<'_, Self>) {
        let Archived::<Note>::Number(number) = note else { return };
        let number = number.to_native() as usize;
        self.of_each.resize(self.of_each.len().max(number + 1), 0);
        self.of_each[number] += 1;
        HANDLED.set(HANDLED.get() + 1);
    }
}
