//! Every bound of the wire and of a link, with its reason. What is a setting has its default here.

use crate::wire::message::MessageHeader;

/// Records start at multiples of this, in bytes: archives are read fastest where they are aligned.
pub const RECORD_ALIGN: usize = 16;

/// Smallest datagram payload a link works with, in bytes: a status with both windows full, one
/// message header with both extensions, and the link header, rounded up.
pub const PAYLOAD_BYTES_MIN: usize = 512;

/// Largest datagram payload, in bytes: a UDP datagram's, rounded down to [`RECORD_ALIGN`].
pub const PAYLOAD_BYTES_MAX: usize = 65_504;

/// Largest message: a body of 16 MiB (Redis's largest value here) and 64 KiB of what wraps it.
pub const LARGE_BYTES_MAX: usize = (16 << 20) + (64 << 10);

/// Large messages of one direction of a link that may be under way at once: as many as the default credit has
/// frames, so that those of a few frames go as fast as small ones.
pub const LARGE_AT_ONCE: usize = 256;

/// Bytes that they may have together, headers among them: four of the largest. A receiver's memory for half-assembled
/// ones; the pages are touched as segments come.
pub const LARGE_BYTES_AT_ONCE: usize = 4 * (MessageHeader::BYTES + LARGE_BYTES_MAX);

/// Large messages whose segments are sent in turn, so that a shorter one does not wait for a longer one; and no
/// more, so that the first is whole before the last is begun.
pub const LARGE_IN_TURN: usize = 4;

/// Bytes of large messages from which on no more than [`LARGE_IN_TURN`] wait to be cut: what a core's own cache holds
/// beside the frames that they are cut into, so that they are cut where they were written lately.
pub const LARGE_BYTES_UNCUT: usize = 256 << 10;

/// Frames of segments that one flush starts beside small messages: so much may stand before one of the next
/// turn, about 10 µs at 10 Gbit/s.
pub const LARGE_FRAMES_BESIDE: usize = 8;

/// And where there are none: one train of the kernel's, under 64 KiB.
pub const LARGE_FRAMES_ALONE: usize = 44;

/// For how long no small message has gone where there are none, nanoseconds: many turns, and many round trips
/// within a rack.
pub const LARGE_ALONE_NS: u64 = 1_000_000;

/// Packets between the lowest that is not done and the highest sent: the receiver's window of
/// duplicates is three bits for each. Four times the default credit: one packet that is kept for
/// long does not stop those behind it.
pub const SPAN_PACKETS: u64 = 1024;

/// Frames that the peer may have with us, received or on the way, before it waits: default. At
/// 1,472 bytes this is 376 KB, the product of 10 Gbit/s and 300 µs.
pub const CREDIT_FRAMES: u32 = 256;

/// How long packets may wait in the network before their link slows down, nanoseconds: default. About what
/// a message takes over a network by kernel sockets, so that a small one beside large ones comes in
/// less than three times the time.
pub const QUEUE_NS: u64 = 100_000;

/// Packets beyond the credit that carry notices alone: they return frames, so they never wait for
/// any.
pub const NOTICE_PACKETS: u64 = 2;

/// Packets of one session: their numbers have 48 bits, which last for 650 days at 5 million a second. The
/// last ones are left, so that notices, which need no credit, do not pass the end.
pub const SESSION_PACKETS: u64 = (1 << 48) - 1 - NOTICE_PACKETS;

/// Packets before the end of a session that a link asks for a new one: three seconds at 5 million a second.
pub const RENEWAL_PACKETS: u64 = 1 << 24;

/// Packets of one lane that are sealed with one key. AES-GCM shows the plaintext of nobody before some 2^23
/// packets of a frame's size: RFC 9001 §6.6 and appendix B.
pub const KEY_PACKETS: u64 = 1 << 22;

/// Frames that a secured link keeps to seal into, when its pool is empty: as many as are for control, and one.
pub const SEAL_FRAMES: usize = CONTROL_FRAMES + 1;

/// Frames that a link keeps for control, when its pool is empty: greeting, status, and one in the
/// driver's hands.
pub const CONTROL_FRAMES: usize = 3;

/// Entries of a schema table: a message's kind has 16 bits.
pub const SCHEMAS_MAX: usize = 1 << 16;

/// A packet is lost once this many later ones were received: RFC 9002 §6.1.1.
pub const REORDER_PACKETS: u64 = 3;

/// Packets repeated by one flush, so that a turn stays short; the rest follow in the next.
pub const REPEATS_PER_FLUSH: usize = 64;

/// Time before a first repeat while no round trip was measured, nanoseconds: a wake-up of a parked
/// reactor on a busy host, tenfold.
pub const TIMEOUT_NS_FIRST: u64 = 50_000_000;

/// Shortest time before a repeat, nanoseconds: default. Above the time slice of a busy host, so
/// that a descheduled peer is not taken for loss.
pub const TIMEOUT_NS_MIN: u64 = 5_000_000;

/// Longest time before a repeat, nanoseconds: how late a link notices that its peer is back.
pub const TIMEOUT_NS_MAX: u64 = 1_000_000_000;

/// Repeats in a row without any answer before a greeting goes along: the peer may have forgotten
/// us.
pub const REPEATS_BEFORE_HELLO: u32 = 3;

/// How long a peer may be silent, in nanoseconds, while the caller waits for it and nothing else is under
/// way: a second of not knowing that it started again, for a frame a second.
pub const WATCH_NS: u64 = 1_000_000_000;
