//! What of conversations stays in order: each message has a number in its lane, and a stand in the lines that
//! all lanes share.

use daedal_model::id::{AgentId, Number};

use super::Conversations;
use crate::conversation::{ConversationIndex, LinesIndex, Until, Waiting};
use crate::lines::{At, LineIndex, Lines, Ticket};
use crate::ordered::Place;
use crate::record::Record;
use crate::slot::SlotIndex;

impl Conversations {
    /// The lines of a conversation, which begin with its first message that is to stay in order.
    #[inline]
    pub fn lines_of(&mut self, at: ConversationIndex) -> LinesIndex {
        match self[at].lines {
            Some(lines) => lines,
            None => self.begin_lines(at),
        }
    }

    #[cold]
    fn begin_lines(&mut self, at: ConversationIndex) -> LinesIndex {
        let base = self.base(at);
        let lines = self[base].lines.unwrap_or_else(|| self.add_lines(base));
        (self[base].lines, self[at].lines) = (Some(lines), Some(lines));
        lines
    }

    fn add_lines(&mut self, base: ConversationIndex) -> LinesIndex {
        if let Some(free) = self.free_lines.pop() {
            self.lines[free.0 as usize] = Lines::new(base);
            return free;
        }
        self.lines.push(Lines::new(base));
        LinesIndex(self.lines.len() as u32 - 1)
    }

    #[inline]
    pub fn lines(&mut self, lines: LinesIndex) -> &mut Lines {
        &mut self.lines[lines.0 as usize]
    }

    /// A message is to stay in order behind those that were sent before. `ticket`: that of the broadcast that
    /// it is a part of.
    #[inline]
    pub fn line_up(
        &mut self,
        at: ConversationIndex,
        number: Number,
        ticket: Option<Ticket>,
    ) -> Ticket {
        let lines = self.lines_of(at);
        let ticket = ticket.unwrap_or_else(|| self.lines(lines).ticket());
        self[at].stands.add(number, ticket);
        ticket
    }

    /// Whether a message that is to stay in order may leave for this leaf at once.
    #[inline]
    pub fn is_open(&mut self, at: ConversationIndex, ways: u32, leaf: AgentId) -> bool {
        let lines = self.lines_of(at);
        self.lines(lines).is_open(ways, leaf)
    }

    /// The ticket of a message that is to stay in order.
    pub fn ticket(&mut self, at: ConversationIndex, number: Number) -> Option<Ticket> {
        self[at].stands.find(number).map(|stand| stand.ticket)
    }

    /// A message that is to stay in order goes to this leaf.
    #[inline]
    pub fn leave(&mut self, at: ConversationIndex, number: Number, leaf: AgentId) {
        let lines = self.lines_of(at);
        let (it, lines) = (&mut self.all[at.0 as usize], &mut self.lines[lines.0 as usize]);
        if let Some(stand) = it.stands.find(number)
            && let At::Hand = stand.at
        {
            stand.at = At::UnderWay(lines.leave(leaf));
        }
    }

    /// The next free place in the line to a leaf. `had`: the one that the message left for it by before.
    pub fn next_place(
        &mut self,
        (at, ticket): (ConversationIndex, Ticket),
        leaf: AgentId,
        had: Option<Place>,
    ) -> Place {
        let lines = self.lines_of(at);
        self.lines(lines).next_place(leaf, ticket, had)
    }

    /// Takes it.
    #[inline]
    pub fn take_place(
        &mut self,
        (at, ticket): (ConversationIndex, Ticket),
        leaf: AgentId,
        had: Option<Place>,
    ) -> Place {
        let lines = self.lines_of(at);
        self.lines(lines).take_place(leaf, ticket, had)
    }

    /// A message that left for this leaf by this place goes to another, or in parts.
    pub fn give_up_place(
        &mut self,
        (at, ticket): (ConversationIndex, Ticket),
        leaf: AgentId,
        place: Place,
    ) {
        let lines = self.lines_of(at);
        self.lines(lines).give_up_place(leaf, ticket, place);
    }

