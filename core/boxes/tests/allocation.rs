//! Once they have done it before, reactors allocate nothing for messages, and copy none: in a reactor, over a ring, over
//! a link; told and asked, to and fro; in order or not. A transition reads its message where the sender's transition
//! wrote it: in the local queue, or in the frame that a driver has sent and received. What drivers do with frames is
//! shown in net/tests/drivers/zero_copy.rs.
//!
//! Copied are, all the same:
//! - what crosses a ring, into the ring, where it is read; once more, if it goes round the ring's end;
//! - what waits in an inbox, at both ends: its sender keeps a copy until it hears what became of it;
//! - what is sealed: what is kept to be repeated stays as it is, and a copy of it is encrypted;
//! - what is larger than a frame, into segments, and out of them;
//! - what goes to several (`Each`, a broadcast), for all of them but the first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use daedal_allocations::allocations;
use daedal_boxes::links::Links;
use daedal_boxes::reactor::join;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::encode::{Body, Encode, Encoder, Full};
use daedal_model::id::{BoxId, Epoch, Point, ReactorAddress, Space, Stamp};
use daedal_model::message;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::route::{Action, Route};
use daedal_net::driver::{Counters, Driver, Outgoing, Received};
use daedal_net::link::Secret;
use daedal_net::pool::Pool;

/// What goes to and fro: a number, and some bytes.
#[message(crate = daedal_model)]
#[derive(Debug)]
struct Note {
    number: u64,
    text: Vec<u8>,
}

const TEXT: &[u8] = b"some bytes of no particular meaning";

thread_local! {
    /// From where to where each message lies that was written last of its number, modulo [`MANY`].
    static WRITTEN: [Cell<[usize; 2]>; MANY as usize] =
        const { [const { Cell::new([0; 2]) }; MANY as usize] };
    /// How many were read elsewhere.
    static MOVED: Cell<u64> = const { Cell::new(0) };
}

/// A note that notes where it is written.
struct Traced<'a>(NoteRef<'a>);

#[expect(unsafe_code, reason = "an encoding is promised to be one")]
// SAFETY: it is the note's.
unsafe impl Encode<Note> for Traced<'_> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Full> {
        self.0.encode(out)?;
        let lies = out.written().as_ptr_range();
        let number = (self.0.number % MANY) as usize;
        WRITTEN.with(|it| it[number].set([lies.start as usize, lies.end as usize]));
        Ok(())
    }
}

impl Body for Traced<'_> {
    type Message = Note;

    fn point(&self) -> Option<Point> {
        self.0.point()
    }

    fn is_broadcast(&self) -> bool {
        self.0.is_broadcast()
    }
}

/// Reads a note: its number.
fn read(note: &Archived<Note>) -> u64 {
    assert_eq!(note.text.as_slice(), TEXT);
    let number = note.number.to_native();
    let [start, end] = WRITTEN.with(|it| it[(number % MANY) as usize].get());
    let is_in_place = (start..end).contains(&(note.text.as_ptr() as usize));
    MOVED.set(MOVED.get() + u64::from(!is_in_place));
    number
}

/// How messages go in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Tell,
    Ask,
    TellInOrder,
    AskInOrder,
    /// Three that do the same are asked, until two have said the same.
    AskEach,
    /// As told, but the receiver wants them the other way round each time.
    Parked,
}

/// How many messages there are at once.
const MANY: u64 = 32;

/// Sends each message that comes back again.
struct Player {
    to: &'static str,
    how: How,
}

impl Player {
    fn play(&self, number: u64, context: &mut Context<'_, Player>) {
        let note = Traced(NoteRef { number, text: TEXT });
        match self.how {
            How::Tell | How::Parked => context.send(self.to, &note),
            How::TellInOrder => context.send_in_order(self.to, &note),
            How::Ask | How::AskEach => _ = context.ask(self.to, &note),
            How::AskInOrder => _ = context.ask_in_order(self.to, &note),
        }
    }
}

impl Agent for Player {
    type Message = Note;
    type Reply = Note;

    fn start(&mut self, context: &mut Context<'_, Self>) {
        (0..MANY).for_each(|number| self.play(number, context));
    }

    /// What one tells the other comes back.
    fn transition(&mut self, note: &Archived<Note>, context: &mut Context<'_, Self>) {
        self.play(read(note) + MANY, context);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        self.play(read(answer.open::<Note>().expect("it is answered")) + MANY, context);
    }
}

