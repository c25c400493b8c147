//! All conversations of a reactor: found by who speaks with whom and by lane, and who of them wants room.
//!
//! An idle one may be freed, with all its lanes. Its sender's next ones begin above the numbers that it has
//! used, so that no name is used twice. Those whose messages are to stay in order end with their sender alone:
//! their leaves go on counting.

use std::collections::{BTreeMap, BTreeSet};

use daedal_model::id::{AgentId, Number, Stamp};
use daedal_model::route::PickBy;
use hashbrown::HashMap;

use crate::conversation::{Conversation, ConversationIndex, LinesIndex, RouteIndex, Waiting};
use crate::lines::Lines;
use crate::record::Record;
use crate::slot::SlotIndex;

mod in_order;
mod starved;

use self::starved::Starved;
pub(crate) use self::starved::Want;

/// What is seldom looked at of a conversation.
#[derive(Clone, Copy, Debug, Default)]
struct About {
    /// How many numbers of a lane its sender may have used when the first of its destination began.
    began: u64,
    /// The number that was next when idle ones were looked for, and since when at least.
    seen: (u64, Stamp),
    /// The link that the last message went over, if one did.
    over: Option<u32>,
}

/// All conversations of a reactor.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    all: Vec<Conversation>,
    /// Of each of `all`, what no message looks at that stays in the box.
    about: Vec<About>,
    by_pair: HashMap<(SlotIndex, AgentId), ConversationIndex, foldhash::fast::FixedState>,
    lines: Vec<Lines>,
    /// Which have kept a message that a leaf has parked, by sender and leaf.
    keepers: BTreeMap<(SlotIndex, AgentId), BTreeSet<ConversationIndex>>,
    /// Those of `all` and `lines` that are nobody's.
    free: Vec<ConversationIndex>,
    free_lines: Vec<LinesIndex>,
    /// How many began since idle ones were looked for.
    begun: usize,
    /// Conversations with messages that could not be sent for want of room.
    starved: Starved,
}

impl Conversations {
    /// Lane 0 of a conversation.
    #[inline]
    pub fn find(&self, from: SlotIndex, to: AgentId) -> Option<ConversationIndex> {
        self.by_pair.get(&(from, to)).copied()
    }

    /// The conversation in this lane of `base`'s destination, if there is one.
    #[inline]
    pub fn lane(&self, base: ConversationIndex, lane: u16) -> Option<ConversationIndex> {
        match lane {
            0 => Some(base),
            lane => self[base].lanes.get(usize::from(lane)).copied().flatten(),
        }
    }

    /// A new one, in lane 0. `began`: as for [`Conversation::new`].
    pub fn add(
        &mut self,
        from: SlotIndex,
        to: AgentId,
        route: RouteIndex,
        began: u64,
    ) -> ConversationIndex {
        let index = self.push(Conversation::new((from, to), route, 0, began), began);
        self.by_pair.insert((from, to), index);
        index
    }

    /// The conversation in this lane of `base`'s destination.
    #[inline]
    pub fn in_lane(&mut self, base: ConversationIndex, lane: u16) -> ConversationIndex {
        self.lane(base, lane).unwrap_or_else(|| self.add_lane(base, lane))
    }

    /// The lane, of so many, for the next message to children that are alike.
    pub fn choose_lane(&mut self, base: ConversationIndex, by: PickBy, lanes: u16) -> u16 {
        self[base].chosen = self[base].chosen.wrapping_add(1);
        let first = (self[base].chosen % u32::from(lanes.max(1))) as u16;
        let outstanding =
            |lane: &u16| self.lane(base, *lane).map_or(0, |at| self[at].outstanding());
        let mut in_turn = (0..lanes).map(|step| 1 + (first + step) % lanes);
        match by {
            PickBy::LeastOutstanding => in_turn.min_by_key(outstanding).unwrap_or(0),
            _ => in_turn.next().unwrap_or(0),
        }
    }

    #[cold]
    fn add_lane(&mut self, base: ConversationIndex, lane: u16) -> ConversationIndex {
        let Conversation { from, to, route, .. } = self[base];
        let (lines, began) = (self[base].lines, self.about[base.0 as usize].began);
        let index = self.push(Conversation::new((from, to), route, lane, began), began);
        self[index].lines = lines;
        let lanes = &mut self[base].lanes;
        if lanes.len() <= usize::from(lane) {
            lanes.resize(usize::from(lane) + 1, None);
        }
        lanes[usize::from(lane)] = Some(index);
        index
    }

    fn push(&mut self, new: Conversation, began: u64) -> ConversationIndex {
        self.begun += 1;
        let about = About { began, ..About::default() };
        match self.free.pop() {
            Some(index) => {
                self[index] = new;
                self.about[index.0 as usize] = about;
                index
            }
            None => {
                self.all.push(new);
                self.about.push(about);
                ConversationIndex(self.all.len() as u32 - 1)
            }
        }
    }

    /// For how long nothing was sent, as far as this was asked before.
    pub fn rests_ns(&mut self, at: ConversationIndex, now: Stamp) -> u64 {
        let next = self[at].next_number().0;
        let seen = &mut self.about[at.0 as usize].seen;
        if seen.0 != next {
            *seen = (next, now);
            return 0;
        }
        // What was seen before rests, though no time has passed.
        1 + now.0.saturating_sub(seen.1.0)
    }

    /// Something goes over a link: whether what went before did not.
    #[inline]
    pub fn goes_over(&mut self, at: ConversationIndex, link: u32) -> bool {
        self.about[at.0 as usize].over.replace(link) != Some(link)
    }

