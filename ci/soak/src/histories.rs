//! What clients heard, window by window: whether it is linearizable by key, in order for each client, and unknown
//! only where a process had died.
//!
//! A box that dies takes its shards' keys along: that is one more operation in the history of each such key, a
//! deletion that nobody heard of, which may have happened at any time from then on.
//! Sources: Herlihy and Wing, "Linearizability"; ARCHITECTURE, the guarantees.

use std::collections::BTreeMap;

use daedal::sim::history::{History, Outcome};
use daedal::sim::linearizable::{Action, KeyValue, Output, Refusal, check};

use crate::clients::COUNTERS;

/// One command, and what its client heard of it.
#[derive(Clone, Debug)]
pub struct Said {
    /// Which of the window's keys.
    pub key: u16,
    /// What was asked.
    pub action: Action,
    /// Place of its begin among all events.
    pub invoked: u64,
    /// Place of its answer.
    pub ended: Option<u64>,
    /// What was heard.
    pub outcome: Outcome<Output>,
    /// When, in nanoseconds since the clients began.
    pub said_ns: u64,
    /// When it was answered, or given up.
    pub heard_ns: u64,
}

/// All that one client said of one window's keys, in its order.
#[derive(Debug)]
pub struct Batch {
    /// Which client.
    pub client: usize,
    /// Which window.
    pub window: u32,
    /// What it said.
    pub said: Vec<Said>,
}

/// An answer about a key of one client alone, which was not what that client knew that it must be.
#[derive(Clone, Debug)]
pub struct Surprise {
    /// Which client.
    pub client: usize,
    /// Which key.
    pub key: String,
    /// What was answered.
    pub text: String,
    /// When the key was last as known, and when it was not any more.
    pub span_ns: (u64, u64),
}

impl Surprise {
    /// What is wrong, unless the key was lost meanwhile.
    pub fn offence(&self, losses: &[Loss]) -> Option<String> {
        let Surprise { client, key, text, span_ns: (from, to) } = self;
        let explains = |it: &Loss| it.concerns(key) && it.span_ns.0 <= *to && it.span_ns.1 >= *from;
        let at = *to as f64 / 1e9;
        (!losses.iter().any(explains))
            .then(|| format!("client {client}, {key}, its own, at {at:.3} s: {text}"))
    }
}

/// A process that died: what may have been lost, and when nobody may be told what became of it.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Place among all events: before it was killed.
    pub event: u64,
    /// When, and until when the system was not whole again, in nanoseconds as above.
    pub span_ns: (u64, u64),
    /// Where each shard was, by namespace, if that was known for certain; and which namespace died.
    pub lost: Option<(Vec<usize>, usize)>,
}

impl Loss {
    /// Whether a key may have been lost.
    fn concerns(&self, key: &str) -> bool {
        self.lost.as_ref().is_none_or(|(shards, died)| {
            shards[crate::system::shard_of(key, shards.len())] == *died
        })
    }
}

/// How a key is called.
pub fn key_name(window: u32, key: u16) -> String {
    format!("w{window}.{key}")
}

/// What came of judging.
#[derive(Debug, Default, Clone, serde::Serialize)]
pub struct Judged {
    /// Windows.
    pub windows: u64,
    /// Commands.
    pub operations: u64,
    /// Of them, those of which nobody heard what became.
    pub unknown: u64,
    /// Histories of one key each.
    pub keys: u64,
    /// Of them, those that were too hard to decide.
    pub undecided: u64,
    /// What must not be.
    pub offences: Vec<String>,
}

impl Judged {
    /// Adds up.
    pub fn add(&mut self, other: Judged) {
        self.windows += other.windows;
        self.operations += other.operations;
        self.unknown += other.unknown;
        self.keys += other.keys;
        self.undecided += other.undecided;
        self.offences.extend(other.offences);
    }
}

