//! What is demanded of a run, when it is over.
//!
//! A crash takes volatile state with it, so each life is judged as an object of its own, by
//! the life that its replies name. What was not answered by a life may have happened in it all the same:
//! it is allowed, and not demanded.

use std::collections::{BTreeMap, BTreeSet};

use super::Case;
use super::failure::{Failure, Rule};
use crate::agents::Told;
use crate::fault::Fault;
use crate::history::{History, OperationId};
use crate::linearizable::{self, Action, KeyValue, Output, Refusal};
use crate::recorder::{About, Moment, Recorder};
use crate::witness;

/// Judges a run; says how many histories were too hard to decide.
pub(super) fn judge(case: &Case, recorder: &Recorder) -> Result<usize, Failure> {
    if let Some(failure) = recorder.violations.first() {
        return Err(failure.clone());
    }
    judge_notes(case, recorder)?;
    let undecided = judge_keys(recorder)?;
    judge_told(case, recorder)?;
    judge_marks(case, recorder)?;
    Ok(undecided)
}

/// Whether a box's process is not the one that it started with.
fn crashed(case: &Case, agent_box: u16) -> bool {
    case.plan.events().iter().any(|event| event.fault == Fault::Crashed(agent_box))
}

/// Nothing was done that must not be; and all was done that was sent by a client who lives: what a dead
/// client sent may have died with it.
fn judge_notes(case: &Case, recorder: &Recorder) -> Result<(), Failure> {
    if let Some((deed, offence)) = witness::offences().first() {
        let text = format!("{deed:?}: {offence}");
        return Err(Failure::new(Rule::from(*offence), text).about(recorder.trace_of(deed)));
    }
    if let Some(deed) = witness::silent_bell() {
        let text = format!("no bell rang for {deed:?}");
        return Err(Failure::new(Rule::Done, text).about(recorder.trace_of(&deed)));
    }
    let lives = |slot: u32| recorder.slots[slot as usize].lives;
    for noted in recorder.notes.iter().filter(|it| it.life == lives(it.slot)) {
        let deed = &noted.deed;
        let wanted = if noted.is_seal { case.parts_of_ledger().0 } else { 1 };
        let did = witness::lives_that_did(deed) as u64;
        if did < wanted {
            let text = format!("{deed:?} was done by {did} of {wanted}");
            return Err(Failure::new(Rule::Done, text).about(recorder.trace_of(deed)));
        }
    }
    Ok(())
}

fn judge_told(case: &Case, recorder: &Recorder) -> Result<(), Failure> {
    let told: u64 = recorder.slots.iter().map(|slot| slot.told).sum();
    // What a dead client told may have died with it; the counter lives in box 1.
    let safe = recorder.slots.iter().filter(|slot| slot.lives == 1).map(|slot| slot.told).sum();
    let least = if crashed(case, 1) { 0 } else { safe };
    let counted = counted(recorder, |about| matches!(about, About::Count))?;
    between("messages to the counter", counted, least, told)
}

fn judge_marks(case: &Case, recorder: &Recorder) -> Result<(), Failure> {
    let marks = recorder.asked.iter().filter(|it| matches!(it.about, About::Mark));
    let (mut most, mut least, (fewest, cuts)) = (0, 0, case.parts_of_sharded());
    for mark in marks {
        most += cuts;
        least += if mark.ended.is_some() { fewest } else { 0 };
    }
    if (1..case.boxes.len() as u16).any(|agent_box| crashed(case, agent_box)) {
        least = 0;
    }
    let counted = counted(recorder, |about| matches!(about, About::Marks))?;
    between("marks in all shards", counted, least, most)
}

fn counted(recorder: &Recorder, is_it: impl Fn(&About) -> bool) -> Result<u64, Failure> {
    let last = recorder.asked.iter().rfind(|it| is_it(&it.about));
    match last.and_then(|it| it.ended.as_ref()?.reply.as_ref()) {
        Some((_, Told::Count(count))) => Ok(*count),
        _ => Err(Failure::new(Rule::CountedOnce, "who counts did not say what it counted")),
    }
}

fn between(what: &str, counted: u64, least: u64, most: u64) -> Result<(), Failure> {
    if (least..=most).contains(&counted) {
        return Ok(());
    }
    let text = format!("not exactly once: {what}: {counted} counted, {least} to {most} sent");
    Err(Failure::new(Rule::CountedOnce, text))
}

