//! The checker against every permutation of small histories, and against histories whose answer is known.

use proptest::prelude::*;

use super::*;
use crate::history::Operation;
use crate::random::Random;

type Store = History<&'static str, Action, Output>;

fn set(value: &str) -> Action {
    Action::Set(value.into())
}

fn got(value: &str) -> Output {
    Output::Value(Some(value.into()))
}

/// Records operations as (client, invoked, ended, action, output); what has no end is unknown.
fn history(operations: &[(u32, u64, Option<u64>, Action, Output)]) -> Store {
    let mut events = Vec::new();
    for (index, (_, invoked, ended, ..)) in operations.iter().enumerate() {
        events.push((*invoked, false, index));
        events.extend(ended.map(|ended| (ended, true, index)));
    }
    events.sort_unstable();
    let mut history = Store::new(operations.len() as u32);
    let mut ids = vec![OperationId(0); operations.len()];
    for (at, is_end, index) in events {
        let (client, _, _, action, output) = &operations[index];
        match is_end {
            false => ids[index] = history.invoke(*client, at, "k", action.clone()).unwrap(),
            true => history.complete(ids[index], at, output.clone()),
        }
    }
    history
}

/// Tries every order of every subset that has all that returned among the first `events` events.
fn brute_force(history: &Store, events: u32) -> bool {
    fn extend(
        operations: &[&Operation<&str, Action, Output>],
        state: &Option<Value>,
        events: u32,
    ) -> bool {
        if !operations.iter().any(|o| o.ended().is_some_and(|ended| ended < events)) {
            return true;
        }
        (0..operations.len()).any(|index| {
            let mut rest = operations.to_vec();
            let next = rest.remove(index);
            let output = match &next.outcome {
                Outcome::Returned(output) => Some(output),
                _ => None,
            };
            !rest.iter().any(|other| other.precedes(next))
                && KeyValue
                    .step(state, &next.action, output)
                    .is_some_and(|state| extend(&rest, &state, events))
        })
    }
    let all = history.operations().iter();
    let took_part: Vec<_> =
        all.filter(|o| o.outcome != Outcome::Failed && o.invoked() < events).collect();
    extend(&took_part, &None, events)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Get),
        2 => (0..3_u8).prop_map(|value| set(&value.to_string())),
        1 => Just(Action::Delete),
        2 => (1..3_i64).prop_map(Action::Increment),
        1 => Just(Action::Append("1".into())),
    ]
}

fn output(action: &Action) -> BoxedStrategy<Output> {
    match action {
        Action::Get => prop_oneof![
            Just(Output::Value(None)),
            (0..4_u8).prop_map(|value| got(&value.to_string())),
            Just(got("11")),
        ]
        .boxed(),
        Action::Set(_) => Just(Output::Done).boxed(),
        Action::Delete => any::<bool>().prop_map(Output::Deleted).boxed(),
        Action::Increment(_) => (1..5_i64).prop_map(Output::Number).boxed(),
        Action::Append(_) => (1..3_u64).prop_map(Output::Bytes).boxed(),
    }
}

/// Up to six operations of anybody, at any time, with any outcome: most are not linearizable.
fn small_history() -> impl Strategy<Value = Store> {
    let outcome = prop_oneof![6 => Just(0_u8), 2 => Just(1), 1 => Just(2)];
    let operation = action().prop_flat_map(|action| (output(&action), Just(action))).prop_flat_map(
        move |(output, action)| (0..12_u64, 1..6_u64, outcome.clone(), Just(action), Just(output)),
    );
    prop::collection::vec(operation, 0..=6).prop_map(|operations| {
        let mut events = Vec::new();
        for (index, (invoked, lasts, outcome, ..)) in operations.iter().enumerate() {
            events.push((*invoked, false, index));
            if *outcome != 1 {
                events.push((invoked + lasts, true, index));
            }
        }
        events.sort_unstable();
        let mut history = Store::new(6);
        let mut ids = vec![OperationId(0); operations.len()];
        for (at, is_end, index) in events {
            let (_, _, outcome, action, output) = &operations[index];
            match (is_end, outcome) {
                (false, _) => {
                    ids[index] = history.invoke(index as u32, at, "k", action.clone()).unwrap();
                }
                (true, 2) => history.fail(ids[index], at),
                (true, _) => history.complete(ids[index], at, output.clone()),
            }
        }
        history
    })
}