    /// Keeps a record that is to be sent, or sent again: in its line, if it is to stay in order.
    pub fn put_back(&mut self, at: ConversationIndex, number: Number, record: Vec<u8>) {
        if Record::of(&record).place().is_none() {
            return self[at].keep(number, Waiting { record, until: Until::Sendable });
        }
        if self[at].is_given_up(number) {
            return self.give_up(at, number);
        }
        if self[at].stands.find(number).is_none() {
            let _ = self.line_up(at, number, None);
        }
        self.wait_in_line(at, number, record, None);
    }

    /// A record stays in this line, or, without one, finds it anew.
    pub fn wait_in_line(
        &mut self,
        at: ConversationIndex,
        number: Number,
        record: Vec<u8>,
        line: Option<LineIndex>,
    ) {
        let lines = self.lines_of(at);
        let (it, lines) = (&mut self.all[at.0 as usize], &mut self.lines[lines.0 as usize]);
        let is_fanned_out = it.is_fanned_out(number);
        let Some(stand) = it.stands.find(number) else { return };
        stand.at = match stand.at {
            At::Hand => At::Waiting,
            At::UnderWay(line) if is_fanned_out => At::Both(line),
            At::UnderWay(line) => {
                lines.arrived(line);
                At::Waiting
            }
            At::Waiting | At::Both(_) | At::Done => return,
        };
        let waits = (stand.ticket, at, number);
        it.wait_in_line(&record);
        lines.wait(line, waits, record);
    }

    /// A record was taken out of its line.
    pub fn took_from_line(&mut self, at: ConversationIndex, number: Number, record: &[u8]) {
        let it = &mut self[at];
        it.left_line(record);
        let stand = it.stands.find(number).expect("what waits in a line stands in it");
        stand.at = match stand.at {
            At::Both(line) => At::UnderWay(line),
            _ => At::Hand,
        };
    }

    /// `number` was processed by one who had it.
    #[inline]
    pub fn done(&mut self, at: ConversationIndex, number: Number) {
        if !self[at].done_next(number) {
            self.done_run(at, number, 1);
        }
    }

    /// `count` messages from `first` on were processed by those who had them.
    pub fn done_run(&mut self, at: ConversationIndex, first: Number, count: u64) {
        let it = &mut self[at];
        debug_assert_ne!(it.from, SlotIndex::NOBODY, "what is under way is not freed");
        it.done_run(first, count);
        if !it.stands.is_empty() {
            self.settle_stands(at, first, count);
        }
    }

    /// The leaf at `physical` has done the part of `number` that it had parked.
    pub fn part_done(&mut self, at: ConversationIndex, number: Number, physical: AgentId) {
        self[at].part_done(number, physical);
        self.settle_stands(at, number, 1);
    }

    /// `number` goes to nobody any more.
    pub fn give_up(&mut self, at: ConversationIndex, number: Number) {
        if let Some(lines) = self[at].lines
            && let Some(ticket) = self.ticket(at, number)
            && let Some(record) = self.lines(lines).take((ticket, at, number))
        {
            self.took_from_line(at, number, &record);
        }
        self[at].give_up(number);
        self.settle_stands(at, number, 1);
    }

    /// `number` is over, whoever has it and whatever becomes of it there.
    pub fn give_up_for_good(&mut self, at: ConversationIndex, number: Number) {
        if self[at].is_done(number) {
            return;
        }
        self[at].forget_fan(number);
        self.give_up(at, number);
    }

    /// Who had these leaves' lines has forgotten them.
    pub fn begin_lines_anew(&mut self, leaves: &[AgentId]) {
        for lines in &mut self.lines {
            leaves.iter().for_each(|leaf| lines.begin_anew(*leaf));
        }
    }

    fn settle_stands(&mut self, at: ConversationIndex, first: Number, count: u64) {
        let it = &mut self.all[at.0 as usize];
        let Some(lines) = it.lines else { return };
        let lines = &mut self.lines[lines.0 as usize];
        let mut stands = std::mem::take(&mut it.stands);
        stands.each(first, count, |number, stand| match stand.at {
            At::UnderWay(line) | At::Both(line) if it.is_done(number) => {
                lines.arrived(line);
                stand.at = At::Done;
            }
            At::Both(line) if !it.is_fanned_out(number) => {
                lines.arrived(line);
                stand.at = At::Waiting;
            }
            _ if it.is_done(number) => stand.at = At::Done,
            _ => {}
        });
        it.stands = stands;
    }
}