/// Tells back what it is told, answers what it is asked.
struct Partner {
    how: How,
    /// How many it has handled.
    handled: u64,
}

impl Agent for Partner {
    type Message = Note;
    type Reply = Note;

    fn transition(&mut self, note: &Archived<Note>, context: &mut Context<'_, Self>) {
        let same = Traced(NoteRef { number: read(note), text: note.text.as_slice() });
        self.handled += 1;
        match self.how {
            How::Ask | How::AskEach | How::AskInOrder => context.reply(&same),
            How::TellInOrder => context.send_in_order("player", &same),
            How::Tell | How::Parked => context.send("player", &same),
        }
    }

    /// They come back in the order in which they were handled before, of which this is the contrary.
    fn wants(&self, note: &Archived<Note>) -> bool {
        let (round, place) = (self.handled / MANY, self.handled % MANY);
        let turn = if round.is_multiple_of(2) { MANY - 1 - place } else { place };
        self.how != How::Parked || note.number.to_native() % MANY == turn
    }
}

macro_rules! stateless {
    ($($agent:ty),*) => {$(
        impl daedal_model::state::State for $agent {
            const NAME: &'static str = stringify!($agent);
            const VERSION: u16 = 1;

            fn capture(&self) -> daedal_model::state::Captured {
                daedal_model::state::Captured::new::<$agent>()
            }

            fn restore(
                _: daedal_model::state::Captured,
            ) -> Result<Self, daedal_model::state::StateError> {
                Err(daedal_model::state::StateError::Nothing)
            }
        }
    )*};
}

stateless!(Player, Partner);

/// Two ends, each of which hands its frames to the other as they are: a simulated network would keep each in an
/// allocation of its own.
struct Pipe {
    pool: Pool,
    at: SocketAddr,
    /// What goes to either end.
    ends: Rc<[RefCell<VecDeque<Received>>; 2]>,
    end: usize,
}

const PAYLOAD_BYTES: usize = 1472;

impl Driver for Pipe {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, _: u64, most: usize, into: &mut Vec<Received>) -> usize {
        let mut inbox = self.ends[self.end].borrow_mut();
        let count = most.min(inbox.len());
        into.extend(inbox.drain(..count));
        count
    }

    fn transmit(&mut self, _: u64, frames: &mut VecDeque<Outgoing>) {
        let received = frames.drain(..).map(|it| Received { frame: it.frame, from: self.at });
        self.ends[1 - self.end].borrow_mut().extend(received);
    }

    fn address(&self) -> SocketAddr {
        self.at
    }

    fn payload_bytes_max(&self) -> usize {
        PAYLOAD_BYTES
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn mode(&self) -> String {
        "a pipe".to_owned()
    }
}

fn at(agent_box: u16, reactor: u8) -> ReactorAddress {
    ReactorAddress { agent_box: BoxId(agent_box), reactor }
}

fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a path")
}

/// Where the partner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Local,
    Ring,
    Link,
    Sealed,
}

fn pair(place: Place, how: How) -> Vec<Turn<Pipe>> {
    let ends: Rc<[RefCell<VecDeque<Received>>; 2]> = Rc::default();
    let address = |at: ReactorAddress| SocketAddr::from(([10, 0, 0, at.agent_box.0 as u8], 7000));
    let here = at(1, 0);
    let there = match place {
        Place::Local => here,
        Place::Ring => at(1, 1),
        Place::Link | Place::Sealed => at(2, 0),
    };
    let make = |me: ReactorAddress| {
        let mut templates = Templates::new();
        templates.talks_to::<Player>();
        let templates = Arc::new(templates);
        let end = usize::from(me.agent_box == BoxId(2));
        let pool = Pool::new(512, PAYLOAD_BYTES);
        let driver = Pipe { pool, at: address(me), ends: ends.clone(), end };
        let nonce = 1 + u64::from(me.agent_box.0);
        let mut links = Links::new(me, driver, templates.kinds(), Default::default(), nonce);
        if place == Place::Sealed {
            links.seal_with(Secret([7; 32]));
        }
        let mut turn = Turn::new(me, templates, links);
        for (name, place) in [("player", here), ("partner", there)] {
            turn.put_box(place.agent_box, address(place));
            turn.fix_route(path(name), place);
        }
        turn
    };
    let mut turns = vec![make(here)];
    if place != Place::Local {
        turns.push(make(there));
    }
    if place == Place::Ring {
        join(&mut turns);
    }
    let last = turns.len() - 1;
    let partner = hosted(Partner { how, handled: 0 });
    match how {
        How::AskEach => host_copies(&mut turns, there, how),
        _ => turns[last].host(Placed::alone(path("partner"), Space(2)), partner),
    }
    let player = hosted(Player { to: "partner", how });
    turns[0].host(Placed::alone(path("player"), Space(1)), player);
    turns
}

