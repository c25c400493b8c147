//! What a reactor keeps of each agent that it runs.

use daedal_model::context::{Effects, Envelope};
use daedal_model::id::{AgentId, Space, Stamp};
use daedal_model::message::Invalid;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;

use crate::conversation::ConversationIndex;
use crate::deliver::{Host, Part, Trust, Verdict};
use crate::done_box::DoneBox;
use crate::inbox::Inbox;
use crate::kinds::Kind;
use crate::many::Members;
use crate::ordered::Egress;
use crate::plane::{Heads, Via};
use crate::planted::{self, Bug};
use crate::record::Record;

/// Some spaces.
pub(crate) type Spaces = hashbrown::HashSet<Space, foldhash::fast::FixedState>;

/// Index of an agent in its reactor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotIndex(pub u32);

impl SlotIndex {
    /// No agent's.
    pub const NOBODY: SlotIndex = SlotIndex(u32::MAX);
}

/// An agent and its boxes (Ovid §3.1, Escher §2.1): what it is, what it has not done, what it has done.
pub(crate) struct Slot {
    pub path: AgentPath,
    /// The type of message that it takes.
    pub takes: Kind,
    pub host: Box<dyn Host>,
    /// Hash of its whole path.
    pub physical: AgentId,
    /// As its receivers see it.
    pub source: AgentId,
    pub space: Space,
    /// The points that it owns.
    pub range: PointRange,
    pub inbox: Inbox,
    /// If it is many agents of one name.
    pub members: Option<Box<Members>>,
    /// What must be processed in order, and came too early.
    pub egress: Egress,
    pub done: DoneBox,
    /// The last stamp it saw: time never goes back for it.
    pub last_stamp: Stamp,
    /// Whether it waits in the run queue.
    pub runnable: bool,
}

/// Who an agent is to those it writes to.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// Its topmost transformed ancestor's path, or its own: whom its receivers see.
    pub path: AgentPath,
    /// Hash of its path without versions and incarnations.
    pub logical: AgentId,
    /// The id of `path`.
    pub source: AgentId,
    pub space: Space,
    /// The conversation that it used last.
    pub lately: Option<(AgentId, ConversationIndex)>,
    /// Heads of the last messages that it sent, if it has sent any.
    pub heads: Option<Box<Heads>>,
    /// Conversations of its in which too much waits: its input is held back.
    pub pressed: u32,
    /// It is held for a cut, which is one of those.
    pub is_held: bool,
    /// It takes load from outside, and holds that back itself.
    pub is_shim: bool,
    /// Its timers, counted.
    pub timers: u64,
    /// Numbers of a lane that it may have used in conversations that were freed.
    pub used: u64,
    /// Links that something of it went over, or whose peers want to be told when it has ended.
    pub links: Vec<u32>,
}

/// A message that could not run when it came: a copy, with where it came from.
#[derive(Debug)]
pub(crate) struct Parked {
    pub record: Vec<u8>,
    pub trust: Trust,
    pub via: Via,
}

impl Slot {
    /// Whether messages are here that it did not want when they were offered, and may want now.
    #[inline]
    pub fn has_waiting(&self) -> bool {
        self.inbox.unnumbered_count() > 0 || self.is_due() || self.egress.is_stalled()
    }

    /// Everything that waits.
    pub fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Parked> {
        let of_members = self.members.iter_mut().flat_map(|it| it.waiting_mut());
        self.inbox.iter_mut().chain(self.egress.held_mut()).chain(of_members)
    }

    /// Takes out everything that waits.
    pub fn take_waiting(&mut self) -> Vec<Parked> {
        let waiting = std::mem::take(&mut self.inbox).into_all();
        let held = self.egress.take_held();
        let of_members = self.members.iter_mut().flat_map(|it| it.take_waiting());
        waiting.chain(held).chain(of_members).collect()
    }

    /// Whether a message is here whose number has its turn.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.inbox.lowest().is_some_and(|number| number <= self.host.want())
    }

    /// Whether a message's points are the agent's business, whatever the message claims.
    #[inline]
    pub fn owns(&self, record: &Record<'_>) -> bool {
        match record.range() {
            None => record.point().is_none_or(|point| self.range.contains(point)),
            Some(range) => self.range.covers(&range),
        }
    }

    /// Offers a message that is for a range of points: all that the agent owns, or some.
    /// # Errors
    /// As [`Host::offer`].
    pub fn offer_to_all(
        &mut self,
        record: &Record<'_>,
        trust: Trust,
        envelope: &Envelope,
        effects: &mut dyn Effects,
    ) -> Result<Verdict, Invalid> {
        let (id, body) = (self.source, record.body());
        let is_for_some =
            |range: &PointRange| *range != self.range && !planted::is(Bug::PartReachesAll);
        match record.range().filter(is_for_some) {
            None => self.host.offer(id, body, trust, envelope, effects),
            Some(range) => {
                let part = Part { range, others: self.range.without(&range) };
                self.host.offer_part(&part, id, body, trust, envelope, effects)
            }
        }
    }

    /// The envelope of a message for this agent.
    #[inline]
    pub fn envelope(&mut self, record: &Record<'_>, now: Stamp) -> Envelope {
        self.last_stamp = self.last_stamp.max(now);
        Envelope {
            name: record.name(),
            point: record.point(),
            now: self.last_stamp,
            trace: record.trace(),
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Slot({})", self.path)
    }
}
