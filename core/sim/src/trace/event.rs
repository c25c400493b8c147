//! One event of a trace: what it says, how it is written down, how it is shown.
//!
//! Bytes: kind 1, then numbers as LEB128: nanoseconds since the event before, box, reactor, and the
//! kind's own. A kind's number is never used for another.

use std::fmt;

/// One reactor of one box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The box.
    pub agent_box: u16,
    /// Which of its reactors.
    pub reactor: u8,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.agent_box, self.reactor)
    }
}

/// A message, by its name (Escher §2.1) and what it follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Shared by a message and all that it causes.
    pub trace: u64,
    /// Logical id of its destination.
    pub destination: u64,
    /// Logical id of its sender.
    pub source: u64,
    /// The sender's space.
    pub space: u32,
    /// Its place in that space, for that destination.
    pub number: u64,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageStep {
    /// An agent sent it.
    Sent = 1,
    /// It waits in a queue, ring or outbox of its box.
    Queued = 2,
    /// An agent was run with it.
    Delivered = 3,
    /// It cannot run now, and was put aside.
    Parked = 4,
    /// Its destination is done with it, and its sender knows.
    Done = 5,
    /// It is a reply, and was sent.
    Replied = 6,
    /// It came to where its destination no longer lives, and goes on.
    Redirected = 7,
}

/// A frame on the network. A copy, or the same bytes sent again, is another frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Unique in the run.
    pub id: u64,
    /// Where it comes from.
    pub from: Place,
    /// Where it goes.
    pub to: Place,
    /// How long it is.
    pub bytes: u32,
    /// Hash of its bytes, so that a trace vouches for them.
    pub hash: u64,
}

/// What happened to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameStep {
    /// A driver took it.
    Out,
    /// The network lost it.
    Dropped,
    /// The network made one more.
    Duplicated,
    /// The network holds it for so many nanoseconds longer than it should.
    Delayed(u64),
    /// It arrived.
    In,
}

/// What happened to a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BoxStep {
    /// It died, and all that it had in memory.
    Crashed = 1,
    /// It was started anew.
    Restarted = 2,
    /// It stands still, and does not notice.
    Paused = 3,
    /// It goes on.
    Resumed = 4,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// To a message.
    Message {
        /// What.
        step: MessageStep,
        /// To which.
        message: Message,
    },
    /// A message of `trace` was written into a frame.
    Packed {
        /// The frame's id.
        frame: u64,
        /// What the message follows.
        trace: u64,
    },
    /// To a frame.
    Frame {
        /// What.
        step: FrameStep,
        /// To which.
        frame: Frame,
    },
    /// To the box that it happened at.
    Box {
        /// What.
        step: BoxStep,
    },
    /// Frames of one box to another stopped or began to pass.
    Partition {
        /// Whether they pass again.
        is_healed: bool,
        /// The sending box.
        from: u16,
        /// The receiving box.
        to: u16,
    },
    /// A timer fired.
    Timer {
        /// Id of its agent.
        agent: u64,
        /// Which of the agent's timers.
        timer: u64,
    },
}

/// An event, when and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Virtual nanoseconds.
    pub at: u64,
    /// Where it was seen.
    pub place: Place,
    /// What it was.
    pub event: Event,
}

const PACKED: u8 = 16;
const PARTITION_SET: u8 = 17;
const PARTITION_HEALED: u8 = 18;
const TIMER: u8 = 19;
const FRAME_OUT: u8 = 32;
const FRAME_DROPPED: u8 = 33;
const FRAME_DUPLICATED: u8 = 34;
const FRAME_DELAYED: u8 = 35;
const FRAME_IN: u8 = 36;
const MESSAGE: u8 = 48;
const BOX: u8 = 64;

/// Appends an event's bytes. `elapsed`: nanoseconds since the event before.
pub(super) fn encode(elapsed: u64, place: Place, event: &Event, into: &mut Vec<u8>) {
    let mut write = |kind: u8, numbers: &[u64]| {
        into.push(kind);
        for number in [elapsed, place.agent_box.into(), place.reactor.into()].iter().chain(numbers)
        {
            write_number(*number, into);
        }
    };
    match *event {
        Event::Message { step, message: m } => write(
            MESSAGE + step as u8,
            &[m.trace, m.destination, m.source, m.space.into(), m.number],
        ),
        Event::Packed { frame, trace } => write(PACKED, &[frame, trace]),
        Event::Frame { step, frame: f } => {
            let (kind, by) = match step {
                FrameStep::Out => (FRAME_OUT, 0),
                FrameStep::Dropped => (FRAME_DROPPED, 0),
                FrameStep::Duplicated => (FRAME_DUPLICATED, 0),
                FrameStep::Delayed(by) => (FRAME_DELAYED, by),
                FrameStep::In => (FRAME_IN, 0),
            };
            let ends =
                [f.from, f.to].map(|end| u64::from(end.agent_box) << 8 | u64::from(end.reactor));
            write(kind, &[by, f.id, ends[0], ends[1], f.bytes.into(), f.hash]);
        }
        Event::Box { step } => write(BOX + step as u8, &[]),
        Event::Partition { is_healed, from, to } => {
            let kind = if is_healed { PARTITION_HEALED } else { PARTITION_SET };
            write(kind, &[from.into(), to.into()]);
        }
        Event::Timer { agent, timer } => write(TIMER, &[agent, timer]),
    }
}