/// Runs three partners as copies of one, each of which is asked.
fn host_copies(turns: &mut [Turn<Pipe>], there: ReactorAddress, how: How) {
    let parent = path("partner");
    let copies = ["one", "two", "three"].map(|name| parent.join(name).expect("a path"));
    let among = copies.iter().map(AgentPath::logical_id).collect::<Vec<_>>();
    for turn in turns.iter_mut() {
        let action = Action::Each { among: among.clone(), wait_for_matching: 2 };
        copies.iter().for_each(|copy| turn.fix_route(copy.clone(), there));
        turn.learn_route(parent.clone(), Route { epoch: Epoch(1), action });
        turn.settle_routes();
    }
    let last = turns.last_mut().expect("there is one at least");
    for (space, path) in (2..).zip(copies) {
        let (space, range) = (Space(space), PointRange::ALL);
        let partner = hosted(Partner { how, handled: 0 });
        last.host(Placed { path, source: parent.clone(), space, range }, partner);
    }
}

/// Takes so many rounds; says how many messages were handled.
fn rounds(turns: &mut [Turn<Pipe>], now: &mut u64, count: u64) -> u64 {
    let delivered =
        |turns: &[Turn<Pipe>]| turns.iter().map(|it| it.counts().delivered).sum::<u64>();
    let before = delivered(turns);
    for _ in 0..count {
        *now += 5_000;
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(*now), true));
    }
    delivered(turns) - before
}

fn check(place: Place, how: How) {
    let mut turns = pair(place, how);
    let copied = |turns: &[Turn<Pipe>]| turns.iter().map(|it| it.counts().copied_out).sum::<u64>();
    let mut now = 0;
    // Within a reactor, messages go to and fro until its turn is over.
    let is_quick = place == Place::Local && how != How::Parked;
    let warm_up = if is_quick { 8 } else { 400 };
    rounds(&mut turns, &mut now, warm_up);
    let before = copied(&turns);
    MOVED.set(0);
    let (count, handled) = allocations(|| rounds(&mut turns, &mut now, warm_up / 4));
    assert!(handled > 50, "{place:?}, {how:?}: {handled} messages were handled");
    let waited = copied(&turns) - before;
    assert_eq!(how == How::Parked, waited > 50, "{place:?}: {waited} have waited");
    let most = waited * if place == Place::Local { 1 } else { 8 };
    assert!(
        count as u64 <= most,
        "{place:?}, {how:?}: {count} for {handled}, of which {waited} wait"
    );
    let moved = MOVED.get();
    let is_copied =
        matches!(how, How::Parked | How::AskEach) || matches!(place, Place::Ring | Place::Sealed);
    assert!(
        if is_copied { moved > 50 } else { moved == 0 },
        "{place:?}, {how:?}: {moved} of {handled} were not read where they were written"
    );
}

const PROMPT: [How; 4] = [How::Tell, How::Ask, How::TellInOrder, How::AskInOrder];

/// Also those that are merged.
#[test]
fn what_is_asked_of_several_and_answered_by_enough_allocates_nothing() {
    [Place::Local, Place::Ring, Place::Link].into_iter().for_each(|it| check(it, How::AskEach));
}

#[test]
fn messages_within_a_reactor_allocate_nothing_and_are_read_where_they_were_written() {
    PROMPT.into_iter().for_each(|how| check(Place::Local, how));
}

#[test]
fn messages_over_a_ring_allocate_nothing() {
    PROMPT.into_iter().for_each(|how| check(Place::Ring, how));
}

#[test]
fn messages_over_a_link_allocate_nothing_and_are_read_where_they_were_written() {
    PROMPT.into_iter().for_each(|how| check(Place::Link, how));
}

#[test]
fn messages_that_are_sealed_are_copied_and_allocate_nothing() {
    PROMPT.into_iter().for_each(|how| check(Place::Sealed, how));
}

#[test]
fn only_a_message_that_waits_allocates_for_its_copies() {
    for place in [Place::Local, Place::Ring, Place::Link] {
        check(place, How::Parked);
    }
}