/// Judges all that was said of one window's keys.
pub fn judge(window: u32, batches: &[Batch], losses: &[Loss]) -> Judged {
    let mut judged = Judged { windows: 1, ..Judged::default() };
    let mut by_key: BTreeMap<u16, Vec<(usize, &Said)>> = BTreeMap::new();
    for batch in batches {
        for said in &batch.said {
            judged.operations += 1;
            by_key.entry(said.key).or_default().push((batch.client, said));
            if said.outcome == Outcome::Unknown {
                judged.unknown += 1;
                judged.offences.extend(is_unexplained(window, batch.client, said, losses));
            }
        }
    }
    for (key, said) in by_key {
        let name = key_name(window, key);
        let losses: Vec<&Loss> = losses.iter().filter(|loss| loss.concerns(&name)).collect();
        judged.keys += 1;
        match check(&KeyValue, &history(&name, &said, &losses)) {
            Ok(()) => {}
            Err(Refusal::Undecided { .. }) => judged.undecided += 1,
            Err(refusal) => judged.offences.push(refusal.to_string()),
        }
        if key < COUNTERS {
            judged.offences.extend(is_out_of_order(&name, &said, &losses));
        }
    }
    judged
}

/// Nobody may be left without an answer while all processes live.
fn is_unexplained(window: u32, client: usize, said: &Said, losses: &[Loss]) -> Option<String> {
    let explains = |it: &Loss| said.said_ns <= it.span_ns.1 && said.heard_ns >= it.span_ns.0;
    let explained = losses.iter().any(explains);
    (!explained).then(|| {
        format!(
            "client {client}, {} {}: its outcome is unknown, at {:.3} to {:.3} s, when no box had died",
            key_name(window, said.key),
            said.action,
            said.said_ns as f64 / 1e9,
            said.heard_ns as f64 / 1e9
        )
    })
}

