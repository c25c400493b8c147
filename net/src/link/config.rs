//! What a link is made from.

use std::rc::Rc;

use super::guard::Secret;
use crate::limits;

/// One reactor of one box: an end of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The box.
    pub agent_box: u16,
    /// Which of its reactors.
    pub reactor: u8,
}

/// One entry of a schema table: what a message's `kind` stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schema {
    /// Hash of the schema.
    pub hash: u64,
    /// Its version.
    pub version: u16,
}

/// What may be set; the defaults are those of [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLimits {
    /// Packets that the peer may have with us before it waits. At least 1.
    pub credit_frames: u32,
    /// How long packets may wait in the network, nanoseconds, before the link slows down; what the way
    /// itself takes does not count.
    pub queue_ns: u64,
    /// Shortest time before a repeat, nanoseconds.
    pub timeout_ns_min: u64,
    /// Longest time before a repeat, nanoseconds.
    pub timeout_ns_max: u64,
}

impl Default for LinkLimits {
    fn default() -> LinkLimits {
        LinkLimits {
            credit_frames: limits::CREDIT_FRAMES,
            queue_ns: limits::QUEUE_NS,
            timeout_ns_min: limits::TIMEOUT_NS_MIN,
            timeout_ns_max: limits::TIMEOUT_NS_MAX,
        }
    }
}

/// What a link is made from.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// This end.
    pub local: Endpoint,
    /// The other end; not the same.
    pub peer: Endpoint,
    /// Largest datagram payload, in bytes, that our driver carries: a multiple of 16 within
    /// [`limits::PAYLOAD_BYTES_MIN`] and [`limits::PAYLOAD_BYTES_MAX`].
    pub payload_bytes_max: usize,
    /// Our schema table, at most [`limits::SCHEMAS_MAX`].
    pub schemas: Rc<[Schema]>,
    /// Fresh and random for each link that is made.
    pub nonce: u64,
    /// The same for all links of a reactor as long as its process lives, or, of a guest's, until it has given up
    /// what it sent to the peer; no later process has it.
    pub life: u64,
    /// Settings.
    pub limits: LinkLimits,
    /// What frames are sealed with. The peer has the same, or both have none.
    pub secret: Option<Secret>,
}
