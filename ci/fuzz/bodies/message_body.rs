//! Any bytes as a message's body: refused, or every field can be read, the owned copy falls on the same
//! point, and what it is encoded to is read as the same message.
//! Input: 1 byte message type, then the archive, root last.

use std::fmt::Debug;

use daedal_model::control::{
    FromController, FromManager, FromPort, Hosting, ToController, ToManager, ToPort,
};
use daedal_model::encode::{Body, Encoder, encode_to_vec};
use daedal_model::message;
use daedal_model::message::Message;

/// One of everything that a message may hold.
#[message(crate = daedal_model)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Everything {
    /// By hash, in a nested enum, behind lists and options.
    Put {
        /// Point by hash.
        #[point]
        key: String,
        /// Plain bytes.
        value: Vec<u8>,
        /// Nested.
        part: Option<Part>,
    },
    /// By prefix.
    Scan {
        /// Point by prefix.
        #[point(prefix)]
        from: Vec<u8>,
        /// All sizes of number.
        limits: (u8, u16, u32, u64),
        /// And signed.
        offsets: (i8, i16, i32, i64),
    },
    /// Lists of lists, tuples and arrays.
    Lists(#[point] [u8; 5], Vec<Vec<String>>, Vec<(bool, Part)>, Option<Vec<Option<u32>>>),
    /// To all.
    #[broadcast]
    Size,
}

/// An enum inside an enum.
#[message(crate = daedal_model)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Empty,
    /// Text.
    Text(String),
    /// An element without a size beside others.
    Pair((), Option<(String, Vec<i64>)>),
}

/// A struct, whose only check is that of its fields.
#[message(crate = daedal_model)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Only 0 and 1 are booleans.
    #[point]
    pub is_set: bool,
    /// Inside an option too.
    pub maybe: Option<bool>,
    /// And inside a list.
    pub all: Vec<bool>,
}

fn check<M: Message + Body<Message = M> + Debug + PartialEq>(bytes: &[u8]) {
    let Ok(archived) = M::access(bytes) else { return };
    let (shown, point) = (format!("{archived:?}"), M::point_of(archived));
    let owned = M::owned(archived);
    assert_eq!(owned.point(), point);
    assert_eq!(owned.is_broadcast(), <M as Message>::is_broadcast(archived));
    if M::KEYED {
        assert_eq!(point.is_none(), owned.is_broadcast());
    }
    let again = encode_to_vec(&owned);
    let archived = M::access(&again).expect("what was encoded here is valid");
    assert_eq!((format!("{archived:?}"), M::point_of(archived)), (shown, point));
    assert_eq!(M::owned(archived), owned);
    // In place it is written alike, where it fits.
    let mut place = vec![0; again.len()];
    let mut encoder = Encoder::new(&mut place);
    if owned.encode(&mut encoder).is_ok() {
        assert_eq!((encoder.written().len(), &place), (again.len(), &again));
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let [kind, bytes @ ..] = data else { return };
    match kind {
        0 => check::<Everything>(bytes),
        1 => check::<Part>(bytes),
        2 => check::<Flags>(bytes),
        3 => check::<Hosting>(bytes),
        4 => check::<ToController>(bytes),
        5 => check::<FromController>(bytes),
        6 => check::<ToManager>(bytes),
        7 => check::<FromManager>(bytes),
        8 => check::<ToPort>(bytes),
        9 => check::<FromPort>(bytes),
        10 => check::<String>(bytes),
        11 => check::<Vec<(u32, String)>>(bytes),
        12 => check::<Option<Vec<u64>>>(bytes),
        13 => check::<[u8; 7]>(bytes),
        _ => {}
    }
}
