//! The sender's half of the stage `ordered`: a line to each leaf.
//!
//! What one agent sends one destination in order gets *tickets*, whichever lanes it is numbered in. It waits
//! in the line to its leaf, in the order of the tickets, gets a *place* there when it leaves, and the same
//! place if it leaves for that leaf again. When the ways change, all that waits is sorted anew. A leaf that
//! has points which another had gets nothing while something is under way to that other: it is done there,
//! or comes back, and then leaves by the new way in the order of its ticket. Copies that are alike take no
//! points over from each other: what one has is not waited for by the others.
//!
//! What came back and goes elsewhere gives its place up: its leaf, if it lives, waits for whoever takes that. Nobody does
//! who would overtake what is under way, and behind whoever does nobody leaves until it is done.
//!
//! A leaf that the ways lead to no more, though all of them are known, is a life that is over: its line goes
//! when nothing is under way in it.

use std::collections::{BTreeMap, VecDeque};

use daedal_model::done::WINDOW;
use daedal_model::id::{AgentId, Number};
use daedal_model::point::PointRange;
use hashbrown::HashMap;

use crate::conversation::ConversationIndex;
use crate::ordered::{NO_PLACE, Place};
use crate::planted::{self, Bug};

/// Messages under way in one line at most. Half of the places that its leaf tells apart: what came back
/// with a place counts for the other half.
const UNDER_WAY_MAX: u64 = WINDOW / 2;

/// Counts what one agent sends one destination in order.
pub(crate) type Ticket = u64;

/// A message that waits, in the order in which it may leave. Parts of a broadcast share its ticket.
pub(crate) type Waits = (Ticket, ConversationIndex, Number);

/// Which of the lines of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineIndex(u32);

/// The lines of one agent to the leaves of one destination.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Lane 0 of the conversation.
    pub base: ConversationIndex,
    /// The state of the destination's ways that the lines follow.
    ways: Option<u32>,
    next: Ticket,
    /// One for each leaf; the line of leaf 0 is nobody's.
    all: Vec<Line>,
    free: Vec<LineIndex>,
    by_leaf: HashMap<AgentId, LineIndex, foldhash::fast::FixedState>,
    lately: LineIndex,
    /// Messages under way in lines that the ways do not lead to any more, or for other points.
    strays: u64,
    /// What has to find its line.
    unsorted: BTreeMap<Waits, Vec<u8>>,
    /// What has none, for its leaf is not known.
    adrift: BTreeMap<Waits, Vec<u8>>,
}

/// The line to one leaf.
#[derive(Debug)]
struct Line {
    leaf: AgentId,
    /// The leaf's points, as the ways have it; `None`: it is one of several copies.
    range: Option<PointRange>,
    /// The points for which something may be under way to it: the ways may give a life that is ending the points
    /// of the one after it.
    had: Option<PointRange>,
    /// Whether the ways lead there.
    is_led_to: bool,
    /// The last place that is taken, and the last that ever was.
    taken: Place,
    last: Place,
    /// Places before the last taken one that nothing is under way by, and whose messages had which tickets. Higher tickets
    /// must not leave by them while something is under way that they would overtake: [`Ticket::MAX`] is one of copies,
    /// among which nobody asks for that.
    free: BTreeMap<Place, Ticket>,
    /// What left last has a place that another had, which the leaf may have passed: whoever leaves behind it might overtake
    /// it.
    is_alone: bool,
    under_way: u64,
    waiting: BTreeMap<Waits, Vec<u8>>,
}

