//! The agent beside a plain map.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use daedal::model::encode::encode_to_vec;
use daedal::model::message::Wire;
use daedal::model::state::{Captured, State};

use super::*;
use crate::request::Request;

/// What the store means, without points, places or reclaiming: value and deadline by key.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>);

impl Model {
    fn apply(&mut self, request: &Request, now: u64) -> Reply {
        self.0.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| now <= deadline));
        let map = &mut self.0;
        let integer = |number: usize| Reply::Integer(number as i64);
        let bulk = |value: Option<Vec<u8>>| value.map_or(Reply::Nil, Reply::Bulk);
        match request.clone() {
            Request::Set { key, value, condition, expiry, return_old } => {
                let old = map.get(&key).cloned();
                let stores = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => old.is_none(),
                    Condition::IfPresent => old.is_some(),
                };
                let deadline = match expiry {
                    Expiry::Never => None,
                    Expiry::Keep => old.as_ref().and_then(|(_, deadline)| *deadline),
                    Expiry::AfterMs(after) => Some(now + after),
                    Expiry::AtMs(at) => Some(at),
                };
                if stores {
                    map.insert(key, (value, deadline));
                }
                match (return_old, stores) {
                    (true, _) => bulk(old.map(|(value, _)| value)),
                    (false, true) => Reply::Ok,
                    (false, false) => Reply::Nil,
                }
            }
            Request::Get { key } => bulk(map.get(&key).map(|(value, _)| value.clone())),
            Request::GetDel { key } => bulk(map.remove(&key).map(|(value, _)| value)),
            Request::Del { key } => integer(map.remove(&key).iter().count()),
            Request::Exists { key } => integer(map.get(&key).iter().count()),
            Request::Increment { key, by } => {
                let (value, _) = map.entry(key).or_insert((b"0".to_vec(), None));
                let text = std::str::from_utf8(value).unwrap();
                match text.parse::<i64>().ok().filter(|number| number.to_string() == text) {
                    None => Reply::Error(NOT_AN_INTEGER.to_owned()),
                    Some(number) => match number.checked_add(by) {
                        None => Reply::Error(OVERFLOW.to_owned()),
                        Some(sum) => {
                            *value = sum.to_string().into_bytes();
                            Reply::Integer(sum)
                        }
                    },
                }
            }
            Request::Append { key, suffix } => {
                let (value, _) = map.entry(key).or_default();
                value.extend(suffix);
                integer(value.len())
            }
            Request::StrLen { key } => integer(map.get(&key).map_or(0, |(value, _)| value.len())),
            Request::Expire { key, after_ms, condition } => {
                let new = now.saturating_add_signed(after_ms);
                let Some((_, old)) = map.get_mut(&key) else { return integer(0) };
                let never = old.unwrap_or(u64::MAX);
                let sets = match condition {
                    ExpireCondition::Always => true,
                    ExpireCondition::IfNone => old.is_none(),
                    ExpireCondition::IfSome => old.is_some(),
                    ExpireCondition::IfLater => new > never,
                    ExpireCondition::IfEarlier => new < never,
                    ExpireCondition::IfSomeAndEarlier => old.is_some() && new < never,
                };
                if sets {
                    *old = Some(new);
                }
                if sets && new <= now {
                    map.remove(&key);
                }
                integer(usize::from(sets))
            }
            Request::TimeToLive { key, unit } => Reply::Integer(match map.get(&key) {
                None => -2,
                Some((_, None)) => -1,
                Some((_, Some(at))) if unit == TimeUnit::Milliseconds => (at - now) as i64,
                Some((_, Some(at))) => (at - now + 500) as i64 / 1000,
            }),
            Request::Persist { key } => {
                integer(map.get_mut(&key).and_then(|(_, deadline)| deadline.take()).iter().count())
            }
            Request::Type { key } => {
                Reply::Text(if map.contains_key(&key) { "string" } else { "none" }.to_owned())
            }
            Request::DbSize => integer(map.len()),
            Request::FlushAll => {
                map.clear();
                Reply::Ok
            }
            Request::Keys { pattern } => {
                let keys = map.keys().filter(|key| glob::matches(&pattern, key)).cloned();
                Reply::Bulks(keys.collect())
            }
            Request::Scan { .. } | Request::Reclaim { .. } => unreachable!("tested apart"),
        }
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    (0u8..5).prop_map(|index| vec![b'k', b'0' + index])
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (-3i64..3).prop_map(|number| number.to_string().into_bytes()),
        Just(i64::MAX.to_string().into_bytes()),
        Just(b"text".to_vec()),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    use ExpireCondition::*;
    let condition =
        prop::sample::select(vec![Condition::Always, Condition::IfAbsent, Condition::IfPresent]);
    let expiry = prop_oneof![
        Just(Expiry::Never),
        Just(Expiry::Keep),
        (1..4000u64).prop_map(Expiry::AfterMs),
        (0..9000u64).prop_map(Expiry::AtMs),
    ];
    let when =
        prop::sample::select(vec![Always, IfNone, IfSome, IfLater, IfEarlier, IfSomeAndEarlier]);
    let unit = prop::sample::select(vec![TimeUnit::Seconds, TimeUnit::Milliseconds]);
    prop_oneof![
        (key(), value(), condition, expiry, any::<bool>()).prop_map(
            |(key, value, condition, expiry, return_old)| {
                Request::Set { key, value, condition, expiry, return_old }
            }
        ),
        key().prop_map(|key| Request::Get { key }),
        key().prop_map(|key| Request::GetDel { key }),
        key().prop_map(|key| Request::Del { key }),
        key().prop_map(|key| Request::Exists { key }),
        (key(), -3i64..3).prop_map(|(key, by)| Request::Increment { key, by }),
        (key(), value()).prop_map(|(key, suffix)| Request::Append { key, suffix }),
        key().prop_map(|key| Request::StrLen { key }),
        (key(), -500..4000i64, when).prop_map(|(key, after_ms, condition)| Request::Expire {
            key,
            after_ms,
            condition
        }),
        (key(), unit).prop_map(|(key, unit)| Request::TimeToLive { key, unit }),
        key().prop_map(|key| Request::Persist { key }),
        key().prop_map(|key| Request::Type { key }),
        Just(Request::DbSize),
        Just(Request::FlushAll),
        Just(Request::Keys { pattern: b"k[0-2]".to_vec() }),
    ]
}