/// Checks the histories of all keys; says how many were too hard to decide.
fn judge_keys(recorder: &Recorder) -> Result<usize, Failure> {
    let mut keys: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for asked in &recorder.asked {
        if let About::Key(key, _) = &asked.about {
            let lives = keys.entry((asked.agent, key)).or_default();
            lives.extend(asked.ended.iter().filter_map(|end| Some(end.reply.as_ref()?.0)));
        }
    }
    let mut undecided = 0;
    for ((agent, key), lives) in keys {
        judge_lives(recorder, agent, key)?;
        for life in lives {
            let (history, ids) = history(recorder, agent, key, life);
            match linearizable::check(&KeyValue, &history) {
                Ok(()) => {}
                Err(Refusal::Undecided { .. }) => undecided += 1,
                Err(Refusal::NotLinearizable(violation)) => {
                    let window = violation.window.iter().filter(|it| **it != violation.operation);
                    let concerned = std::iter::once(&violation.operation).chain(window);
                    let traces = concerned.map(|it| recorder.asked[ids[it]].trace);
                    return Err(
                        Failure::new(Rule::Linearizable, violation.to_string()).about(traces)
                    );
                }
            }
        }
    }
    Ok(undecided)
}

/// What one life of a key's owner answered, and all else that was asked: also what another life answered
/// may have happened in this one before, unheard of, and was done again in the other.
fn history(
    recorder: &Recorder,
    agent: &str,
    key: &str,
    life: u64,
) -> (History<String, Action, Output>, BTreeMap<OperationId, usize>) {
    let mut history = History::new(recorder.asked.len() as u32 + 1);
    let mut ids = BTreeMap::new();
    for moment in &recorder.moments {
        match *moment {
            Moment::Began(id) => {
                let asked = &recorder.asked[id];
                let About::Key(own, action) = &asked.about else { continue };
                let is_refused = asked.ended.as_ref().is_some_and(|ended| ended.reply.is_none());
                if !is_refused && own == key && asked.agent == agent {
                    let name = format!("{agent} {key}, life {life}");
                    let began = history.invoke(asked.slot, asked.at, name, action.clone());
                    ids.insert(id, began.expect("it holds all"));
                }
            }
            Moment::Ended(id) => {
                let Some(began) = ids.get(&id) else { continue };
                let Some(ended) = &recorder.asked[id].ended else { continue };
                if let Some((own, output)) = ended.output()
                    && own == life
                {
                    history.complete(*began, ended.at, output);
                }
            }
        }
    }
    (history, ids.into_iter().map(|(id, operation)| (operation, id)).collect())
}

/// An earlier life never answers what was asked after a later one had answered.
fn judge_lives(recorder: &Recorder, agent: &str, key: &str) -> Result<(), Failure> {
    // By life: at which moment it first answered.
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    let mut began: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, moment) in recorder.moments.iter().enumerate() {
        let (Moment::Began(id) | Moment::Ended(id)) = *moment;
        let asked = &recorder.asked[id];
        let About::Key(own, _) = &asked.about else { continue };
        if own != key || asked.agent != agent {
            continue;
        }
        if *moment == Moment::Began(id) {
            began.insert(id, at);
            continue;
        }
        let Some((life, _)) = asked.ended.as_ref().and_then(|ended| ended.reply.as_ref()) else {
            continue;
        };
        let since = *first.entry(*life).or_insert(at);
        let later = first.iter().find(|(_, other)| **other > since && **other < began[&id]);
        if let Some((later, _)) = later {
            let text = format!(
                "{agent} {key}: life {life} answered request {id}, asked after life {later} had \
                 answered: two owners"
            );
            return Err(Failure::new(Rule::OneOwner, text).about([asked.trace]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::clients::WHOLE;
    use crate::linearizable::Value;
    use crate::recorder::{Asked, Ended};

    fn recorder(asked: &[(Action, u64, Told)]) -> Recorder {
        let mut recorder = Recorder::new(Rc::default(), 1, 0);
        for (at, (action, life, told)) in asked.iter().enumerate() {
            let about = About::Key("k".to_owned(), action.clone());
            let reply = Some((*life, told.clone()));
            let (at, ended) = (at as u64, Some(Ended { at: at as u64, reply }));
            let (slot, agent, trace) = (0, WHOLE, 0);
            recorder.asked.push(Asked {
                slot,
                agent,
                about,
                at,
                trace,
                ended,
                is_waited_for: false,
            });
        }
        recorder
    }

    /// It was done in the first life, whose word of it was lost, and again in the second.
    #[test]
    fn what_a_later_life_answered_an_earlier_one_may_have_done() {
        let set = |text: &str| Action::Set(Value(text.into()));
        let get = |text: &str| (Action::Get, 1, Told::Value(Some(text.into())));
        let mut recorder = recorder(&[(set("a"), 2, Told::Done), get("a"), get("b")]);
        recorder.moments = vec![Moment::Began(0), Moment::Began(1), Moment::Ended(1)];
        recorder.moments.push(Moment::Ended(0));
        assert_eq!(judge_keys(&recorder), Ok(0));
        recorder.moments.extend([Moment::Began(2), Moment::Ended(2)]);
        let failure = judge_keys(&recorder).unwrap_err();
        assert_eq!(failure.rule, Rule::OneOwner, "life 2 had answered before");
    }
}
