//! The key-value agent: one shard's keys, and what each request does to them.
//!
//! A pure function of state, request and stamp: it reads no clock and gives the same answers from the
//! same inputs (so it can be replicated and replayed). It knows no shard, no connection.
//!
//! Invariants: every key of `deadlines` is one of `values`; both stand in order of (point, key), so that
//! a range of points is a range of the maps and SCAN's cursor is a point; a key whose deadline lies
//! before the stamp is answered as absent, whether or not it was removed yet.

use daedal::model::point::{Point, PointRange};
use daedal::model::state::PointMap;
use daedal::state;

use crate::glob;
use crate::limits::{
    KEYS_BYTES_MAX, RECLAIM_KEYS, SCAN_COUNT_MAX, SCAN_PAGE_BYTES, VALUE_BYTES_MAX,
};
use crate::number::{parse_i64, write_i64};
use crate::request::{Condition, ExpireCondition, Expiry, Reply, ReplyRef, RequestRef, TimeUnit};

mod agent;
#[cfg(test)]
mod tests;

const NS_PER_MS: u64 = 1_000_000;

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const OVERFLOW: &str = "ERR increment or decrement would overflow";
const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
const TOO_MANY_KEYS: &str = "ERR the keys do not fit one answer, use SCAN";

/// The state: every key with its value, and the deadlines of those that have one.
#[state]
#[derive(Clone, Debug, Default)]
pub struct KeyValue {
    #[keyed]
    values: PointMap<Vec<u8>, Vec<u8>>,
    /// The last millisecond since 1970 in which the key is there.
    #[keyed]
    deadlines: PointMap<Vec<u8>, u64>,
    /// [`Request::Reclaim`](crate::request::Request)s on their way to itself: none or one.
    #[combine(sum)]
    reclaims: u64,
}

impl KeyValue {
    /// Applies `request` at the stamp `now_ns`, nanoseconds since 1970, and hands the answer to
    /// `reply` while it still lies in the state: GET copies nothing and allocates nothing.
    pub fn apply<R>(
        &mut self,
        request: &RequestRef<'_>,
        now_ns: u64,
        reply: impl FnOnce(&ReplyRef<'_>) -> R,
    ) -> R {
        let now = now_ns / NS_PER_MS;
        match *request {
            RequestRef::Get { key } => match self.live(key, now) {
                Some(value) => reply(&ReplyRef::Bulk(value)),
                None => reply(&ReplyRef::Nil),
            },
            RequestRef::Set { key, value, condition, expiry, return_old } => {
                let (stored, old) = self.set(key, value, (condition, expiry), return_old, now);
                match old {
                    Some(old) => reply(&ReplyRef::Bulk(&old)),
                    None if stored && !return_old => reply(&ReplyRef::Ok),
                    None => reply(&ReplyRef::Nil),
                }
            }
            RequestRef::GetDel { key } => match self.remove(key, now) {
                Some(value) => reply(&ReplyRef::Bulk(&value)),
                None => reply(&ReplyRef::Nil),
            },
            RequestRef::Del { key } => reply(&count(self.remove(key, now).is_some())),
            RequestRef::Exists { key } => reply(&count(self.live(key, now).is_some())),
            RequestRef::Increment { key, by } => reply(&self.increment(key, by, now)),
            RequestRef::Append { key, suffix } => reply(&self.append(key, suffix, now)),
            RequestRef::StrLen { key } => {
                let bytes = self.live(key, now).map_or(0, Vec::len);
                reply(&ReplyRef::Integer(bytes as i64))
            }
            RequestRef::Expire { key, after_ms, condition } => {
                reply(&count(self.expire(key, after_ms, condition, now)))
            }
            RequestRef::TimeToLive { key, unit } => {
                reply(&ReplyRef::Integer(self.time_to_live(key, unit, now)))
            }
            RequestRef::Persist { key } => {
                let live = self.live(key, now).is_some();
                reply(&count(live && self.deadlines.remove(key).is_some()))
            }
            RequestRef::Type { key } => {
                let there = self.live(key, now).is_some();
                reply(&ReplyRef::Text(if there { "string" } else { "none" }))
            }
            RequestRef::DbSize => reply(&ReplyRef::Integer(self.values.len() as i64)),
            RequestRef::FlushAll => {
                self.values.clear();
                self.deadlines.clear();
                reply(&ReplyRef::Ok)
            }
            RequestRef::Keys { pattern } => reply(&self.keys(pattern, now).borrowed()),
            RequestRef::Scan { cursor, pattern, count, kind } => {
                reply(&self.scan(cursor, pattern, count, kind, now).borrowed())
            }
            RequestRef::Reclaim { from } => {
                self.reclaim(from, now_ns, RECLAIM_KEYS);
                reply(&ReplyRef::Ok)
            }
        }
    }

    /// How many keys are held, with those that expired and were not reclaimed yet.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Removes what expired among the next `limit` keys with a deadline, or a few more, from the point
    /// `from` on; returns where to go on, 0 behind the last. Only frees memory: no answer but DBSIZE
    /// depends on it.
    pub fn reclaim(&mut self, from: u64, now_ns: u64, limit: usize) -> u64 {
        let now = now_ns / NS_PER_MS;
        let (mut expired, mut looked_at, mut last, mut next) = (Vec::new(), 0, from, 0);
        for (point, key, deadline) in self.deadlines.range(from_point(from)) {
            // The next step starts at a point, so keys that share one are looked at together.
            if looked_at >= limit && point.0 != last {
                next = point.0;
                break;
            }
            (last, looked_at) = (point.0, looked_at + 1);
            if *deadline < now {
                expired.push(key.clone());
            }
        }
        for key in &expired {
            self.values.remove(key);
            self.deadlines.remove(key);
        }
        next
    }

    /// Whether `key` is there, unless it expired.
    fn is_live(&self, key: &[u8], now: u64) -> bool {
        self.deadlines.is_empty() || self.deadlines.get(key).is_none_or(|deadline| now <= *deadline)
    }

    fn live(&self, key: &[u8], now: u64) -> Option<&Vec<u8>> {
        self.values.get(key).filter(|_| self.is_live(key, now))
    }

    fn live_mut(&mut self, key: &[u8], now: u64) -> Option<&mut Vec<u8>> {
        if self.is_live(key, now) { self.values.get_mut(key) } else { None }
    }

    fn remove(&mut self, key: &[u8], now: u64) -> Option<Vec<u8>> {
        let live = self.is_live(key, now);
        self.deadlines.remove(key);
        self.values.remove(key).filter(|_| live)
    }

    /// Puts a value where none is live.
    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.deadlines.remove(key);
        self.values.insert(key.to_vec(), value);
    }