impl Lines {
    pub fn new(base: ConversationIndex) -> Lines {
        Lines {
            base,
            ways: None,
            next: 0,
            all: Vec::new(),
            free: Vec::new(),
            by_leaf: HashMap::default(),
            lately: LineIndex(0),
            strays: 0,
            unsorted: BTreeMap::new(),
            adrift: BTreeMap::new(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_leaf.len()
    }

    /// The ticket of the next message.
    #[inline]
    pub fn ticket(&mut self) -> Ticket {
        self.next += 1;
        self.next
    }

    /// Whether a message may leave for this leaf past whatever waits, which is nothing for that leaf.
    #[inline]
    pub fn is_open(&mut self, ways: u32, leaf: AgentId) -> bool {
        self.follows(ways)
            && self.unsorted.is_empty()
            && self
                .find(leaf)
                .is_some_and(|line| self.line(line).waiting.is_empty() && self.may_leave(line))
    }

    /// Whether what is first in a line may leave.
    #[inline]
    fn may_leave(&self, line: LineIndex) -> bool {
        let it = self.line(line);
        let most = if it.is_alone { 1 } else { UNDER_WAY_MAX };
        it.is_led_to && it.under_way < most && (self.strays == 0 || !self.is_awaited(it))
    }

    /// Whether something is under way to who had points of this leaf before.
    fn is_awaited(&self, it: &Line) -> bool {
        let others = self.all.iter().filter(|old| old.leaf != it.leaf && old.under_way > 0);
        let mut strays = others.filter(|old| old.is_stray());
        !planted::is(Bug::OldWayKept) && strays.any(|old| old.had_points_of(it))
    }

    /// Whether the lines lead where the ways do in this state of theirs.
    #[inline]
    pub fn follows(&self, ways: u32) -> bool {
        self.ways == Some(ways)
    }

    /// Leads the lines where the ways lead now. All that waits is to be sorted. `is_whole`: all ways are known.
    pub fn follow(&mut self, ways: u32, leaves: &[(AgentId, Option<PointRange>)], is_whole: bool) {
        self.ways = Some(ways);
        self.unsorted.append(&mut self.adrift);
        for line in &mut self.all {
            line.is_led_to = false;
            self.unsorted.append(&mut line.waiting);
        }
        for (leaf, range) in leaves {
            let line = self.find(*leaf).unwrap_or_else(|| self.add(*leaf));
            let it = &mut self.all[line.0 as usize];
            (it.is_led_to, it.range) = (true, *range);
            it.had = match (it.under_way, it.had, *range) {
                (1.., Some(had), Some(range)) => Some(PointRange {
                    first: had.first.min(range.first),
                    last: had.last.max(range.last),
                }),
                _ => *range,
            };
        }
        if is_whole {
            self.forget_the_over();
        }
        let strays = self.all.iter().filter(|line| line.is_stray());
        self.strays = strays.map(|line| line.under_way).sum();
    }

    fn add(&mut self, leaf: AgentId) -> LineIndex {
        let line = match self.free.pop() {
            Some(free) => {
                self.all[free.0 as usize] = Line::new(leaf);
                free
            }
            None => {
                self.all.push(Line::new(leaf));
                LineIndex(self.all.len() as u32 - 1)
            }
        };
        self.by_leaf.insert(leaf, line);
        line
    }

    fn forget_the_over(&mut self) {
        for (index, line) in self.all.iter_mut().enumerate() {
            if line.leaf != NOBODY && !line.is_led_to && line.under_way == 0 {
                self.by_leaf.remove(&line.leaf);
                *line = Line::new(NOBODY);
                self.free.push(LineIndex(index as u32));
            }
        }
    }

    #[inline]
    fn find(&mut self, leaf: AgentId) -> Option<LineIndex> {
        let is_same = self.all.get(self.lately.0 as usize).is_some_and(|it| it.leaf == leaf);
        if !is_same {
            self.lately = *self.by_leaf.get(&leaf)?;
        }
        Some(self.lately)
    }

    #[inline]
    fn line(&self, line: LineIndex) -> &Line {
        &self.all[line.0 as usize]
    }

    /// The place that a message gets which leaves for this leaf. `had`: the one that it left for it by before.
    pub fn next_place(&self, leaf: AgentId, ticket: Ticket, had: Option<Place>) -> Place {
        let line = self.by_leaf.get(&leaf).map(|line| self.line(*line));
        line.map_or(had.unwrap_or(NO_PLACE + 1), |line| line.next_place(ticket, had))
    }

    /// The next place in the line to this leaf is taken.
    #[inline]
    pub fn take_place(&mut self, leaf: AgentId, ticket: Ticket, had: Option<Place>) -> Place {
        let line = self.find(leaf).unwrap_or_else(|| self.add(leaf));
        let it = &mut self.all[line.0 as usize];
        let place = it.next_place(ticket, had);
        // Those that wait there for a place in front of them wait for the others that are free, too.
        let is_awaited = it.free.remove(&place).is_some() && it.under_way > 0;
        let is_anothers = place <= it.last && had != Some(place);
        it.is_alone = is_anothers && !is_awaited && it.range.is_some();
        (it.taken, it.last) = (it.taken.max(place), it.last.max(place));
        if let Some(had) = had.filter(|had| *had != place) {
            it.give_up_place(ticket, had);
        }
        place
    }

    /// What left for this leaf by this place has come back, and leaves for another, or in parts: those that come
    /// after it must not wait for it there.
    pub fn give_up_place(&mut self, leaf: AgentId, ticket: Ticket, place: Place) {
        if let Some(line) = self.find(leaf).filter(|_| place != NO_PLACE) {
            self.all[line.0 as usize].give_up_place(ticket, place);
        }
    }

    /// Nothing is under way to this leaf, which has forgotten what came before.
    pub fn begin_anew(&mut self, leaf: AgentId) {
        if let Some(line) = self.by_leaf.get(&leaf) {
            let it = &mut self.all[line.0 as usize];
            (it.taken, it.last) = (NO_PLACE, NO_PLACE);
            it.free.clear();
        }
    }

    /// A message is under way to this leaf.
    #[inline]
    pub fn leave(&mut self, leaf: AgentId) -> LineIndex {
        let line = self.find(leaf).unwrap_or_else(|| self.add(leaf));
        let it = &mut self.all[line.0 as usize];
        it.under_way += 1;
        self.strays += u64::from(it.is_stray());
        line
    }

    /// A message in this line is under way no longer.
    #[inline]
    pub fn arrived(&mut self, line: LineIndex) {
        let it = &mut self.all[line.0 as usize];
        it.under_way -= 1;
        self.strays -= u64::from(it.is_stray());
        if it.under_way == 0 && it.is_led_to {
            it.had = it.range;
        }
    }

    /// Keeps a message in a line, or until it has found one.
    pub fn wait(&mut self, line: Option<LineIndex>, waits: Waits, record: Vec<u8>) {
        let queue = match line {
            Some(line) => &mut self.all[line.0 as usize].waiting,
            None => &mut self.unsorted,
        };
        queue.insert(waits, record);
    }

    /// Takes out the first message that has to find its line.
    pub fn next_unsorted(&mut self) -> Option<(Waits, Vec<u8>)> {
        self.unsorted.pop_first()
    }

    /// A message waits for this leaf, or for its leaf to be known.
    pub fn sort(&mut self, leaf: Option<AgentId>, waits: Waits, record: Vec<u8>) {
        let line = leaf.map(|leaf| self.find(leaf).unwrap_or_else(|| self.add(leaf)));
        let queue = match line {
            Some(line) => &mut self.all[line.0 as usize].waiting,
            None => &mut self.adrift,
        };
        queue.insert(waits, record);
    }

    /// The lines that something waits in, and that it may leave.
    pub fn to_leave(&self) -> Vec<LineIndex> {
        let all = (0..self.all.len() as u32).map(LineIndex);
        all.filter(|line| !self.line(*line).waiting.is_empty() && self.may_leave(*line)).collect()
    }

    /// Takes out the first message of a line, if it may leave.
    pub fn next_to_leave(&mut self, line: LineIndex) -> Option<(Waits, Vec<u8>)> {
        if !self.may_leave(line) {
            return None;
        }
        self.all[line.0 as usize].waiting.pop_first()
    }

    /// Takes out a message that waits.
    pub fn take(&mut self, waits: Waits) -> Option<Vec<u8>> {
        let queues = self.all.iter_mut().map(|line| &mut line.waiting);
        let mut queues = queues.chain([&mut self.unsorted, &mut self.adrift]);
        queues.find_map(|queue| queue.remove(&waits))
    }

    /// All messages that wait, in order; they are to be sorted again.
    pub fn waiting(&mut self) -> Vec<Waits> {
        self.ways = None;
        self.unsorted.append(&mut self.adrift);
        self.all.iter_mut().for_each(|line| self.unsorted.append(&mut line.waiting));
        self.unsorted.keys().copied().collect()
    }

    /// Whether something waits for room, or for others to arrive. `full`: lines whose leaves take no more for now.
    pub fn is_waiting_for_room(&self, full: &[LineIndex]) -> bool {
        let mut all = self.all.iter().enumerate();
        let waits = |(at, line): (usize, &Line)| {
            !line.waiting.is_empty() && !full.contains(&LineIndex(at as u32))
        };
        !self.unsorted.is_empty() || all.any(waits)
    }

    /// Whether something waits for its leaf to be known.
    pub fn is_any_adrift(&self) -> bool {
        !self.adrift.is_empty()
    }
}

/// The leaf of a line that is nobody's.
const NOBODY: AgentId = AgentId(0);

impl Line {
    fn new(leaf: AgentId) -> Line {
        Line {
            leaf,
            range: None,
            had: None,
            is_led_to: false,
            taken: NO_PLACE,
            last: NO_PLACE,
            free: BTreeMap::new(),
            is_alone: false,
            under_way: 0,
            waiting: BTreeMap::new(),
        }
    }

    #[inline]
    fn next_place(&self, ticket: Ticket, had: Option<Place>) -> Place {
        let place = had.unwrap_or(self.taken + 1);
        let mut free =
            self.free.iter().filter(|(_, until)| self.under_way == 0 || ticket <= **until);
        free.next().map_or(place, |(free, _)| place.min(*free))
    }

    /// Nothing is under way by this place any more. `ticket`: of what was.
    fn give_up_place(&mut self, ticket: Ticket, place: Place) {
        self.free.insert(place, if self.range.is_none() { Ticket::MAX } else { ticket });
        // Nobody is behind those at the end.
        while self.free.remove(&self.taken).is_some() {
            self.taken -= 1;
        }
    }

    fn is_stray(&self) -> bool {
        !self.is_led_to || self.had != self.range
    }

    fn had_points_of(&self, other: &Line) -> bool {
        let ranges = self.had.zip(other.range);
        ranges.is_some_and(|(one, other)| one.overlaps(&other))
    }
}

/// Where the messages of one lane stand that are to stay in order.
#[derive(Debug, Default)]
pub(crate) struct Stands {
    /// In the order of their numbers; those before the first are done.
    all: VecDeque<(Number, Stand)>,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    pub ticket: Ticket,
    pub at: At,
}

/// What is known of where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// It is being written, or sent.
    Hand,
    /// It waits here.
    Waiting,
    /// It is under way in this line; if it goes to several, in that of one of them.
    UnderWay(LineIndex),
    /// It waits for some of its leaves, and is under way to others.
    Both(LineIndex),
    /// It was done.
    Done,
}

impl Stands {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A message has its number and ticket.
    #[inline]
    pub fn add(&mut self, number: Number, ticket: Ticket) {
        let stand = (number, Stand { ticket, at: At::Hand });
        match self.all.back() {
            Some((last, _)) if *last > number => self.all.insert(self.first_from(number), stand),
            _ => self.all.push_back(stand),
        }
    }

