//! What reactors count, in a file that other processes read while it is written.
//!
//! A box has one file, named for it and its address, in its user's run folder. A reactor copies its plain
//! numbers there ten times a second, and before it parks; nothing else of it knows. Layout, in words of 8 bytes,
//! native order, version 1; bytes of text stand in their order, and end at the first 0:
//!
//! | words | what | writer | when |
//! |---|---|---|---|
//! | 0, 1 | `daedalct`; version | box | before the file has its name |
//! | 2, 3, 4 | reactors; fields; words of a reactor's block | box | as above |
//! | 5, 6 | process; when the box started | box | as above |
//! | 7 | notes that a block keeps | box | as above |
//! | 8 to 23 | the box's name, text | box | as above |
//! | 24 … | names of the fields, 4 words of text each | box | as above |
//! | then, a block a reactor, from a multiple of 16 on | a word a field ([`FIELDS`], then drops by reason) | that reactor | ten times a second, and before it parks |
//! | in a block, behind the fields | notes made so far | that reactor | behind the note |
//! | in a block, behind that | the last notes, 16 words each: see [`crate::walk`] | that reactor | as the fields |
//!
//! A field whose name has a `_max` beside it is a level, and that is its bound; `_now` is a level without one; all
//! others only grow. Fields of one reactor may be of two moments. (Aeron's counters file does likewise.)

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daedal_model::id::Stamp;
use daedal_net::driver::Driver;
use daedal_net::error::DropReason;

use crate::mapped::{View, Words};
use crate::turn::Turn;
use crate::walk::{NOTE_WORDS, Note};

mod reading;

pub use reading::{BoxReading, ReactorReading, read_all};

/// How long what is read may lag behind: half of what people notice.
pub const LAG_NS: u64 = 100_000_000;
/// Notes of messages' walks that a reactor's block keeps.
pub const NOTES_KEPT: usize = 256;
/// Ends the names of these files.
const EXTENSION: &str = "counters";

const MAGIC: u64 = u64::from_le_bytes(*b"daedalct");
const VERSION: u64 = 2;
const NAME_AT: usize = 8;
const NAME_WORDS: usize = 16;
const FIELDS_AT: usize = NAME_AT + NAME_WORDS;
const FIELD_WORDS: usize = 4;
/// Blocks start at lines that no two reactors share, in pairs, as processors fetch them.
const BLOCK_ALIGN: usize = 16;

/// What a reactor's block says, in this order; drops by their reasons follow.
pub const FIELDS: [(&str, &str); 54] = [
    ("updated_ns_now", "when the reactor wrote this, nanoseconds since 1970"),
    ("turns_busy", "turns that found something to do"),
    ("visits_found", "visits of links and shims that found something"),
    ("parks", "times that it went to sleep"),
    ("delivered", "messages handed to agents"),
    ("copied_out", "messages copied, because their agent could not take them at once"),
    ("held_back", "messages that came before others which they must be processed after"),
    ("kept", "messages that waited in an outbox"),
    ("duplicates", "messages that came twice"),
    ("refused", "messages refused, here or by their receiver"),
    ("returned", "messages that came back, because their agent was not there"),
    ("handed_back", "messages handed back, because their agent's inbox was full"),
    ("cycles", "agents that were found to wait for themselves"),
    ("unknown_schema", "messages of types that this process does not know"),
    ("invalid", "messages whose bytes are no message of their type"),
    ("stray_answers", "answers for agents that are gone"),
    ("frames_received", "frames handed out by the driver"),
    ("frames_sent", "frames that the network took"),
    (
        "frames_malformed",
        "frames that are no whole datagram, of no link's size, or for nobody here",
    ),
    ("frames_refused", "frames that the network refused"),
    ("receive_starved", "calls of the driver that found no buffer to receive into"),
    ("frames_aside", "frames that went by the kernel beside a driver that goes past it"),
    ("xdp_receive_dropped", "frames that found no place in the ring, as AF_XDP counts them"),
    ("xdp_receive_wrong", "buffers posted that are none, as AF_XDP counts them"),
    ("xdp_send_wrong", "frames on the ring that are none, as AF_XDP counts them"),
    ("xdp_receive_full", "frames dropped because the ring was full, as AF_XDP counts them"),
    ("xdp_fill_empty", "frames dropped because no buffer was posted, as AF_XDP counts them"),
    ("xdp_send_empty", "looks at a ring with nothing to send, as AF_XDP counts them"),
    ("faults_dropped", "frames lost on purpose, for tests"),
    ("faults_doubled", "frames doubled on purpose, for tests"),
    ("packets_repeated", "packets sent again"),
    ("packets_repeated_copied", "those of them that went in another frame"),
    ("repeats_held", "repeats that waited for the driver to let go of the frame"),
    ("control_frames", "frames of the control lane"),
    ("sessions", "sessions that links opened"),
    ("walk_notes_lost", "notes of sampled messages that found no room"),
    ("agents_now", "agents that run here"),
    ("routes_starved_now", "conversations that wait for room in a link or ring"),
    ("leaves_full_now", "agents that are written to, and take no more for now"),
    ("cycles_now", "agents that wait for themselves"),
    ("asks_unanswered_now", "asks that will be told that no answer comes"),
    ("agents_runnable_now", "agents whose parked messages are offered again"),
    ("packets_undone_now", "packets sent and not all done, of all links"),
    ("rtt_ns_now", "longest round trip of any link"),
    ("links", "links to other reactors"),
    ("links_max", "most there may be"),
    ("send_frames", "frames in use for sending"),
    ("send_frames_max", "frames of that pool"),
    ("receive_buffers", "buffers in use for receiving"),
    ("receive_buffers_max", "buffers of that pool"),
    ("ring_lines", "cache lines in use of the fullest ring to a neighbour"),
    ("ring_lines_max", "lines of a ring"),
    ("handle_calls", "calls of outside threads that wait in the fullest queue"),
    ("handle_calls_max", "room of that queue"),
];

