//! Why a frame was dropped: one byte on the data path, one counter each, and a sentence for people.
//!
//! Invariant: input that is malformed ends here as a value; nothing that a peer sends panics.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a frame, or a part of one, was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $name = $number,)* }

        impl DropReason {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)*];

            fn text(self) -> &'static str {
                match self { $(DropReason::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// A header or record is announced that the bytes do not hold.
    TooShort = 0, "frame ends inside a header or record";
    /// Link header of another version of the wire.
    BadVersion = 1, "link header has another wire version; run the same release on both sides";
    /// The frame comes from, or is meant for, another reactor than this link's.
    WrongEndpoint = 2, "frame belongs to another link; look at its driver's steering";
    /// The frame belongs to no session of this link: its peer, or we, started again.
    UnknownSession = 3, "frame of an unknown session; expected after a restart";
    /// A greeting that answers nothing we asked.
    StaleHello = 4, "greeting echoes a nonce that is not ours; expected after a restart";
    /// Archives are written in another format there.
    BadFormat = 5, "peer archives messages in another format; run the same release on both sides";
    /// A control record that is unknown, or not of its kind's shape.
    BadControl = 6, "control record is malformed";
    /// A message whose extensions, steps and length contradict each other.
    BadMessage = 7, "message header contradicts the message's length";
    /// A message came before the table that its kind indexes.
    NoSchemas = 8, "message came before its sender's schema table";
    /// The packet was received before.
    Duplicate = 9, "packet was received before";
    /// The packet number is further ahead than any sender may be.
    OutOfWindow = 10, "packet number is ahead of the window";
    /// A large message is larger than the limit.
    LargeTooLong = 11, "large message is longer than the limit";
    /// More large messages at once than the limit; its sender tries again.
    LargeTooMany = 12, "too many half-assembled large messages";
    /// A segment lies outside its message, or contradicts its earlier segments.
    BadSegment = 13, "segment contradicts its large message";
    /// This end has a secret, and the frame is not sealed.
    NotSealed = 14, "frame is not sealed; give every box of the system the same secret_file";
    /// The frame is sealed, and this end has no secret.
    Sealed = 15, "frame is sealed and this box has no secret; give it the system's secret_file";
    /// The frame was sealed with another secret, or changed on its way.
    BadSeal = 16, "seal does not fit: another secret_file, or a frame that was changed on its way";
    /// A sealed frame came in a buffer that others hold, and there was none to open it in.
    NoFrame = 17, "no free frame to open a sealed one in; its sender repeats it";
}

impl fmt::Display for DropReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text())
    }
}

impl std::error::Error for DropReason {}

/// One counter for each [`DropReason`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Counts one drop.
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, others: &Drops) {
        self.0.iter_mut().zip(others.0).for_each(|(count, other)| *count += other);
    }

    /// How many drops there were for `reason`.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Every reason that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|reason| (*reason, self.of(*reason))).filter(|(_, n)| *n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_the_counter_of_its_number() {
        let mut drops = Drops::default();
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            drops.count(*reason);
            assert_eq!(drops.of(*reason), 1);
            assert!(!reason.to_string().is_empty());
        }
        assert_eq!(drops.iter().count(), DropReason::ALL.len());
    }
}