/// One key's history, with what may have been lost of it.
fn history(
    name: &str,
    said: &[(usize, &Said)],
    losses: &[&Loss],
) -> History<String, Action, Output> {
    enum Event<'a> {
        Invoked(usize, &'a Said),
        Ended(&'a Said),
        Lost,
    }
    let mut events = Vec::new();
    for (index, (client, said)) in said.iter().enumerate() {
        events.push((said.invoked, index, Event::Invoked(*client, said)));
        events.extend(said.ended.map(|ended| (ended, index, Event::Ended(said))));
    }
    // A loss before the first of them took nothing of it.
    let first = said.iter().map(|(_, said)| said.invoked).min().unwrap_or(0);
    let begun = said.iter().map(|(_, said)| said.said_ns).min().unwrap_or(0);
    let later = losses.iter().filter(|loss| loss.event > first || loss.span_ns.1 >= begun);
    events.extend(later.map(|loss| (loss.event, 0, Event::Lost)));
    events.sort_unstable_by_key(|(event, ..)| *event);
    let mut history = History::new(events.len() as u32);
    let mut ids = vec![None; said.len()];
    for (_, index, event) in events {
        let full = "as many operations as events are enough";
        match event {
            Event::Invoked(client, said) => {
                let (client, action) = (client as u32, said.action.clone());
                let id = history.invoke(client, said.said_ns, name.to_owned(), action).expect(full);
                ids[index] = Some(id);
            }
            Event::Ended(said) => {
                let (Some(id), Outcome::Returned(output)) = (ids[index], &said.outcome) else {
                    continue;
                };
                history.complete(id, said.heard_ns, output.clone());
            }
            Event::Lost => {
                history.invoke(u32::MAX, 0, name.to_owned(), Action::Delete).expect(full);
            }
        }
    }
    history
}

/// What a client hears of a key that only counts goes up, but for a loss between.
fn is_out_of_order(name: &str, said: &[(usize, &Said)], losses: &[&Loss]) -> Option<String> {
    let mut last: BTreeMap<usize, (u64, i64)> = BTreeMap::new();
    for (client, said) in said {
        let (Outcome::Returned(output), Some(ended)) = (&said.outcome, said.ended) else {
            continue;
        };
        let (count, least) = match output {
            Output::Number(number) => (*number, 1),
            Output::Value(value) => {
                let text = value.as_ref().map(|it| String::from_utf8_lossy(&it.0).into_owned());
                (text.map_or(0, |text| text.parse().unwrap_or(i64::MIN)), 0)
            }
            _ => continue,
        };
        if let Some((before, counted)) = last.insert(*client, (said.invoked, count))
            && count < counted + least
            && !losses.iter().any(|loss| (before..ended).contains(&loss.event))
        {
            return Some(format!(
                "client {client}, {name}: out of order: {count} after {counted}, at {:.3} s",
                said.heard_ns as f64 / 1e9
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: u16, action: Action, (from, to): (u64, u64), output: Option<Output>) -> Said {
        let outcome = output.map_or(Outcome::Unknown, Outcome::Returned);
        let ended = (outcome != Outcome::Unknown).then_some(to);
        Said { key, action, invoked: from, ended, outcome, said_ns: from, heard_ns: to }
    }

    fn counted(span: (u64, u64), count: Option<i64>) -> Said {
        said(0, Action::Increment(1), span, count.map(Output::Number))
    }

    #[track_caller]
    fn check_offence(clients: Vec<Vec<Said>>, losses: &[Loss], expect: Option<&str>) {
        let batches = clients.into_iter().enumerate();
        let batch = |(client, said)| Batch { client, window: 3, said };
        let judged = judge(3, &batches.map(batch).collect::<Vec<_>>(), losses);
        match (expect, &judged.offences[..]) {
            (None, []) => {}
            (Some(text), [first, ..]) if first.contains(text) => {}
            (_, offences) => panic!("{offences:?}"),
        }
    }

    fn loss(event: u64, lost: Option<(Vec<usize>, usize)>) -> Loss {
        Loss { event, span_ns: (event, event + 5), lost }
    }

    #[test]
    fn a_count_that_is_lost_or_done_twice_is_seen() {
        let one = |count| vec![vec![counted((0, 1), Some(1)), counted((2, 3), Some(count))]];
        check_offence(one(2), &[], None);
        check_offence(one(3), &[], Some("not linearizable"));
        check_offence(one(1), &[], Some("not linearizable"));
    }

    #[test]
    fn who_dies_takes_its_own_keys_along_and_no_others() {
        let anew = || vec![vec![counted((0, 1), Some(1)), counted((12, 13), Some(1))]];
        let here = key_name(3, 0);
        let shard = crate::system::shard_of(&here, 2);
        let of_shard = |at: usize| if at == shard { vec![2 - at, 1 + at] } else { vec![1, 2] };
        let places = of_shard(shard);
        check_offence(anew(), &[loss(2, Some((places.clone(), places[shard])))], None);
        let other = places[1 - shard];
        check_offence(anew(), &[loss(2, Some((places, other)))], Some("not linearizable"));
        check_offence(anew(), &[loss(2, None)], None);
        check_offence(anew(), &[loss(20, None)], Some("not linearizable"));
    }

    #[test]
    fn what_is_unknown_needs_somebody_who_died() {
        let unknown = || vec![vec![counted((3, 9), None)]];
        check_offence(unknown(), &[loss(1, None)], None);
        check_offence(unknown(), &[loss(40, None)], Some("no box had died"));
        check_offence(unknown(), &[], Some("no box had died"));
    }

    #[test]
    fn one_clients_pipelined_commands_are_answered_in_their_order() {
        // Both are under way at once, so that either order is linearizable.
        let both =
            |first, second| vec![vec![counted((0, 8), Some(first)), counted((1, 9), Some(second))]];
        check_offence(both(1, 2), &[], None);
        check_offence(both(2, 1), &[], Some("out of order"));
    }
}