/// The names of all fields, in their order.
pub fn names() -> Vec<String> {
    let drops =
        DropReason::ALL.iter().map(|reason| format!("drops_{}", snake(&format!("{reason:?}"))));
    FIELDS.iter().map(|(name, _)| (*name).to_string()).chain(drops).collect()
}

/// `TooShort` as `too_short`.
fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Where everything stands.
#[derive(Clone, Copy, Debug)]
struct Layout {
    fields: usize,
    notes: usize,
    block_words: usize,
}

impl Layout {
    fn new(fields: usize, notes: usize) -> Layout {
        let block_words = (fields + 1 + notes * NOTE_WORDS).next_multiple_of(BLOCK_ALIGN);
        Layout { fields, notes, block_words }
    }

    fn block(&self, reactor: usize) -> usize {
        (FIELDS_AT + self.fields * FIELD_WORDS).next_multiple_of(BLOCK_ALIGN)
            + reactor * self.block_words
    }

    /// Where a block says how many notes it has had.
    fn note_count(&self, reactor: usize) -> usize {
        self.block(reactor) + self.fields
    }

    fn note(&self, reactor: usize, number: u64) -> usize {
        self.note_count(reactor) + 1 + (number % self.notes as u64) as usize * NOTE_WORDS
    }
}

/// A box's file. Dropped, its name goes; who reads it keeps what it has.
#[derive(Debug)]
pub struct Board {
    words: Arc<Words>,
    path: PathBuf,
    /// The file, if it has no name.
    unnamed: Option<File>,
}

/// Where one reactor writes.
#[derive(Debug)]
pub struct Page {
    words: Arc<Words>,
    layout: Layout,
    reactor: usize,
    notes: u64,
}

impl Board {
    /// Makes the file of a box in `folder`, which is made if there is none. `name` and `address` tell it from the
    /// other boxes of this user.
    /// # Errors
    /// What the file system says.
    pub fn create(
        folder: &Path,
        (name, address): (&str, &str),
        reactors: u8,
        now: Stamp,
    ) -> io::Result<Board> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{name}@{}.{EXTENSION}", address.replace('/', "-")));
        let layout = Layout::new(names().len(), NOTES_KEPT);
        let words = Words::create(&path, layout.block(reactors.into()), |words| {
            put_head(words, name, reactors, now);
        })?;
        Ok(Board { words: Arc::new(words), path, unnamed: None })
    }

    /// Makes one that has no name: this process alone reads it.
    /// # Errors
    /// What the system says.
    pub fn unnamed(name: &str, reactors: u8, now: Stamp) -> io::Result<Board> {
        let layout = Layout::new(names().len(), NOTES_KEPT);
        let (words, file) = Words::unnamed(layout.block(reactors.into()), |words| {
            put_head(words, name, reactors, now);
        })?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        Ok(Board { words: Arc::new(words), path, unnamed: Some(file) })
    }

    /// For the reactor's spec. One for each.
    pub fn page(&self, reactor: u8) -> Page {
        let layout = Layout::new(names().len(), NOTES_KEPT);
        Page { words: self.words.clone(), layout, reactor: reactor.into(), notes: 0 }
    }

    /// The file; of one without a name what leads to it in this process.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether others find it.
    pub fn is_named(&self) -> bool {
        self.unnamed.is_none()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Another life of the box may have put its own there by now, which this process did not write.
        let is_ours = View::open(&self.path)
            .is_ok_and(|view| (0..NAME_AT).all(|at| view.load(at) == self.words.load(at)));
        if is_ours && self.is_named() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What a file says of itself and of its box.
fn put_head(words: &Words, name: &str, reactors: u8, now: Stamp) {
    let names = names();
    let layout = Layout::new(names.len(), NOTES_KEPT);
    let process = u64::from(std::process::id());
    let (fields, block) = (names.len() as u64, layout.block_words as u64);
    let head = [MAGIC, VERSION, reactors.into(), fields, block, process, now.0, NOTES_KEPT as u64];
    head.iter().enumerate().for_each(|(at, word)| words.store(at, *word));
    put_text(words, NAME_AT, NAME_WORDS, name);
    for (index, name) in names.iter().enumerate() {
        put_text(words, FIELDS_AT + index * FIELD_WORDS, FIELD_WORDS, name);
    }
}

/// As many bytes of a text as there is room for.
fn put_text(words: &Words, at: usize, room: usize, text: &str) {
    for (index, bytes) in text.as_bytes().chunks(8).take(room).enumerate() {
        words.store(at + index, word_of(bytes));
    }
}

/// At most 8 bytes of a text as a word.
pub(crate) fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

/// What else than its turn knows a reactor's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    pub parks: u64,
    /// Calls in the fullest queue of a handle, and its room.
    pub handle_calls: (usize, usize),
}

