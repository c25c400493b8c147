//! What a link hands to its caller: events, arrivals, counters.

use crate::frame::Frame;
use crate::wire::link::LinkHeader;
use crate::wire::record::Records;

/// A message that was not done when its session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// Conversation that it was closed with.
    pub conversation: u32,
    /// Number that it was closed with.
    pub number: u64,
    /// Header and all behind it.
    pub record: Vec<u8>,
}

/// A message, as both ends' callers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Logical id of its sender.
    pub source: u64,
    /// Its sender's space.
    pub space: u32,
    /// Id of its destination.
    pub destination: u64,
    /// Its number.
    pub number: u64,
}

/// What a link tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A session stands and both schema tables are known: [`super::Link::open`] may succeed.
    Opened,
    /// Messages `first..first + count` of a conversation are done.
    Done {
        /// Conversation that they were closed with.
        conversation: u32,
        /// The lowest number.
        first: u64,
        /// How many.
        count: u32,
    },
    /// The message has left its frame and belongs to the caller's outbox now. It reached the peer:
    /// [`LinkEvent::SettledByName`] or [`LinkEvent::Done`] will follow, or came before.
    Parked {
        /// Conversation that it was closed with.
        conversation: u32,
        /// Number that it was closed with.
        number: u64,
        /// Header and all behind it.
        record: Vec<u8>,
    },
    /// Messages that had been parked at the peer are done there, or never will be. May come twice.
    SettledByName {
        /// The first of them.
        name: Named,
        /// How many, with consecutive numbers that fit. What the peer says: it is not compared with
        /// anything.
        count: u32,
        /// 0: done. Otherwise what the peer's caller gave.
        outcome: u32,
    },
    /// A large message came, whole. To its sender it is parked: name it when it is done.
    Large {
        /// Header and all behind it.
        record: Vec<u8>,
    },
    /// The peer started again, or lost the session. What was parked before is to be sent again too.
    Broken {
        /// What the link held, to be sent again under its old name.
        undone: Vec<Undone>,
        /// The peer is another process than before: that one and all that it knew is no more.
        is_other: bool,
    },
}

/// Counted since the link was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets sent again.
    pub repeated: u64,
    /// Those of them that went out in another frame, because the driver still held the first.
    pub repeated_copied: u64,
    /// Repeats that waited because the driver still held the frame: it is to be asked for
    /// completions ([`crate::driver::Driver::reclaim`]).
    pub repeats_held: u64,
    /// Frames of the control lane.
    pub control_frames: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Frames that were not sent, because there was none to seal them into; they are repeated.
    pub unsealed: u64,
}

/// A packet in the caller's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketId {
    pub(super) session: u32,
    pub(super) number: u64,
}

/// A frame that was received.
#[derive(Debug)]
pub struct Arrival {
    /// The whole payload, on loan.
    pub frame: Frame,
    /// To be given to [`super::Link::finish`] when all messages are done or parked. None: there is
    /// no message.
    pub packet: Option<PacketId>,
}

impl Arrival {
    /// What stands in it.
    #[inline]
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.frame[LinkHeader::BYTES..])
    }
}