    /// The place of the first that has this number or a higher one.
    #[inline]
    fn first_from(&self, number: Number) -> usize {
        match self.all.front() {
            Some((first, _)) if *first >= number => 0,
            _ => self.all.partition_point(|(at, _)| *at < number),
        }
    }

    /// Whether a message waits in a line.
    pub fn is_waiting(&self, number: Number) -> bool {
        let stand = self.all.get(self.first_from(number)).filter(|(at, _)| *at == number);
        stand.is_some_and(|(_, stand)| matches!(stand.at, At::Waiting | At::Both(_)))
    }

    /// Where a message stands, if it is to stay in order and not done.
    #[inline]
    pub fn find(&mut self, number: Number) -> Option<&mut Stand> {
        let at = self.first_from(number);
        let (found, stand) = self.all.get_mut(at)?;
        (*found == number).then_some(stand)
    }

    /// Looks at `count` messages from `first` on, and forgets those in front that are done.
    #[inline]
    pub fn each(&mut self, first: Number, count: u64, mut see: impl FnMut(Number, &mut Stand)) {
        for at in self.first_from(first)..self.all.len() {
            let (number, stand) = &mut self.all[at];
            if number.0 - first.0 >= count {
                break;
            }
            see(*number, stand);
        }
        while let Some((_, Stand { at: At::Done, .. })) = self.all.front() {
            self.all.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
