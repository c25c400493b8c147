//! A message that goes to each of several, under one name: it is done when all have done it.

use std::collections::VecDeque;

use daedal_model::id::{AgentId, Number};

use super::Conversation;
use crate::ordered::Place;

/// Those of one conversation, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Fans {
    all: VecDeque<(Number, Fan)>,
    /// Lists of those that are over, for those to come.
    spare: Vec<Vec<FanLeaf>>,
}

impl Fans {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[inline]
    fn find(&self, number: Number) -> Result<usize, usize> {
        // Mostly there is one, or it is the first that is done.
        match self.all.front() {
            Some((first, _)) if *first == number => Ok(0),
            _ => self.all.binary_search_by_key(&number, |(it, _)| *it),
        }
    }

    #[inline]
    pub fn get(&self, number: Number) -> Option<&Fan> {
        self.find(number).ok().map(|at| &self.all[at].1)
    }

    #[inline]
    pub fn get_mut(&mut self, number: Number) -> Option<&mut Fan> {
        self.find(number).ok().map(|at| &mut self.all[at].1)
    }

    /// A message goes to so many leaves; says whether that is news.
    fn begin(&mut self, number: Number, count: usize) -> bool {
        let Err(at) = self.find(number) else { return false };
        let mut leaves = self.spare.pop().unwrap_or_default();
        leaves.resize(count, FanLeaf::default());
        self.all.insert(at, (number, Fan { leaves, done: 0, is_given_up: false }));
        true
    }

    pub fn remove(&mut self, number: Number) {
        if let Ok(at) = self.find(number)
            && let Some((_, mut fan)) = self.all.remove(at)
        {
            fan.leaves.clear();
            self.spare.push(fan.leaves);
        }
    }
}

/// A message that goes to several.
#[derive(Debug)]
pub(super) struct Fan {
    /// The leaves, in the order of the route.
    pub(super) leaves: Vec<FanLeaf>,
    /// How many have done it.
    pub(super) done: usize,
    /// It goes to nobody any more: only those who have it are waited for.
    pub(super) is_given_up: bool,
}

impl Fan {
    /// How many have it, and have not done it.
    fn under_way(&self) -> usize {
        let sent = self.leaves.iter().filter(|leaf| leaf.is_sent).count();
        sent.saturating_sub(self.done)
    }

    pub(super) fn is_over(&self) -> bool {
        if self.is_given_up { self.under_way() == 0 } else { self.done >= self.leaves.len() }
    }
}

/// One of several that a message goes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FanLeaf {
    pub(super) physical: AgentId,
    /// Whether the message went there, and did not come back.
    is_sent: bool,
    /// The message's place in the line there, if it has one.
    pub(super) place: Place,
}

impl Conversation {
    /// Whether nothing goes to several.
    #[inline]
    pub(super) fn is_fanless(&self) -> bool {
        self.fanned.as_ref().is_none_or(|fans| fans.is_empty())
    }

    #[inline]
    pub(super) fn fan(&self, number: Number) -> Option<&Fan> {
        self.fanned.as_ref()?.get(number)
    }

    #[inline]
    pub(super) fn fan_mut(&mut self, number: Number) -> Option<&mut Fan> {
        self.fanned.as_mut()?.get_mut(number)
    }

    /// Who of several has done a message matters no longer.
    pub fn forget_fan(&mut self, number: Number) {
        if let Some(fans) = &mut self.fanned {
            fans.remove(number);
        }
    }

    /// `number` goes to so many leaves; says whether that is news.
    pub fn fan_out(&mut self, number: Number, leaves: usize) -> bool {
        leaves > 1 && self.fanned.get_or_insert_default().begin(number, leaves)
    }

    /// Whether `number` is on its way to the leaf at `index` of its route.
    pub fn is_on_its_way(&self, number: Number, index: usize) -> bool {
        let leaf = self.fan(number).and_then(|fan| fan.leaves.get(index));
        leaf.is_some_and(|leaf| leaf.is_sent)
    }

    /// `number` is on its way to this leaf, at `index` of its route.
    pub fn sent_to(&mut self, number: Number, index: usize, physical: AgentId, place: Place) {
        let fan = self.fan_mut(number);
        if let Some(leaf) = fan.and_then(|fan| fan.leaves.get_mut(index)) {
            *leaf = FanLeaf { physical, is_sent: true, place };
        }
    }

    /// Whether it goes to nobody any more, and some have it still.
    pub fn is_given_up(&self, number: Number) -> bool {
        self.fan(number).is_some_and(|fan| fan.is_given_up)
    }

    /// Whether a message that is to go to several is under way to some of them.
    pub fn is_fanned_out(&self, number: Number) -> bool {
        self.fan(number).is_some_and(|fan| fan.under_way() > 0)
    }

    /// Whether a message goes to more than one leaf.
    pub fn goes_to_several(&self, number: Number) -> bool {
        self.fan(number).is_some()
    }

    /// `number` has come back from a leaf, among others perhaps: it must go there again.
    pub(super) fn came_back_from(&mut self, number: Number, physical: AgentId) {
        let Some(fan) = self.fan_mut(number) else { return };
        let sent = fan.leaves.iter_mut().find(|leaf| leaf.is_sent && leaf.physical == physical);
        if let Some(leaf) = sent {
            leaf.is_sent = false;
        }
    }
}