/// A history that a real object gave: each operation takes effect at one moment of its time. In
/// `per_million` cases its client never hears of it. Values of sets are unique.
fn generated(seed: u64, clients: u32, each: u32, per_million: u32) -> Store {
    struct Client {
        left: u32,
        running: Option<(OperationId, Action, Option<Output>)>,
    }
    let mut random = Random::new(seed);
    let mut history = Store::new(clients * each);
    let mut state = None;
    let mut all: Vec<Client> = (0..clients).map(|_| Client { left: each, running: None }).collect();
    let mut at = 0;
    loop {
        let live: Vec<usize> =
            (0..all.len()).filter(|c| all[*c].left > 0 || all[*c].running.is_some()).collect();
        let Some(index) = random.choose(&live).copied() else { return history };
        at += random.delay(100);
        let client = &mut all[index];
        match client.running.take() {
            None => {
                client.left -= 1;
                let action = match random.below(10) {
                    0..4 => Action::Get,
                    4..7 => set(&at.to_string()),
                    7..9 => Action::Increment(1),
                    _ => Action::Delete,
                };
                let id = history.invoke(index as u32, at, "k", action.clone()).unwrap();
                client.running = Some((id, action, None));
            }
            Some((_, action, None)) if random.chance(per_million) => {
                if random.chance(500_000) {
                    state = KeyValue::apply(&state, &action).0;
                }
            }
            Some((id, action, None)) => {
                let (next, output) = KeyValue::apply(&state, &action);
                state = next;
                client.running = Some((id, action, Some(output)));
            }
            Some((id, _, Some(output))) => history.complete(id, at, output),
        }
    }
}

/// The same history, where one of the later gets tells a value that had been overwritten long before.
fn with_a_stale_read(whole: &Store) -> Option<Store> {
    let operations = whole.operations();
    let values: Vec<_> = operations
        .iter()
        .filter(|o| matches!(&o.outcome, Outcome::Returned(Output::Value(Some(_)))))
        .collect();
    let (stale, late) = (values.get(values.len() / 4)?, values.get(values.len() * 3 / 4)?);
    let mut history = Store::new(operations.len() as u32);
    let mut ids = Vec::new();
    for event in 0.. {
        if let Some(o) = operations.iter().find(|o| o.invoked() == event) {
            ids.push(history.invoke(o.client, o.invoked_at, "k", o.action.clone()).unwrap());
        } else if let Some(index) = operations.iter().position(|o| o.ended() == Some(event)) {
            let told =
                if operations[index].ended() == late.ended() { *stale } else { &operations[index] };
            let Outcome::Returned(output) = &told.outcome else { unreachable!("it returned") };
            history.complete(ids[index], operations[index].ended_at.unwrap(), output.clone());
        } else {
            return Some(history);
        }
    }
    None
}