    /// Whether `value` was stored, and the value before, if it is asked for. The common case, a key
    /// that is overwritten, takes one look-up and no allocation.
    fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        (condition, expiry): (Condition, Expiry),
        return_old: bool,
        now: u64,
    ) -> (bool, Option<Vec<u8>>) {
        let found = self.live_mut(key, now);
        let allowed = match condition {
            Condition::Always => true,
            Condition::IfAbsent => found.is_none(),
            Condition::IfPresent => found.is_some(),
        };
        if !allowed {
            return (false, found.filter(|_| return_old).map(|value| value.clone()));
        }
        let old = match found {
            Some(stored) => {
                let old = return_old.then(|| std::mem::take(stored));
                overwrite(stored, value);
                old
            }
            None => {
                self.put(key, value.to_vec());
                None
            }
        };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => {
                self.deadlines.remove(key);
            }
            Expiry::AfterMs(after) => self.set_deadline(key, now.saturating_add(after)),
            Expiry::AtMs(at) if at < now => drop(self.remove(key, now)),
            Expiry::AtMs(at) => self.set_deadline(key, at),
        }
        (true, old)
    }

    fn set_deadline(&mut self, key: &[u8], deadline_ms: u64) {
        match self.deadlines.get_mut(key) {
            Some(deadline) => *deadline = deadline_ms,
            None => drop(self.deadlines.insert(key.to_vec(), deadline_ms)),
        }
    }

    fn increment(&mut self, key: &[u8], by: i64, now: u64) -> ReplyRef<'static> {
        let found = self.live_mut(key, now);
        let Some(number) = found.as_ref().map_or(Some(0), |value| parse_i64(value)) else {
            return ReplyRef::Error(NOT_AN_INTEGER);
        };
        let Some(sum) = number.checked_add(by) else {
            return ReplyRef::Error(OVERFLOW);
        };
        match found {
            Some(value) => {
                value.clear();
                write_i64(value, sum);
            }
            None => {
                let mut value = Vec::new();
                write_i64(&mut value, sum);
                self.put(key, value);
            }
        }
        ReplyRef::Integer(sum)
    }

    fn append(&mut self, key: &[u8], suffix: &[u8], now: u64) -> ReplyRef<'static> {
        let Some(value) = self.live_mut(key, now) else {
            self.put(key, suffix.to_vec());
            return ReplyRef::Integer(suffix.len() as i64);
        };
        if value.len() + suffix.len() > VALUE_BYTES_MAX {
            return ReplyRef::Error(TOO_LONG);
        }
        value.extend_from_slice(suffix);
        ReplyRef::Integer(value.len() as i64)
    }

    fn expire(&mut self, key: &[u8], after_ms: i64, condition: ExpireCondition, now: u64) -> bool {
        if self.live(key, now).is_none() {
            return false;
        }
        let deadline = now.saturating_add_signed(after_ms);
        let old = self.deadlines.get(key).copied();
        let allowed = match condition {
            ExpireCondition::Always => true,
            ExpireCondition::IfNone => old.is_none(),
            ExpireCondition::IfSome => old.is_some(),
            ExpireCondition::IfLater => old.is_some_and(|old| deadline > old),
            ExpireCondition::IfEarlier => old.is_none_or(|old| deadline < old),
            ExpireCondition::IfSomeAndEarlier => old.is_some_and(|old| deadline < old),
        };
        if allowed && deadline <= now {
            self.remove(key, now);
        } else if allowed {
            self.set_deadline(key, deadline);
        }
        allowed
    }

    fn time_to_live(&self, key: &[u8], unit: TimeUnit, now: u64) -> i64 {
        match self.live(key, now).map(|_| self.deadlines.get(key)) {
            None => -2,
            Some(None) => -1,
            Some(Some(deadline)) => {
                let left_ms = deadline.saturating_sub(now);
                let left = match unit {
                    TimeUnit::Seconds => left_ms.saturating_add(500) / 1000,
                    TimeUnit::Milliseconds => left_ms,
                };
                i64::try_from(left).unwrap_or(i64::MAX)
            }
        }
    }

    fn keys(&self, pattern: &[u8], now: u64) -> Reply {
        let mut keys = Vec::new();
        let mut bytes = 0;
        for (key, _) in self.values.iter() {
            if self.is_live(key, now) && glob::matches(pattern, key) {
                bytes += key.len() + size_of::<u64>();
                if bytes > KEYS_BYTES_MAX {
                    return Reply::Error(TOO_MANY_KEYS.to_owned());
                }
                keys.push(key.clone());
            }
        }
        Reply::Bulks(keys)
    }

    fn scan(
        &self,
        cursor: u64,
        pattern: Option<&[u8]>,
        count: u64,
        kind: Option<&[u8]>,
        now: u64,
    ) -> Reply {
        let of_kind = kind.is_none_or(|kind| kind.eq_ignore_ascii_case(b"string"));
        let keys = self.values.range(from_point(cursor)).map(|(point, key, _)| (point.0, key));
        let (cursor, keys) = page(keys, count.min(SCAN_COUNT_MAX), |key| {
            of_kind
                && pattern.is_none_or(|pattern| glob::matches(pattern, key))
                && self.is_live(key, now)
        });
        Reply::ScanPage { cursor, keys }
    }
}