    /// The link that the last message of one goes over, if it does.
    pub fn link_of(&self, at: ConversationIndex) -> Option<u32> {
        self.about[at.0 as usize].over
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// How many began since this was asked last.
    pub fn take_begun(&mut self) -> usize {
        std::mem::take(&mut self.begun)
    }

    /// How many have begun since then.
    #[inline]
    pub fn begun(&self) -> usize {
        self.begun
    }

    /// Those of lane 0.
    pub fn bases(&self) -> Vec<ConversationIndex> {
        self.iter().filter(|(_, it)| it.lane() == 0).map(|(at, _)| at).collect()
    }

    /// How many lines to leaves there are.
    pub fn line_count(&self) -> usize {
        self.lines.iter().map(Lines::count).sum()
    }

    /// One with all its lanes.
    pub fn family(&self, base: ConversationIndex) -> impl Iterator<Item = ConversationIndex> {
        std::iter::once(base).chain(self[base].lanes.iter().flatten().copied())
    }

    /// Takes out one of lane 0, with all its lanes: they are idle.
    pub fn free(&mut self, base: ConversationIndex) {
        let (pair, lines) = ((self[base].from, self[base].to), self[base].lines);
        self.by_pair.remove(&pair);
        if let Some(lines) = lines {
            self.lines[lines.0 as usize] = Lines::new(base);
            self.free_lines.push(lines);
        }
        let family: Vec<_> = self.family(base).collect();
        self.forget_keepers(pair.0, &family);
        for index in &family {
            let nobody = (SlotIndex::NOBODY, AgentId(0));
            self[*index] = Conversation::new(nobody, RouteIndex::REPLIES, 0, 0);
        }
        self.free.extend(family);
    }

    /// Lane 0 of a conversation.
    pub fn base(&self, at: ConversationIndex) -> ConversationIndex {
        match self[at].lane() {
            0 => at,
            _ => self.find(self[at].from, self[at].to).expect("lanes are those of a lane 0"),
        }
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (ConversationIndex, &Conversation)> {
        let all = self.all.iter().enumerate();
        let all = all.map(|(index, it)| (ConversationIndex(index as u32), it));
        all.filter(|(_, it)| it.from != SlotIndex::NOBODY)
    }

    /// Which of `from`'s conversations keeps a message that went to `physical`.
    pub fn keeper(
        &self,
        from: SlotIndex,
        physical: AgentId,
        number: Number,
    ) -> Option<ConversationIndex> {
        let mut some = self.keepers.get(&(from, physical))?.iter();
        some.find(|at| self[**at].keeps(number, physical)).copied()
    }

    /// Keeps a message that was parked by its leaf.
    pub fn keep_parked(&mut self, at: ConversationIndex, number: Number, waiting: Waiting) {
        let physical = Record::of(&waiting.record).destination();
        self.keepers.entry((self[at].from, physical)).or_default().insert(at);
        self[at].keep(number, waiting);
    }

    fn forget_keepers(&mut self, from: SlotIndex, gone: &[ConversationIndex]) {
        let all = (from, AgentId(0))..=(from, AgentId(u64::MAX));
        let is_over = |_: &(SlotIndex, AgentId), some: &mut BTreeSet<ConversationIndex>| {
            gone.iter().for_each(|at| _ = some.remove(at));
            some.is_empty()
        };
        self.keepers.extract_if(all, is_over).for_each(drop);
    }

    /// What was parked at a link's peer is to be sent again.
    pub fn unsettle(&mut self, link: u32) {
        for index in 0..self.all.len() {
            for (number, record) in self.all[index].unsettle(link) {
                self.put_back(ConversationIndex(index as u32), number, record);
            }
        }
    }

    /// What went over a link and is not done, and what waits in the same conversations.
    pub fn went_over(&self, link: u32) -> Vec<(ConversationIndex, Number)> {
        let mut all = Vec::new();
        for (at, it) in self.iter() {
            let is_all = self.about[at.0 as usize].over == Some(link);
            let undone = it.undone().filter(|number| is_all || it.is_settled_at(*number, link));
            all.extend(undone.map(|number| (at, number)));
            let asks = if is_all { it.asks.numbers() } else { it.asks.over(link).collect() };
            all.extend(asks.into_iter().map(|number| (at, number)));
        }
        all
    }

    /// Nothing refers to a link any more.
    pub fn forget_link(&mut self, link: u32) {
        self.all.iter_mut().for_each(|it| it.asks.forget_link(link));
        let over = self.about.iter_mut().filter(|about| about.over == Some(link));
        over.for_each(|about| about.over = None);
    }

    /// The controller has said something: who still misses a route asks again.
    pub fn ask_anew(&mut self) {
        self.all.iter_mut().for_each(|it| it.is_asked_for = false);
    }

    /// Those with messages that could be sent.
    pub fn waiting(&self) -> Vec<ConversationIndex> {
        self.iter().map(|(at, _)| at).filter(|at| self.waits(*at)).collect()
    }

    /// Whether some of a conversation's messages could be sent.
    pub fn waits(&self, at: ConversationIndex) -> bool {
        self[at].is_waiting() || self[at].in_line > 0
    }
}

impl std::ops::Index<ConversationIndex> for Conversations {
    type Output = Conversation;
    #[inline]
    fn index(&self, index: ConversationIndex) -> &Conversation {
        &self.all[index.0 as usize]
    }
}

impl std::ops::IndexMut<ConversationIndex> for Conversations {
    #[inline]
    fn index_mut(&mut self, index: ConversationIndex) -> &mut Conversation {
        &mut self.all[index.0 as usize]
    }
}
