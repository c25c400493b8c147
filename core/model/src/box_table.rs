//! Box routing table (BRT): which reactor an agent runs in, and how its box is reached.
//!
//! A cache of what the controller decides: a missing entry is a miss, and the controller is asked. An
//! agent's life has one place, so the entry of a physical id is replaced only by the same one.
//! Sources: Ovid §6.1, §6.3.

use std::collections::BTreeMap;

use crate::id::{AgentId, BoxId, ReactorAddress};

/// Where physical agents run, and where boxes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoxTable {
    places: BTreeMap<AgentId, ReactorAddress>,
    addresses: BTreeMap<BoxId, String>,
}

impl BoxTable {
    /// Where the agent of this physical id runs.
    pub fn place(&self, physical: AgentId) -> Option<ReactorAddress> {
        self.places.get(&physical).copied()
    }

    /// How a box is reached: `10.0.0.1:7000`, or several of them separated by commas.
    pub fn address(&self, agent_box: BoxId) -> Option<&str> {
        self.addresses.get(&agent_box).map(String::as_str)
    }

    /// Learns where an agent runs.
    pub fn learn_place(&mut self, physical: AgentId, place: ReactorAddress) {
        self.places.insert(physical, place);
    }

    /// Learns how a box is reached; says whether that is news.
    pub fn learn_box(&mut self, agent_box: BoxId, address: &str) -> bool {
        let before = self.addresses.insert(agent_box, address.to_owned());
        before.as_deref() != Some(address)
    }

    /// Forgets an agent that has stopped.
    pub fn forget_place(&mut self, physical: AgentId) {
        self.places.remove(&physical);
    }

    /// The boxes and how they are reached, by id.
    pub fn boxes(&self) -> impl Iterator<Item = (BoxId, &str)> {
        self.addresses.iter().map(|(id, address)| (*id, address.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_found_until_it_is_forgotten() {
        let mut table = BoxTable::default();
        let place = ReactorAddress { agent_box: BoxId(2), reactor: 1 };
        assert_eq!(table.place(AgentId(7)), None);
        table.learn_place(AgentId(7), place);
        assert_eq!(table.place(AgentId(7)), Some(place));
        table.forget_place(AgentId(7));
        assert_eq!(table.place(AgentId(7)), None);
        assert!(table.learn_box(BoxId(2), "10.0.0.1:7000"));
        assert!(!table.learn_box(BoxId(2), "10.0.0.1:7000"));
        assert!(table.learn_box(BoxId(2), "10.0.0.2:7000"));
        assert_eq!(table.address(BoxId(2)), Some("10.0.0.2:7000"));
        assert_eq!(table.boxes().collect::<Vec<_>>(), [(BoxId(2), "10.0.0.2:7000")]);
    }
}