fn ask(store: &mut KeyValue, request: &Request, now_ms: u64) -> Reply {
    let bytes = encode_to_vec(request);
    let request = Request::access(&bytes).unwrap().lend();
    store.apply(&request, now_ms * NS_PER_MS, |reply| reply.to_reply())
}

fn set(store: &mut KeyValue, key: &str, expiry: Expiry) {
    let request = RequestRef::Set {
        key: key.as_bytes(),
        value: b"value",
        condition: Condition::Always,
        expiry,
        return_old: false,
    };
    store.apply(&request, 0, |_| ());
}

proptest! {
    #[test]
    fn every_answer_is_that_of_a_plain_map(
        steps in vec((request(), 0u64..600, prop::option::of(1usize..4)), 1..120),
    ) {
        let (mut store, mut model, mut now) = (KeyValue::default(), Model::default(), 0);
        let mut from = 0;
        for (request, later, reclaim) in steps {
            now += later;
            if let Some(limit) = reclaim {
                from = store.reclaim(from, now * NS_PER_MS, limit);
            }
            if request == Request::DbSize {
                // Counts what is not reclaimed yet.
                store.reclaim(0, now * NS_PER_MS, usize::MAX);
            }
            let mut got = ask(&mut store, &request, now);
            if let Reply::Bulks(keys) = &mut got {
                keys.sort();
            }
            prop_assert_eq!(got, model.apply(&request, now), "{:?} at {}", request, now);
        }
    }

    #[test]
    fn a_scan_returns_every_key_that_is_there_all_along(
        stay in vec(0u64..40, 1..60),
        come in vec(0u64..40, 0..60),
        count in 1u64..6,
    ) {
        // Points are few, so that keys share them.
        let mut keys: BTreeSet<(u64, Vec<u8>)> = BTreeSet::new();
        for (index, point) in stay.iter().enumerate() {
            keys.insert((*point, format!("stay{index}").into_bytes()));
        }
        let (mut cursor, mut found, mut come) = (0, Vec::new(), come.into_iter().enumerate());
        loop {
            let from = keys.range((cursor, Vec::new())..).map(|(point, key)| (*point, key));
            let (next, page) = page(from, count, |key| key.starts_with(b"stay"));
            prop_assert!(next == 0 || next > cursor);
            found.extend(page);
            if let Some((index, point)) = come.next() {
                keys.insert((point, format!("come{index}").into_bytes()));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        found.sort();
        let mut expect: Vec<_> = (0..stay.len()).map(|i| format!("stay{i}").into_bytes()).collect();
        expect.sort();
        prop_assert_eq!(found, expect);
    }
}

#[test]
fn reclaiming_goes_round_in_bounded_steps() {
    let mut store = KeyValue::default();
    for index in 0..100 {
        set(&mut store, &index.to_string(), Expiry::AfterMs(if index < 50 { 5 } else { 9 }));
    }
    assert_eq!(store.reclaim(0, 5 * NS_PER_MS, 1000), 0);
    assert_eq!(store.len(), 100, "a deadline is the last millisecond");
    let (mut from, mut steps) = (0, 0);
    loop {
        let before = store.len();
        from = store.reclaim(from, 6 * NS_PER_MS, 10);
        assert!(before - store.len() <= 10);
        steps += 1;
        if from == 0 {
            break;
        }
    }
    assert_eq!((steps, store.len(), store.deadlines.len()), (10, 50, 50));
}

#[test]
fn a_captured_state_shows_its_keys_and_survives_being_split_and_joined() {
    let mut store = KeyValue::default();
    for index in 0..100 {
        let expiry = if index % 3 == 0 { Expiry::AtMs(99) } else { Expiry::Never };
        set(&mut store, &format!("key{index}"), expiry);
    }
    let captured = store.capture();
    let shown = captured.to_string();
    assert!(shown.contains("values: 100 keys") && shown.contains("\"value\""), "{shown}");
    assert!(shown.contains("deadlines: 34 keys"), "{shown}");
    let parts = captured.clone().split(&PointRange::ALL.split(3)).unwrap();
    let shards: Vec<_> =
        parts.iter().map(|part| KeyValue::restore(part.clone()).unwrap()).collect();
    assert!(shards.iter().all(|shard| shard.len() > 10 && shard.deadlines.len() > 1));
    assert_eq!(shards.iter().map(KeyValue::len).sum::<usize>(), 100);
    let parts = shards.iter().map(State::capture).collect();
    assert_eq!(Captured::join(parts).unwrap(), captured);
}

#[test]
fn a_value_does_not_grow_over_its_bound() {
    let mut store = KeyValue::default();
    let half = vec![b'x'; VALUE_BYTES_MAX / 2];
    let append = Request::Append { key: b"key".to_vec(), suffix: half };
    ask(&mut store, &append, 0);
    assert_eq!(ask(&mut store, &append, 0), Reply::Integer(VALUE_BYTES_MAX as i64));
    assert_eq!(ask(&mut store, &append, 0), Reply::Error(TOO_LONG.to_owned()));
}

#[test]
fn a_large_value_gives_its_memory_back_when_a_small_one_replaces_it() {
    let mut value = vec![0; 1 << 20];
    overwrite(&mut value, b"small");
    assert!(value.capacity() < 100);
    assert_eq!(value, b"small");
}

#[test]
fn keys_that_do_not_fit_one_answer_are_refused() {
    let mut store = KeyValue::default();
    let long = |index| format!("{index:x>width$}", width = crate::limits::KEY_BYTES_MAX);
    let count = KEYS_BYTES_MAX / crate::limits::KEY_BYTES_MAX + 1;
    for index in 0..count {
        set(&mut store, &long(index), Expiry::Never);
    }
    let all = Request::Keys { pattern: b"*".to_vec() };
    assert_eq!(ask(&mut store, &all, 0), Reply::Error(TOO_MANY_KEYS.to_owned()));
    let scan = Request::Scan { cursor: 0, pattern: None, count: 1000, kind: None };
    match ask(&mut store, &scan, 0) {
        Reply::ScanPage { cursor, keys } => {
            assert_eq!(keys.len(), SCAN_PAGE_BYTES / crate::limits::KEY_BYTES_MAX);
            assert_ne!(cursor, 0);
        }
        other => panic!("{other:?}"),
    }
}