/// The wanted ones of the first `count` keys, or a few more: a page ends between two points, never among
/// the keys of one. With the point at which the next one starts, or 0.
fn page<'k>(
    keys: impl Iterator<Item = (u64, &'k Vec<u8>)>,
    count: u64,
    wants: impl Fn(&[u8]) -> bool,
) -> (u64, Vec<Vec<u8>>) {
    let (mut wanted, mut bytes, mut looked_at, mut last) = (Vec::new(), 0, 0, None);
    for (point, key) in keys {
        if last != Some(point) && (looked_at >= count || bytes >= SCAN_PAGE_BYTES) {
            return (point, wanted);
        }
        (last, looked_at) = (Some(point), looked_at + 1);
        if wants(key) {
            bytes += key.len();
            wanted.push(key.clone());
        }
    }
    (0, wanted)
}

fn from_point(first: u64) -> PointRange {
    PointRange { first: Point(first), last: Point::MAX }
}

/// Copies `value` over `old`, into the same memory unless that is far too much.
fn overwrite(old: &mut Vec<u8>, value: &[u8]) {
    if old.capacity() / 4 > value.len().max(16) {
        *old = Vec::new();
    }
    value.clone_into(old);
}

fn count(done: bool) -> ReplyRef<'static> {
    ReplyRef::Integer(i64::from(done))
}