impl Page {
    /// Writes what the reactor has counted.
    pub(crate) fn publish<D: Driver>(&mut self, turn: &mut Turn<D>, beside: Beside, now: Stamp) {
        let figures = figures(turn, beside, now);
        let drops = turn.plane.links.drops();
        let block = self.layout.block(self.reactor);
        let all = figures.into_iter().chain(DropReason::ALL.iter().map(|it| drops.of(*it)));
        for (index, value) in all.enumerate() {
            self.words.store(block + index, value);
        }
        for note in turn.plane.walks.take_notes() {
            self.note(&note);
        }
    }

    fn note(&mut self, note: &Note) {
        let at = self.layout.note(self.reactor, self.notes);
        for (index, word) in note.words().into_iter().enumerate() {
            self.words.store(at + index, word);
        }
        self.notes += 1;
        self.words.publish(self.layout.note_count(self.reactor), self.notes);
    }
}

/// In the order of [`FIELDS`].
fn figures<D: Driver>(turn: &mut Turn<D>, beside: Beside, now: Stamp) -> [u64; FIELDS.len()] {
    let (counts, links) = (*turn.counts(), turn.plane.links.figures());
    let driver = turn.plane.links.driver_mut();
    let frames = driver.counters();
    let used = |pool: &daedal_net::pool::Pool| pool.frames_count() - pool.frames_free();
    let (send, send_max) = (used(driver.pool()), driver.pool().frames_count());
    let (receive, receive_max) =
        (used(driver.receive_pool()), driver.receive_pool().frames_count());
    let rings = turn.plane.rings.iter().flatten();
    let ring_lines = rings.map(crate::mesh::RingSender::lines_used).max().unwrap_or(0);
    let starved = turn.plane.conversations.starved_count();
    let size = |count: usize| count as u64;
    [
        now.0,
        counts.turns_busy,
        counts.visits_found,
        beside.parks,
        counts.delivered,
        counts.copied_out,
        counts.held_back,
        counts.kept,
        counts.duplicates,
        counts.refused,
        counts.returned,
        counts.handed_back,
        counts.cycles,
        counts.unknown_schema,
        counts.invalid,
        counts.stray_answers,
        frames.received,
        frames.sent,
        frames.malformed,
        frames.refused,
        frames.starved,
        frames.aside,
        frames.rings.receive_dropped,
        frames.rings.receive_wrong,
        frames.rings.send_wrong,
        frames.rings.receive_full,
        frames.rings.fill_empty,
        frames.rings.send_empty,
        frames.faults_dropped,
        frames.faults_doubled,
        links.counters.repeated,
        links.counters.repeated_copied,
        links.counters.repeats_held,
        links.counters.control_frames,
        links.counters.sessions,
        turn.plane.walks.lost(),
        size(turn.plane.hosted.len()),
        size(starved),
        size(turn.plane.full.count()),
        size(turn.plane.cycles.count()),
        size(turn.plane.unanswered.len()),
        size(turn.runnable_count()),
        size(links.packets_undone),
        links.rtt_ns,
        size(links.count),
        size(crate::links::LINKS_MAX),
        size(send),
        size(send_max),
        size(receive),
        size(receive_max),
        size(ring_lines),
        size(crate::mesh::RING_LINES),
        size(beside.handle_calls.0),
        size(beside.handle_calls.1),
    ]
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