/// Takes an event from the front of `from`. `last_at`: when the event before was. `None` when `from`
/// does not begin with one.
pub(super) fn decode(from: &mut &[u8], last_at: u64) -> Option<Record> {
    let kind = read_byte(from)?;
    let at = last_at.checked_add(read_number(from)?)?;
    let place = Place { agent_box: read(from)?, reactor: read(from)? };
    let event = match kind {
        PACKED => Event::Packed { frame: read_number(from)?, trace: read_number(from)? },
        PARTITION_SET | PARTITION_HEALED => Event::Partition {
            is_healed: kind == PARTITION_HEALED,
            from: read(from)?,
            to: read(from)?,
        },
        TIMER => Event::Timer { agent: read_number(from)?, timer: read_number(from)? },
        FRAME_OUT..=FRAME_IN => {
            let by = read_number(from)?;
            let step = match kind {
                FRAME_OUT => FrameStep::Out,
                FRAME_DROPPED => FrameStep::Dropped,
                FRAME_DUPLICATED => FrameStep::Duplicated,
                FRAME_DELAYED => FrameStep::Delayed(by),
                _ => FrameStep::In,
            };
            Event::Frame { step, frame: decode_frame(from)? }
        }
        _ => match (message_step(kind.wrapping_sub(MESSAGE)), box_step(kind.wrapping_sub(BOX))) {
            (Some(step), _) => Event::Message { step, message: decode_message(from)? },
            (None, Some(step)) => Event::Box { step },
            (None, None) => return None,
        },
    };
    Some(Record { at, place, event })
}

fn message_step(code: u8) -> Option<MessageStep> {
    use MessageStep::*;
    let steps = [Sent, Queued, Delivered, Parked, Done, Replied, Redirected];
    steps.into_iter().find(|step| *step as u8 == code)
}

fn box_step(code: u8) -> Option<BoxStep> {
    use BoxStep::*;
    [Crashed, Restarted, Paused, Resumed].into_iter().find(|step| *step as u8 == code)
}

fn decode_frame(from: &mut &[u8]) -> Option<Frame> {
    let id = read_number(from)?;
    let mut end = || {
        let end: u32 = read(from)?;
        Some(Place { agent_box: u16::try_from(end >> 8).ok()?, reactor: end as u8 })
    };
    let (start, to) = (end()?, end()?);
    Some(Frame { id, from: start, to, bytes: read(from)?, hash: read_number(from)? })
}

fn decode_message(from: &mut &[u8]) -> Option<Message> {
    Some(Message {
        trace: read_number(from)?,
        destination: read_number(from)?,
        source: read_number(from)?,
        space: read(from)?,
        number: read_number(from)?,
    })
}

fn write_number(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn read_byte(from: &mut &[u8]) -> Option<u8> {
    let (first, rest) = from.split_first()?;
    *from = rest;
    Some(*first)
}

fn read_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = read_byte(from)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read<T: TryFrom<u64>>(from: &mut &[u8]) -> Option<T> {
    T::try_from(read_number(from)?).ok()
}

/// `1.5 ms` reads well and compares badly: nanoseconds, in groups of three.
fn write_time(at: u64, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = at.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    write!(out, "{text:>15}")
}

/// One line: virtual nanoseconds, place, event.
impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_time(self.at, out)?;
        write!(out, "  {:<6} {}", self.place.to_string(), self.event)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Message { step, message } => {
                let step = format!("{step:?}").to_lowercase();
                write!(out, "{step:<11} {message}")
            }
            Event::Packed { frame, trace } => {
                write!(out, "{:<11} trace {trace:x} into frame {frame}", "packed")
            }
            Event::Frame { step, frame } => match step {
                FrameStep::Out => write!(out, "{:<11} {frame}", "frame out"),
                FrameStep::Dropped => write!(out, "{:<11} {frame}", "dropped"),
                FrameStep::Duplicated => write!(out, "{:<11} {frame}", "duplicated"),
                FrameStep::Delayed(by) => write!(out, "{:<11} {frame} by {by} ns", "delayed"),
                FrameStep::In => write!(out, "{:<11} {frame}", "frame in"),
            },
            Event::Box { step } => write!(out, "box {}", format!("{step:?}").to_lowercase()),
            Event::Partition { is_healed, from, to } => {
                let what = if *is_healed { "healed" } else { "set" };
                write!(out, "partition {what}, box {from} to {to}")
            }
            Event::Timer { agent, timer } => {
                write!(out, "{:<11} {timer} of {agent:016x}", "timer")
            }
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { trace, destination, source, space, number } = self;
        write!(out, "{source:016x}/{space}#{number} to {destination:016x}, trace {trace:x}")
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { id, from, to, bytes, hash } = self;
        write!(out, "frame {id}, {from} to {to}, {bytes} bytes, hash {hash:016x}")
    }
}
