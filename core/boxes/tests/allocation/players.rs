//! Two that send each other messages for ever, and look where each lies that they write and read.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::encode::{Body, Encode, Encoder, Full};
use daedal_model::id::Point;
use daedal_model::message;

/// What goes to and fro: a number, and some bytes.
#[message(crate = daedal_model)]
#[derive(Debug)]
pub struct Note {
    number: u64,
    text: Vec<u8>,
}

const TEXT: &[u8] = b"some bytes of no particular meaning";
/// More than a frame takes.
const LONG_TEXT: &[u8] = &[7; 5_000];

/// Frames that came last: at least as many as are received before they are read.
const FRAMES: usize = 256;

/// Who writes. The player writes to each of several.
const PLAYER: Range<usize> = 0..3;
pub const PARTNERS: Range<usize> = 3..6;
const WRITERS: usize = 6;

/// Where a message lies that was written last of its number, modulo [`MANY`].
#[derive(Clone, Copy)]
struct Written {
    number: u64,
    start: usize,
    end: usize,
    /// Whether a frame was sent that it lies in.
    was_sent: bool,
}

const NOWHERE: Written = Written { number: u64::MAX, start: 0, end: 0, was_sent: true };

/// What was seen of messages, since it was last asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub read: u64,
    /// Of these: not read where they were written.
    pub moved: u64,
    /// Of these: not read in a frame that came.
    pub outside: u64,
    /// Of those that were written: not in a frame that was sent before the next of its number was written.
    pub unsent: u64,
}

thread_local! {
    static WRITTEN: RefCell<[[Written; MANY as usize]; WRITERS]> =
        const { RefCell::new([[NOWHERE; MANY as usize]; WRITERS]) };
    static CAME: RefCell<([[usize; 2]; FRAMES], usize)> = const { RefCell::new(([[0; 2]; FRAMES], 0)) };
    static SEEN: Cell<Seen> = const { Cell::new(Seen { read: 0, moved: 0, outside: 0, unsent: 0 }) };
}

/// What was seen since it was last asked.
pub fn seen() -> Seen {
    SEEN.take()
}

fn see(what: impl FnOnce(&mut Seen)) {
    let mut seen = SEEN.get();
    what(&mut seen);
    SEEN.set(seen);
}

/// Written by the first of these who has not written one of that number before.
fn note_written(writers: Range<usize>, number: u64, lies: Range<*const u8>) {
    let (start, end) = (lies.start as usize, lies.end as usize);
    let before = WRITTEN.with_borrow_mut(|it| {
        let mut places = it[writers].iter_mut().map(|it| &mut it[(number % MANY) as usize]);
        let place = places.find(|it| it.number != number).expect("it is written once for each");
        std::mem::replace(place, Written { number, start, end, was_sent: false })
    });
    see(|seen| seen.unsent += u64::from(!before.was_sent));
}

/// A frame of a driver's goes.
pub fn frame_goes(frame: Range<*const u8>) {
    let (start, end) = (frame.start as usize, frame.end as usize);
    WRITTEN.with_borrow_mut(|it| {
        let all = it.iter_mut().flatten();
        all.for_each(|it| it.was_sent |= start <= it.start && it.end <= end);
    });
}

/// A frame has come by a driver.
pub fn frame_came(frame: Range<*const u8>) {
    CAME.with_borrow_mut(|(frames, count)| {
        frames[*count % FRAMES] = [frame.start as usize, frame.end as usize];
        *count += 1;
    });
}

/// A note that notes where it is written, and by whom.
struct Traced<'a>(Range<usize>, NoteRef<'a>);

#[expect(unsafe_code, reason = "an encoding is promised to be one")]
// SAFETY: it is the note's.
unsafe impl Encode<Note> for Traced<'_> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Full> {
        self.1.encode(out)?;
        note_written(self.0.clone(), self.1.number, out.written().as_ptr_range());
        Ok(())
    }
}

impl Body for Traced<'_> {
    type Message = Note;

    fn point(&self) -> Option<Point> {
        self.1.point()
    }

    fn is_broadcast(&self) -> bool {
        self.1.is_broadcast()
    }
}

/// Reads a note that one of these has written: its number.
fn read(writers: Range<usize>, note: &Archived<Note>) -> u64 {
    let text = note.text.as_slice();
    assert!(text == TEXT || text == LONG_TEXT);
    let (number, at) = (note.number.to_native(), text.as_ptr() as usize);
    let is_in_place = WRITTEN.with_borrow(|it| {
        let mut places = it[writers].iter().map(|it| it[(number % MANY) as usize]);
        places.any(|it| it.number == number && (it.start..it.end).contains(&at))
    });
    let is_in_frame = CAME
        .with_borrow(|(frames, _)| frames.iter().any(|[start, end]| (*start..*end).contains(&at)));
    see(|seen| {
        seen.read += 1;
        seen.moved += u64::from(!is_in_place);
        seen.outside += u64::from(!is_in_frame);
    });
    number
}

/// How messages go in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Tell,
    Ask,
    TellInOrder,
    AskInOrder,
    /// Three that do the same are asked, until two have said the same.
    AskEach,
    /// As told, but each is larger than a frame.
    TellLong,
    /// As told, but the receiver wants them the other way round each time.
    Parked,
}

/// How many messages there are at once.
pub const MANY: u64 = 32;

/// Sends each message that comes back again.
pub struct Player {
    pub to: &'static str,
    pub how: How,
}

impl Player {
    fn play(&self, number: u64, context: &mut Context<'_, Player>) {
        let text = if self.how == How::TellLong { LONG_TEXT } else { TEXT };
        let note = Traced(PLAYER, NoteRef { number, text });
        match self.how {
            How::Tell | How::TellLong | How::Parked => context.send(self.to, &note),
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
        self.play(read(PARTNERS, note) + MANY, context);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        let note = answer.open::<Note>().expect("it is answered");
        self.play(read(PARTNERS, note) + MANY, context);
    }
}

/// Tells back what it is told, answers what it is asked.
pub struct Partner {
    /// One of [`PARTNERS`].
    pub who: usize,
    pub how: How,
    /// How many it has handled.
    pub handled: u64,
}

impl Agent for Partner {
    type Message = Note;
    type Reply = Note;

    fn transition(&mut self, note: &Archived<Note>, context: &mut Context<'_, Self>) {
        let number = read(PLAYER, note);
        let same = Traced(self.who..self.who + 1, NoteRef { number, text: note.text.as_slice() });
        self.handled += 1;
        match self.how {
            How::Ask | How::AskEach | How::AskInOrder => context.reply(&same),
            How::TellInOrder => context.send_in_order("player", &same),
            How::Tell | How::TellLong | How::Parked => context.send("player", &same),
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
