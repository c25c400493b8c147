//! Laws of captured states, the oracle of `PointMap`, and each refusal once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[crate::state(crate = crate, version = 3)]
#[derive(Clone, Debug, Default, PartialEq)]
struct Store {
    #[keyed]
    map: BTreeMap<String, Vec<u8>>,
    #[keyed]
    ranged: PointMap<Vec<u8>, (i64, Option<bool>), Prefixed>,
    #[combine(sum)]
    hits: u64,
    #[combine(sum)]
    balance: i32,
    #[combine(constant)]
    motto: String,
    #[combine(constant)]
    inner: Inner,
}

#[crate::state(crate = crate)]
#[derive(Clone, Debug, Default, PartialEq)]
struct Inner {
    lists: Vec<Vec<String>>,
    maybe: Option<Option<Vec<u8>>>,
    table: BTreeMap<(u8, String), (u16, u32, i8, i16)>,
}

#[crate::state(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Nothing;

#[crate::state(crate = crate)]
#[derive(Clone, Debug, PartialEq)]
struct Single {
    only: u8,
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn inner() -> impl Strategy<Value = Inner> {
    let lists = prop::collection::vec(prop::collection::vec(".{0,4}", 0..3), 0..3);
    let table =
        prop::collection::btree_map((any::<u8>(), ".{0,3}"), any::<(u16, u32, i8, i16)>(), 0..3);
    let maybe = prop::option::of(prop::option::of(bytes(4)));
    (lists, maybe, table).prop_map(|(lists, maybe, table)| Inner { lists, maybe, table })
}

fn store() -> impl Strategy<Value = Store> {
    let map = prop::collection::btree_map(".{0,6}", bytes(6), 0..12);
    let ranged = prop::collection::vec((bytes(10), any::<(i64, Option<bool>)>()), 0..12);
    let numbers = (0_u64..u64::MAX / 4, -9_i32..9);
    (map, ranged, numbers, ".{0,5}", inner()).prop_map(|(map, ranged, numbers, motto, inner)| {
        Store {
            map,
            ranged: ranged.into_iter().collect(),
            hits: numbers.0,
            balance: numbers.1,
            motto,
            inner,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_captured_state_is_restored_also_through_bytes(store in store()) {
        let captured = store.capture();
        prop_assert_eq!(&Store::restore(captured.clone()), &Ok(store));
        let bytes = captured.to_bytes();
        prop_assert_eq!(&Captured::from_bytes(&bytes), &Ok(captured));
        prop_assert!(Captured::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Captured::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn what_was_split_joins_to_the_same_in_any_order(
        store in store(), parts in 1_usize..6, shuffle in any::<prop::sample::Index>(),
    ) {
        let ranges = PointRange::ALL.split(parts);
        let mut split = store.capture().split(&ranges).expect("nothing forbids it");
        for (part, range) in split.iter().zip(&ranges) {
            let part = Store::restore(part.clone()).expect("each part is a state");
            prop_assert!(part.map.keys().all(|key| range.contains(Point::of(key))));
            prop_assert_eq!(part.ranged.range(*range).count(), part.ranged.len());
        }
        split.rotate_left(shuffle.index(parts));
        split[..parts / 2].reverse();
        prop_assert_eq!(Captured::join(split), Ok(store.capture()));
    }

    #[test]
    fn the_order_of_parts_is_nothing(
        one in store(), two in store(), three in store(), motto in "[ab]", inner in inner(),
    ) {
        let captured = [one, two, three].map(|store| {
            let store = Store { motto: motto.clone(), inner: inner.clone(), ..store };
            store.capture()
        });
        let [one, two, three] = captured;
        let forth = Captured::join(vec![one.clone(), two.clone(), three.clone()]);
        let back = Captured::join(vec![three.clone(), two.clone(), one.clone()]);
        let mixed = Captured::join(vec![two, three, one]);
        // Keys in two parts are refused in every order; which of them is named is nothing.
        prop_assert_eq!(forth.is_ok(), back.is_ok());
        prop_assert_eq!(forth.is_ok(), mixed.is_ok());
        if let (Ok(forth), Ok(back), Ok(mixed)) = (forth, back, mixed) {
            prop_assert_eq!(&forth, &back);
            prop_assert_eq!(&forth, &mixed);
        }
    }

    #[test]
    fn garbage_is_refused_or_shown_but_never_a_panic(
        garbage in bytes(300), store in store(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut damaged = store.capture().to_bytes();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        for bytes in [&garbage, &damaged] {
            if let Ok(captured) = Captured::from_bytes(bytes) {
                let _ = (captured.to_string(), captured.to_bytes());
                let _ = Store::restore(captured.clone());
                let _ = captured.clone().split(&PointRange::ALL.split(3));
                let _ = Captured::join(vec![captured.clone(), captured]);
            }
        }
    }

    #[test]
    fn a_point_map_does_what_a_map_by_point_and_key_does(
        operations in prop::collection::vec((0..6, "[a-c]{0,2}", any::<u8>(), any::<[u8; 2]>()), 0..60),
    ) {
        // Prefixes of short keys, so that points are near each other and ranges take some.
        let mut map = PointMap::<String, u8, Prefixed>::new();
        let mut oracle = BTreeMap::<(Point, String), u8>::new();
        for (operation, key, value, [from, to]) in operations {
            let at = (Point::prefix(&key), key.clone());
            let near = |byte: u8| Point(u64::from(byte % 6 + b'`') << 56);
            let range = PointRange { first: near(from), last: near(to) };
            match operation {
                0 | 1 => prop_assert_eq!(map.insert(key, value), oracle.insert(at, value)),
                2 => prop_assert_eq!(map.remove(key.as_str()), oracle.remove(&at)),
                3 => prop_assert_eq!(map.get(key.as_str()), oracle.get(&at)),
                4 => prop_assert_eq!(
                    map.range(range).map(|(at, key, value)| (at, key.clone(), *value)).collect::<Vec<_>>(),
                    oracle.iter().filter(|(at, _)| range.contains(at.0))
                        .map(|(at, value)| (at.0, at.1.clone(), *value)).collect::<Vec<_>>()
                ),
                _ => {
                    let taken = map.take_range(range);
                    let expect: Vec<_> =
                        oracle.extract_if(.., |at, _| range.contains(at.0)).collect();
                    prop_assert_eq!(taken.len(), expect.len());
                    prop_assert!(taken.iter().eq(expect.iter().map(|(at, value)| (&at.1, value))));
                }
            }
            prop_assert_eq!(map.len(), oracle.len());
            prop_assert!(map.iter().eq(oracle.iter().map(|(at, value)| (&at.1, value))));
        }
    }

    #[test]
    fn a_keyed_field_gives_a_range_and_takes_it_back(store in store(), first in any::<u64>(), last in any::<u64>()) {
        let range = PointRange { first: Point(first), last: Point(last) };
        let mut moved = store.clone();
        let (map, ranged) = (moved.map.take(range), moved.ranged.take(range));
        prop_assert!(map.iter().chain(&ranged).all(|piece| range.contains(piece.point)));
        prop_assert!(moved.map.keys().all(|key| !range.contains(Point::of(key))));
        for piece in map {
            moved.map.put(piece).expect("it was taken from here");
        }
        for piece in ranged {
            moved.ranged.put(piece).expect("it was taken from here");
        }
        prop_assert_eq!(moved, store);
    }
}

#[test]
fn keys_that_share_a_point_are_told_apart() {
    let keys = ["same prefix", "same prefix, another", "same pre"];
    let map: PointMap<String, usize, Prefixed> =
        keys.iter().enumerate().map(|(index, key)| ((*key).to_owned(), index)).collect();
    assert_eq!(keys.map(|key| map.get(key).copied()), [Some(0), Some(1), Some(2)]);
    let point = Point::prefix("same prefix");
    let all: Vec<_> = map.range(PointRange { first: point, last: point }).collect();
    assert_eq!(all.len(), 3);
}

fn sample() -> Store {
    let mut store = Store { hits: 7, motto: "skilfully".to_owned(), ..Store::default() };
    for (key, value) in
        [("foo", "bar"), ("baz", "line\n"), ("two words", ""), ("k", "v"), ("z", "z")]
    {
        store.map.insert(key.to_owned(), value.as_bytes().to_vec());
    }
    store.ranged.insert(vec![0xff; 40], (-1, None));
    store.inner.lists = vec![vec!["x".repeat(50)], vec![]];
    store
}

#[test]
fn a_person_can_read_it() {
    let expect = "\
Store v3
  balance: 0 (sum)
  hits: 7 (sum)
  inner: {state = \"Inner\", version = 1, fields = {lists = {forbid = [… 2]}, maybe = {forbid = []}, table = {forbid = {}}}} (constant)
  map: 5 keys: foo = \"bar\", baz = 0x6c696e650a, \"two words\" = \"\", k = \"v\", … 1 more
  motto: \"skilfully\" (constant)
  ranged: 1 key: 0xffffffffffffffff… (40 bytes) = [-1, []]";
    let mut shown: Vec<String> =
        sample().capture().to_string().lines().map(str::to_owned).collect();
    let mut expect: Vec<String> = expect.lines().map(str::to_owned).collect();
    // The order of the hashed keys is not the matter here.
    assert!(
        shown[4].starts_with("  map: 5 keys: ") && shown[4].ends_with(", … 1 more"),
        "{shown:?}"
    );
    (shown[4], expect[4]) = Default::default();
    assert_eq!(shown, expect);
    assert_eq!(Nothing.capture().to_string(), "Nothing v1");
}

#[test]
fn the_largest_state_is_shown_in_few_words() {
    let lists = vec![vec!["long text ".repeat(1000); 1000]; 100];
    let state = Inner { lists, ..Inner::default() };
    assert!(state.capture().to_string().len() < 2000);
}

#[test]
fn a_keyed_state_is_not_taken_for_another() {
    let other = Nothing.capture();
    assert!(matches!(Store::restore(other.clone()), Err(StateError::Other { .. })));
    let joined = Captured::join(vec![other.clone(), sample().capture()]);
    assert!(matches!(joined, Err(StateError::Other { .. })));
    assert_eq!(<()>::restore(().capture()), Ok(()));
    assert_eq!(Nothing::restore(other), Ok(Nothing));
}

/// Restores what `change` made of a sample's fields.
fn restore(change: impl FnOnce(&mut BTreeMap<String, Part>)) -> StateError {
    let mut captured = sample().capture();
    change(&mut captured.fields);
    Store::restore(captured).expect_err("changed")
}

#[test]
fn fields_that_do_not_fit_are_named() {
    let none = || Part::Keyed(vec![]);
    let whole = |value| Part::Whole { rule: Combine::Sum, value };
    let missing = restore(|fields| drop(fields.remove("hits")));
    assert_eq!(missing, StateError::Missing("hits".to_owned()));
    let unknown = restore(|fields| drop(fields.insert("new".to_owned(), none())));
    assert_eq!(unknown, StateError::Unknown("new".to_owned()));
    let rule = restore(|fields| drop(fields.insert("hits".to_owned(), none())));
    assert_eq!(rule, StateError::Rule("hits".to_owned()));
    let rule = restore(|fields| drop(fields.insert("map".to_owned(), whole(Value::Null))));
    assert_eq!(rule, StateError::Rule("map".to_owned()));
    let shape = restore(|fields| {
        drop(fields.insert("balance".to_owned(), whole(Value::from(1_u64 << 40))))
    });
    assert_eq!(
        shape.to_string(),
        "at balance: expected a signed integer of 32 bits, found 1099511627776"
    );
    let point = Point::of("k");
    let piece = |point| Piece { point, key: Value::from("k"), value: Value::Bytes(vec![]) };
    let misplaced =
        restore(|fields| drop(fields.insert("map".to_owned(), Part::Keyed(vec![piece(Point(1))]))));
    let key = "\"k\"".to_owned();
    assert_eq!(
        misplaced,
        StateError::Misplaced { key: key.clone(), expected: point, found: Point(1) }
    );
    let twice = vec![piece(point), piece(point)];
    let twice = restore(|fields| drop(fields.insert("map".to_owned(), Part::Keyed(twice))));
    assert_eq!(twice, StateError::Twice { field: "map".to_owned(), key });
}

#[test]
fn what_may_not_be_combined_is_refused() {
    let single = Single { only: 1 }.capture();
    let halves = PointRange::ALL.split(2);
    let forbidden = StateError::Forbidden("only".to_owned());
    assert_eq!(single.clone().split(&halves), Err(forbidden.clone()));
    assert_eq!(single.clone().split(&[PointRange::ALL]), Ok(vec![single.clone()]));
    assert_eq!(Captured::join(vec![single.clone(), single]), Err(forbidden));

    let sample = sample();
    let other = Store { motto: "other".to_owned(), ..Store::default() };
    let other = Store { inner: sample.inner.clone(), ..other }.capture();
    let joined = Captured::join(vec![sample.capture(), other]);
    assert_eq!(joined, Err(StateError::Differs("motto".to_owned())));
    let joined = Captured::join(vec![sample.capture(), sample.capture()]);
    assert!(matches!(joined, Err(StateError::Twice { field, .. }) if field == "map"));
    let most = Store { hits: u64::MAX, ..Store::default() }.capture();
    let joined = Captured::join(vec![most.clone(), most]);
    assert_eq!(joined, Err(StateError::Overflow("hits".to_owned())));

    assert_eq!(Captured::join(vec![]), Err(StateError::Nothing));
    assert_eq!(sample.capture().split(&[]), Err(StateError::Nothing));
    let outside = sample.capture().split(&halves[..1]);
    assert!(matches!(outside, Err(StateError::Outside { .. })));
    let overlap = sample.capture().split(&[halves[0], PointRange::ALL]);
    assert_eq!(overlap, Err(StateError::Overlap(halves[0], PointRange::ALL)));
}

#[test]
fn parts_with_other_fields_or_rules_do_not_join() {
    let (one, mut less, mut other) = (sample().capture(), sample().capture(), sample().capture());
    less.fields.remove("hits");
    other.fields.insert("hits".to_owned(), Part::Keyed(vec![]));
    let join = |one: &Captured, other: &Captured| Captured::join(vec![one.clone(), other.clone()]);
    assert_eq!(join(&one, &less), Err(StateError::Missing("hits".to_owned())));
    assert_eq!(join(&less, &one), Err(StateError::Unknown("hits".to_owned())));
    let Err(StateError::Rule(field)) = join(&one, &other) else { panic!("joined") };
    assert_eq!(field, "hits");
}

#[test]
fn lengths_that_lie_and_depths_without_end_are_refused() {
    for head in [0x5b_u8, 0x7b, 0x9b, 0xbb] {
        let bytes = [&[head][..], &[0xff; 8], &[0; 20]].concat();
        assert!(matches!(Captured::from_bytes(&bytes), Err(StateError::Encoding(_))));
    }
    assert!(matches!(Captured::from_bytes(&[0x81; 100_000]), Err(StateError::Encoding(_))));
    assert!(matches!(Captured::from_bytes(&[]), Err(StateError::Encoding(_))));
}