fn violation(history: &Store) -> Violation {
    match check(&KeyValue, history) {
        Err(Refusal::NotLinearizable(violation)) => violation,
        other => panic!("{other:?}\n{history}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_search_agrees_with_every_permutation(history in small_history()) {
        prop_assert_eq!(check(&KeyValue, &history).is_ok(), brute_force(&history, u32::MAX));
    }

    #[test]
    fn a_violation_is_the_shortest_beginning_that_fails(history in small_history()) {
        if let Err(Refusal::NotLinearizable(violation)) = check(&KeyValue, &history) {
            let end = history.operation(violation.operation).ended().unwrap();
            prop_assert!(!brute_force(&history, end + 1));
            prop_assert!(brute_force(&history, end));
            prop_assert!(violation.window.contains(&violation.operation));
        }
    }
}

#[test]
fn histories_of_a_real_object_pass() {
    for seed in 0..40 {
        for per_million in [0, 20_000, 100_000] {
            let history = generated(seed, 6, 30, per_million);
            check(&KeyValue, &history).unwrap_or_else(|refusal| panic!("seed {seed}: {refusal}"));
        }
    }
}

#[test]
fn eight_clients_with_200_operations_each_take_about_a_step_an_operation() {
    for seed in 0..4 {
        let history = generated(seed, 8, 200, 2_000);
        let ids = history.by_key().remove(&"k").unwrap();
        let mut search = Search::new(&KeyValue, &history, &ids);
        assert!(search.run() == Verdict::Linearizable);
        assert!(search.configurations < 20_000, "seed {seed}: {}", search.configurations);
    }
}

#[test]
fn a_long_history_with_one_stale_read_is_refuted_without_trying_every_order() {
    for seed in 0..4 {
        let history = with_a_stale_read(&generated(seed, 8, 200, 2_000)).unwrap();
        let ids = history.by_key().remove(&"k").unwrap();
        let mut search = Search::new(&KeyValue, &history, &ids);
        assert!(search.run() == Verdict::Refuted);
        assert!(search.configurations < 200_000, "seed {seed}: {}", search.configurations);
    }
}

#[test]
fn a_stale_read_is_refuted() {
    let history = history(&[
        (1, 0, Some(10), set("1"), Output::Done),
        (1, 20, Some(30), set("2"), Output::Done),
        (2, 40, Some(50), Action::Get, got("1")),
    ]);
    assert_eq!(violation(&history).operation, OperationId(2));
}

#[test]
fn a_read_beside_a_write_may_see_either_but_not_go_back() {
    let write = (1, 10, Some(60), set("2"), Output::Done);
    let with = |first: &str, second: &str| {
        history(&[
            (1, 0, Some(5), set("1"), Output::Done),
            write.clone(),
            (2, 20, Some(30), Action::Get, got(first)),
            (3, 40, Some(50), Action::Get, got(second)),
        ])
    };
    for (first, second) in [("1", "1"), ("1", "2"), ("2", "2")] {
        check(&KeyValue, &with(first, second)).unwrap();
    }
    assert_eq!(violation(&with("2", "1")).operation, OperationId(3));
}

#[test]
fn a_lost_update_is_refuted() {
    let history = history(&[
        (1, 0, Some(20), Action::Increment(1), Output::Number(1)),
        (2, 0, Some(30), Action::Increment(1), Output::Number(1)),
    ]);
    violation(&history);
}

#[test]
fn a_double_increment_is_refuted() {
    let history = history(&[
        (1, 0, Some(20), Action::Increment(1), Output::Number(1)),
        (1, 30, Some(40), Action::Get, got("2")),
    ]);
    violation(&history);
}

#[test]
fn a_phantom_is_refuted() {
    let history = history(&[
        (1, 0, Some(20), set("1"), Output::Done),
        (2, 0, Some(40), Action::Get, got("7")),
    ]);
    violation(&history);
}

#[test]
fn an_operation_of_unknown_outcome_happens_late_or_never_but_once() {
    let unknown = (1, 0, None, Action::Increment(1), Output::Done);
    let reads = |values: &[&str]| {
        let mut operations = vec![(9, 0, Some(1), set("5"), Output::Done), unknown.clone()];
        operations[1].1 = 2;
        for (index, value) in values.iter().enumerate() {
            let at = 10 * (index as u64 + 1);
            operations.push((2, at, Some(at + 5), Action::Get, got(value)));
        }
        history(&operations)
    };
    for values in [["5", "5"], ["5", "6"], ["6", "6"]] {
        check(&KeyValue, &reads(&values)).unwrap();
    }
    assert_eq!(violation(&reads(&["6", "7"])).operation, OperationId(3));
    assert_eq!(violation(&reads(&["6", "5"])).operation, OperationId(3));
}

#[test]
fn an_operation_that_failed_did_not_happen() {
    let mut history = Store::new(2);
    let failed = history.invoke(1, 0, "k", set("1")).unwrap();
    history.fail(failed, 10);
    let get = history.invoke(1, 20, "k", Action::Get).unwrap();
    history.complete(get, 30, got("1"));
    violation(&history);
}

#[test]
fn many_unknown_increments_are_refuted_without_trying_their_orders() {
    let mut operations: Vec<_> =
        (0..100).map(|client| (client, 0, None, Action::Increment(1), Output::Done)).collect();
    operations.push((200, 10, Some(20), Action::Get, got("101")));
    let history = history(&operations);
    assert_eq!(violation(&history).operation, OperationId(100));
}

#[test]
fn keys_are_checked_apart() {
    let mut history = Store::new(4);
    for (key, output) in [("a", Output::Value(None)), ("b", got("1")), ("b", Output::Value(None))] {
        let id = history.invoke(1, 0, key, Action::Get).unwrap();
        history.complete(id, 10, output);
    }
    let refused = violation(&history);
    assert_eq!((refused.key.as_str(), refused.operation), ("b", OperationId(1)));
}

#[test]
fn a_search_that_grows_too_large_is_undecided() {
    // Every order of every subset leaves another state.
    let append = |client: u32| Action::Append(Value(vec![b'a' + client as u8]));
    let mut operations: Vec<_> =
        (0..12).map(|client| (client, 0, None, append(client), Output::Done)).collect();
    operations.push((20, 10, Some(20), Action::Get, got("y")));
    let history = history(&operations);
    let ids = history.by_key().remove(&"k").unwrap();
    let mut search = Search::new(&KeyValue, &history, &ids);
    search.configurations_max = 10_000;
    assert!(search.run() == Verdict::Undecided);
    assert_eq!(search.configurations, 10_000);
    assert!(Refusal::Undecided { key: "k".into() }.to_string().starts_with("key k: undecided at"));
}

#[test]
fn a_violation_shows_what_came_before_and_what_does_not_fit() {
    let history = history(&[
        (1, 0, Some(10), set("1"), Output::Done),
        (1, 20, Some(30), set("2"), Output::Done),
        (3, 35, None, set("9"), Output::Done),
        (2, 40, Some(50), Action::Get, got("1")),
    ]);
    let text = "\
not linearizable, key k: nothing explains
> client 2             40 .. 50           k get -> \"1\"
longest order of what returned before, the first 0 not shown:
  client 1              0 .. 10           k set \"1\" -> ok  =>  Some(\"1\")
  client 1             20 .. 30           k set \"2\" -> ok  =>  Some(\"2\")
  client 3             35 .. never        k set \"9\" -> unknown  =>  Some(\"9\")
none of these can come next:
> client 2             40 .. 50           k get -> \"1\"
";
    assert_eq!(violation(&history).to_string(), text);
}

#[test]
fn a_key_follows_redis() {
    fn check(state: Option<&str>, action: Action, expect: (Option<&str>, Output)) {
        let told = KeyValue::apply(&state.map(Value::from), &action);
        assert_eq!(told, (expect.0.map(Value::from), expect.1), "{state:?} {action}");
    }
    check(None, Action::Get, (None, Output::Value(None)));
    check(None, Action::Increment(-3), (Some("-3"), Output::Number(-3)));
    check(Some("41"), Action::Increment(1), (Some("42"), Output::Number(42)));
    for text in ["x", "", " 1", "+1", "01", "-0", "9223372036854775807"] {
        check(Some(text), Action::Increment(1), (Some(text), Output::NotANumber));
    }
    check(None, Action::Append("ab".into()), (Some("ab"), Output::Bytes(2)));
    check(Some("1"), Action::Append("0".into()), (Some("10"), Output::Bytes(2)));
    check(Some("1"), Action::Delete, (None, Output::Deleted(true)));
    check(None, Action::Delete, (None, Output::Deleted(false)));
    check(Some("1"), set("2"), (Some("2"), Output::Done));
}

#[test]
fn bits_keep_what_was_set() {
    let mut bits = BitSet::new(130);
    assert_eq!((bits.first_unset(), bits.window()), (0, (0, Box::from([]))));
    (0..66).for_each(|number| bits.set(number, true));
    bits.set(70, true);
    assert_eq!((bits.first_unset(), bits.window()), (66, (1, Box::from([0b100_0011]))));
    let smaller = bits.clone();
    bits.set(129, true);
    assert!(smaller.is_subset(&bits) && !bits.is_subset(&smaller));
    bits.set(70, false);
    assert!(bits.contains(129) && !bits.contains(70) && !smaller.is_subset(&bits));
}
