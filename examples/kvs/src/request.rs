//! What the gateway asks the key-value agent, and what it answers: one variant per meaning, not per
//! command name. `RequestRef` and `ReplyRef`, their borrowed twins, are written without a copy.
//!
//! Times travel as the client gave them: a relative one starts at the stamp of the request, at the
//! agent.

#![expect(missing_docs, reason = "the variants of a request are the commands of the same name")]

use daedal::message;
use daedal::model::message::Wire;

/// A request. Those with a key go to the shard that owns its point, the others to every shard.
#[message]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Set {
        #[point]
        key: Vec<u8>,
        value: Vec<u8>,
        #[copy]
        condition: Condition,
        #[copy]
        expiry: Expiry,
        return_old: bool,
    },
    Get {
        #[point]
        key: Vec<u8>,
    },
    GetDel {
        #[point]
        key: Vec<u8>,
    },
    Del {
        #[point]
        key: Vec<u8>,
    },
    Exists {
        #[point]
        key: Vec<u8>,
    },
    Increment {
        #[point]
        key: Vec<u8>,
        by: i64,
    },
    Append {
        #[point]
        key: Vec<u8>,
        suffix: Vec<u8>,
    },
    StrLen {
        #[point]
        key: Vec<u8>,
    },
    Expire {
        #[point]
        key: Vec<u8>,
        after_ms: i64,
        #[copy]
        condition: ExpireCondition,
    },
    TimeToLive {
        #[point]
        key: Vec<u8>,
        #[copy]
        unit: TimeUnit,
    },
    Persist {
        #[point]
        key: Vec<u8>,
    },
    Type {
        #[point]
        key: Vec<u8>,
    },
    #[broadcast]
    DbSize,
    #[broadcast]
    FlushAll,
    #[broadcast]
    Keys { pattern: Vec<u8> },
    #[broadcast]
    Scan { cursor: u64, pattern: Option<Vec<u8>>, count: u64, kind: Option<Vec<u8>> },
    /// The agent to itself: look for keys that expired, from this point on. Not answered.
    #[broadcast]
    Reclaim { from: u64 },
}

/// When SET stores.
#[message]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// NX.
    IfAbsent,
    /// XX.
    IfPresent,
}

/// How long what SET stores is to live.
#[message]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Until it is removed.
    #[default]
    Never,
    /// KEEPTTL: as long as the value before it would have.
    Keep,
    /// EX, PX: milliseconds from the request's stamp.
    AfterMs(u64),
    /// EXAT, PXAT: milliseconds since 1970.
    AtMs(u64),
}

/// When EXPIRE changes a deadline.
#[message]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpireCondition {
    /// Always.
    #[default]
    Always,
    /// NX: when there is none.
    IfNone,
    /// XX: when there is one.
    IfSome,
    /// GT: when the new one is later; none counts as never.
    IfLater,
    /// LT: when the new one is earlier; none counts as never.
    IfEarlier,
    /// XX LT: when there is one, and the new one is earlier.
    IfSomeAndEarlier,
}

/// What TTL or PTTL answers in.
#[message]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// TTL: rounded to the nearest.
    Seconds,
    /// PTTL.
    Milliseconds,
}

/// The answer to a request.
#[message]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing is there, or nothing was done.
    Nil,
    /// Done.
    Ok,
    /// A count, a length, a number.
    Integer(i64),
    /// A value.
    Bulk(Vec<u8>),
    /// A word of the protocol, without CR or LF.
    Text(String),
    /// Keys, in no order that the client may rely on.
    Bulks(Vec<Vec<u8>>),
    /// Keys from the cursor asked for up to `cursor`, which is 0 when none are left.
    ScanPage {
        /// The first point that is not covered yet.
        cursor: u64,
        /// The keys found.
        keys: Vec<Vec<u8>>,
    },
    /// A refusal: Redis's error code and text.
    Error(String),
}

impl<'a> RequestRef<'a> {
    /// The key whose shard answers; `None` when every shard does.
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            RequestRef::Set { key, .. }
            | RequestRef::Get { key }
            | RequestRef::GetDel { key }
            | RequestRef::Del { key }
            | RequestRef::Exists { key }
            | RequestRef::Increment { key, .. }
            | RequestRef::Append { key, .. }
            | RequestRef::StrLen { key }
            | RequestRef::Expire { key, .. }
            | RequestRef::TimeToLive { key, .. }
            | RequestRef::Persist { key }
            | RequestRef::Type { key } => Some(key),
            RequestRef::DbSize
            | RequestRef::FlushAll
            | RequestRef::Keys { .. }
            | RequestRef::Scan { .. }
            | RequestRef::Reclaim { .. } => None,
        }
    }
}

