//! What an agent has processed: that a message comes again, or what an earlier life has done, is not done twice.

use daedal_model::done::NumberSet;
use daedal_model::id::{AgentId, Number, Space};
use hashbrown::HashMap;

use crate::record::Record;
use crate::slot::Spaces;

/// Which messages an agent has processed, by source, space and lane. Only those that came over links are
/// written down: within a box each message is handed over once. But what an earlier life had from afar may come
/// from next door to whoever goes on from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DoneBox(Option<Box<Done>>);

#[derive(Clone, Debug, Default)]
struct Done {
    by_sender: BySender,
    /// What of it earlier lives have done.
    inherited: BySender,
}

/// Whose numbers: source, space and lane.
type Sender = (AgentId, Space, u16);

/// A set of numbers for each sender. Who was asked for last is found without a look-up: messages of one sender often
/// come one behind the other.
#[derive(Clone, Debug, Default)]
struct BySender {
    places: HashMap<Sender, u32, foldhash::fast::FixedState>,
    sets: Vec<NumberSet>,
    /// Places of `sets` that are nobody's.
    free: Vec<u32>,
    lately: Option<(Sender, u32)>,
}

impl BySender {
    fn get(&self, sender: &Sender) -> Option<&NumberSet> {
        self.places.get(sender).map(|place| &self.sets[*place as usize])
    }

    fn get_mut(&mut self, sender: &Sender) -> Option<&mut NumberSet> {
        self.places.get(sender).map(|place| &mut self.sets[*place as usize])
    }

    /// A sender's, and whether it is new.
    #[inline]
    fn entry(&mut self, sender: Sender) -> (&mut NumberSet, bool) {
        let (place, is_new) = match self.lately {
            Some((lately, place)) if lately == sender => (place, false),
            _ => self.look_up(sender),
        };
        (&mut self.sets[place as usize], is_new)
    }

    fn look_up(&mut self, sender: Sender) -> (u32, bool) {
        let found = self.places.get(&sender).copied();
        let place = found.unwrap_or_else(|| {
            let empty = NumberSet::below(Number::first_of(sender.2));
            let place = match self.free.pop() {
                Some(place) => {
                    self.sets[place as usize] = empty;
                    place
                }
                None => {
                    self.sets.push(empty);
                    self.sets.len() as u32 - 1
                }
            };
            self.places.insert(sender, place);
            place
        });
        self.lately = Some((sender, place));
        (place, found.is_none())
    }

    fn forget(&mut self, retired: &Spaces) {
        self.lately = None;
        let gone = self.places.extract_if(|(_, space, _), _| retired.contains(space));
        self.free.extend(gone.map(|(_, place)| place));
    }
}

/// What a done box says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    New,
    /// New, and the first of its sender's in this lane.
    First,
    Seen,
    OutOfWindow,
}

impl DoneBox {
    /// What it holds, in the order of senders.
    pub fn entries(&self) -> Vec<(Sender, &NumberSet)> {
        let all = self.0.iter().map(|done| &done.by_sender).flat_map(|it| {
            it.places.iter().map(|(sender, place)| (*sender, &it.sets[*place as usize]))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(sender, _)| *sender);
        all
    }

    /// Takes over what an earlier owner of some of its points has processed.
    pub fn inherit(&mut self, sender: Sender, set: &NumberSet) {
        let done = self.0.get_or_insert_default();
        for by_sender in [&mut done.by_sender, &mut done.inherited] {
            by_sender.entry(sender).0.union(set);
        }
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |done| done.by_sender.places.len())
    }

    /// Nothing of these spaces comes any more.
    pub fn forget(&mut self, retired: &Spaces) {
        if let Some(done) = &mut self.0 {
            for by_sender in [&mut done.by_sender, &mut done.inherited] {
                by_sender.forget(retired);
            }
        }
    }

    /// Takes note of the sender's floor and of the message.
    #[inline]
    pub fn admit(&mut self, record: &Record<'_>) -> Admission {
        let name = record.name();
        let sender = (name.source, name.space, name.number.lane());
        let (set, is_first) = self.0.get_or_insert_default().by_sender.entry(sender);
        set.raise(record.floor());
        match set.insert(name.number) {
            Ok(true) if is_first => Admission::First,
            Ok(true) => Admission::New,
            Ok(false) => Admission::Seen,
            Err(_) => Admission::OutOfWindow,
        }
    }

    /// Whether some of it an earlier life has done.
    #[inline]
    pub fn is_inherited(&self) -> bool {
        self.0.as_ref().is_some_and(|done| !done.inherited.places.is_empty())
    }

    /// Whether an earlier life has processed the message.
    #[inline]
    pub fn has_inherited(&self, record: &Record<'_>) -> bool {
        self.is_inherited() && self.is_among_inherited(record)
    }

    #[cold]
    fn is_among_inherited(&self, record: &Record<'_>) -> bool {
        let name = record.name();
        let sender = (name.source, name.space, name.number.lane());
        let set = self.0.as_ref().and_then(|done| done.inherited.get(&sender));
        set.is_some_and(|set| set.contains(name.number))
    }

    /// A message goes back to its sender: it is not done here.
    pub fn give_back(&mut self, record: &Record<'_>) {
        let name = record.name();
        let sender = (name.source, name.space, name.number.lane());
        let Some(done) = &mut self.0 else { return };
        for by_sender in [&mut done.by_sender, &mut done.inherited] {
            by_sender.get_mut(&sender).into_iter().for_each(|set| set.remove(name.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_forgotten_is_new_and_has_nothing_of_whose_place_he_gets() {
        let mut all = BySender::default();
        let sender = |space| (AgentId(1), Space(space), 0);
        for space in [1, 2, 2, 1] {
            let (set, is_new) = all.entry(sender(space));
            assert_eq!(set.insert(Number(5)), Ok(is_new));
        }
        all.forget(&Spaces::from_iter([Space(1)]));
        assert!(all.get(&sender(1)).is_none() && all.get(&sender(2)).is_some());
        for space in [3, 1] {
            let (set, is_new) = all.entry(sender(space));
            assert!(is_new && set.insert(Number(5)) == Ok(true));
        }
        let (set, is_new) = all.entry(sender(2));
        assert!(!is_new && set.contains(Number(5)));
        assert_eq!(all.sets.len(), 3);
    }
}
