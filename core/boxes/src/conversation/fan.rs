//! A message that goes to each of several, under one name: it is done when all have done it.

use daedal_model::id::{AgentId, Number};

use super::Conversation;
use crate::ordered::Place;

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
    /// `number` goes to so many leaves; says whether that is news.
    pub fn fan_out(&mut self, number: Number, leaves: usize) -> bool {
        let is_new = leaves > 1 && !self.fanned.contains_key(&number);
        if is_new {
            let fan = Fan { leaves: vec![FanLeaf::default(); leaves], done: 0, is_given_up: false };
            self.fanned.insert(number, fan);
        }
        is_new
    }

    /// Whether `number` is on its way to the leaf at `index` of its route.
    pub fn is_on_its_way(&self, number: Number, index: usize) -> bool {
        let leaf = self.fanned.get(&number).and_then(|fan| fan.leaves.get(index));
        leaf.is_some_and(|leaf| leaf.is_sent)
    }

    /// `number` is on its way to this leaf, at `index` of its route.
    pub fn sent_to(&mut self, number: Number, index: usize, physical: AgentId, place: Place) {
        let fan = self.fanned.get_mut(&number);
        if let Some(leaf) = fan.and_then(|fan| fan.leaves.get_mut(index)) {
            *leaf = FanLeaf { physical, is_sent: true, place };
        }
    }

    /// Whether it goes to nobody any more, and some have it still.
    pub fn is_given_up(&self, number: Number) -> bool {
        self.fanned.get(&number).is_some_and(|fan| fan.is_given_up)
    }

    /// Whether a message that is to go to several is under way to some of them.
    pub fn is_fanned_out(&self, number: Number) -> bool {
        self.fanned.get(&number).is_some_and(|fan| fan.under_way() > 0)
    }

    /// Whether a message goes to more than one leaf.
    pub fn goes_to_several(&self, number: Number) -> bool {
        self.fanned.contains_key(&number)
    }

    /// `number` has come back from a leaf, among others perhaps: it must go there again.
    pub(super) fn came_back_from(&mut self, number: Number, physical: AgentId) {
        let Some(fan) = self.fanned.get_mut(&number) else { return };
        let sent = fan.leaves.iter_mut().find(|leaf| leaf.is_sent && leaf.physical == physical);
        if let Some(leaf) = sent {
            leaf.is_sent = false;
        }
    }
}