impl ArchivedRequest {
    /// The same request, lent out of the archive: nothing is copied but numbers.
    #[inline]
    pub fn lend(&self) -> RequestRef<'_> {
        match self {
            ArchivedRequest::Set { key, value, condition, expiry, return_old } => RequestRef::Set {
                key,
                value,
                condition: Condition::owned(condition),
                expiry: Expiry::owned(expiry),
                return_old: *return_old,
            },
            ArchivedRequest::Get { key } => RequestRef::Get { key },
            ArchivedRequest::GetDel { key } => RequestRef::GetDel { key },
            ArchivedRequest::Del { key } => RequestRef::Del { key },
            ArchivedRequest::Exists { key } => RequestRef::Exists { key },
            ArchivedRequest::Increment { key, by } => {
                RequestRef::Increment { key, by: by.to_native() }
            }
            ArchivedRequest::Append { key, suffix } => RequestRef::Append { key, suffix },
            ArchivedRequest::StrLen { key } => RequestRef::StrLen { key },
            ArchivedRequest::Expire { key, after_ms, condition } => RequestRef::Expire {
                key,
                after_ms: after_ms.to_native(),
                condition: ExpireCondition::owned(condition),
            },
            ArchivedRequest::TimeToLive { key, unit } => {
                RequestRef::TimeToLive { key, unit: TimeUnit::owned(unit) }
            }
            ArchivedRequest::Persist { key } => RequestRef::Persist { key },
            ArchivedRequest::Type { key } => RequestRef::Type { key },
            ArchivedRequest::DbSize => RequestRef::DbSize,
            ArchivedRequest::FlushAll => RequestRef::FlushAll,
            ArchivedRequest::Keys { pattern } => RequestRef::Keys { pattern },
            ArchivedRequest::Scan { cursor, pattern, count, kind } => RequestRef::Scan {
                cursor: cursor.to_native(),
                pattern: pattern.as_ref().map(|pattern| pattern.as_slice()),
                count: count.to_native(),
                kind: kind.as_ref().map(|kind| kind.as_slice()),
            },
            ArchivedRequest::Reclaim { from } => RequestRef::Reclaim { from: from.to_native() },
        }
    }
}

impl ArchivedReply {
    /// Reads the reply where it lies. Lists of keys are copied first; nothing else is.
    #[inline]
    pub fn read<R>(&self, read: impl FnOnce(&ReplyRef<'_>) -> R) -> R {
        match self {
            ArchivedReply::Nil => read(&ReplyRef::Nil),
            ArchivedReply::Ok => read(&ReplyRef::Ok),
            ArchivedReply::Integer(number) => read(&ReplyRef::Integer(number.to_native())),
            ArchivedReply::Bulk(bytes) => read(&ReplyRef::Bulk(bytes)),
            ArchivedReply::Text(text) => read(&ReplyRef::Text(text)),
            ArchivedReply::Error(text) => read(&ReplyRef::Error(text)),
            ArchivedReply::Bulks(_) | ArchivedReply::ScanPage { .. } => {
                read(&Reply::owned(self).borrowed())
            }
        }
    }
}

impl ReplyRef<'_> {
    /// The same reply, owned.
    pub fn to_reply(&self) -> Reply {
        match *self {
            ReplyRef::Nil => Reply::Nil,
            ReplyRef::Ok => Reply::Ok,
            ReplyRef::Integer(number) => Reply::Integer(number),
            ReplyRef::Bulk(bytes) => Reply::Bulk(bytes.to_vec()),
            ReplyRef::Text(text) => Reply::Text(text.to_owned()),
            ReplyRef::Bulks(keys) => Reply::Bulks(keys.to_vec()),
            ReplyRef::ScanPage { cursor, keys } => Reply::ScanPage { cursor, keys: keys.to_vec() },
            ReplyRef::Error(text) => Reply::Error(text.to_owned()),
        }
    }
}

impl Reply {
    /// The same reply, borrowed.
    pub fn borrowed(&self) -> ReplyRef<'_> {
        match self {
            Reply::Nil => ReplyRef::Nil,
            Reply::Ok => ReplyRef::Ok,
            Reply::Integer(number) => ReplyRef::Integer(*number),
            Reply::Bulk(bytes) => ReplyRef::Bulk(bytes),
            Reply::Text(text) => ReplyRef::Text(text),
            Reply::Bulks(keys) => ReplyRef::Bulks(keys),
            Reply::ScanPage { cursor, keys } => ReplyRef::ScanPage { cursor: *cursor, keys },
            Reply::Error(text) => ReplyRef::Error(text),
        }
    }
}
