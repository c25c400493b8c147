//! The small numbers that everything is known by. Words and rules: Ovid §5, Escher §2.1.

use std::fmt;

use xxhash_rust::const_xxh3::xxh3_64;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    };
}

/// Hash of an agent's path: *logical* without versions and incarnations, *physical* with them.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub u64);

impl AgentId {
    /// The id of a path, which is taken as it is written. Usable in constants.
    pub const fn of(path: &str) -> AgentId {
        AgentId(xxh3_64(path.as_bytes()))
    }
}

impl From<&str> for AgentId {
    fn from(path: &str) -> AgentId {
        AgentId(xxhash_rust::xxh3::xxh3_64(path.as_bytes()))
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

number!(
    /// Tells apart senders that share a logical source: shards, copies, incarnations. Given out by the
    /// controller, unique in the system, never reused.
    Space(u32)
);
number!(
    /// Place of a message among those of one (source, space) for one logical destination: a lane, see
    /// [`Number::lane`], and a count from 0.
    Number(u64)
);
number!(
    /// Version of a route. Grows.
    Epoch(u32)
);
number!(
    /// A box of the system. 0 is the controller's.
    BoxId(u16)
);
number!(
    /// Routing key of a message: where it falls among the shards of its destination.
    Point(u64)
);
number!(
    /// Nanoseconds since 1970: the stamp of the message in hand.
    Stamp(u64)
);
number!(
    /// Follows a message and everything that it causes. 0: not followed.
    Trace(u64)
);

impl Number {
    /// Bits of a number below its lane.
    pub const LANE_SHIFT: u32 = 48;

    /// The lane of a number. Messages to different children of a destination are numbered apart, so that
    /// one that is away does not use up the window of the others.
    pub const fn lane(self) -> u16 {
        (self.0 >> Number::LANE_SHIFT) as u16
    }

    /// The first number of a lane.
    pub const fn first_of(lane: u16) -> Number {
        Number((lane as u64) << Number::LANE_SHIFT)
    }
}

/// One reactor of one box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReactorAddress {
    /// The box.
    pub agent_box: BoxId,
    /// Which of its reactors.
    pub reactor: u8,
}

impl fmt::Display for ReactorAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.agent_box, self.reactor)
    }
}

/// How a message is known: Escher §2.1. With its logical destination it is unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Logical id of the sender, as the destination sees it.
    pub source: AgentId,
    /// Which of the sender's children, copies or incarnations.
    pub space: Space,
    /// Place among the messages of (source, space) for one destination.
    pub number: Number,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_in_a_constant_and_at_run_time() {
        const KVS: AgentId = AgentId::of("kvs");
        for path in ["", "kvs", "kvs/shard1:2", &"x".repeat(300)] {
            assert_eq!(AgentId::of(path), AgentId::from(path));
        }
        assert_eq!(AgentId::from("kvs"), KVS);
    }
}
