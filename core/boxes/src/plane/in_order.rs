//! What is to stay in order leaves through its lines: as far as each is open, in the order of the tickets.

use daedal_model::id::Number;
use daedal_net::driver::Driver;

use super::{Parcel, Plane, Stays};
use crate::conversation::{ConversationIndex, LinesIndex};
use crate::conversations::Want;
use crate::lines::LineIndex;
use crate::record::Record;
use crate::routes::Detour;

impl<D: Driver> Plane<D> {
    /// Sends what waits in lines, as far as there are a route and room.
    pub(super) fn release_in_order(&mut self, index: LinesIndex) {
        let base = self.conversations.lines(index).base;
        let destination = &self.routes[self.conversations[base].route];
        let ways = destination.ways;
        if !self.conversations.lines(index).follows(ways) {
            let (leaves, is_whole) = (destination.way.lines(), destination.way.is_whole());
            self.conversations.lines(index).follow(ways, &leaves, is_whole);
        }
        self.sort_lines(index);
        let mut full = Vec::new();
        for line in self.conversations.lines(index).to_leave() {
            let sent = self.release_line(index, line);
            full.extend(matches!(sent, Err(Stays::Full)).then_some(line));
        }
        let lines = self.conversations.lines(index);
        let (is_any_adrift, is_waiting) = (lines.is_any_adrift(), lines.is_waiting_for_room(&full));
        if is_any_adrift {
            self.miss(base);
        }
        if is_waiting {
            self.conversations.starve(base, Want::Any);
        }
    }

    /// Finds a line for each message that has none, up to one for which that cannot be said yet: those
    /// behind it are not to overtake it.
    fn sort_lines(&mut self, index: LinesIndex) {
        while let Some((waits, mut record)) = self.conversations.lines(index).next_unsorted() {
            let (_, at, number) = waits;
            let leaf = match self.leaf_of(at, &Record::of(&record)) {
                Ok(leaf) => Some(leaf.physical),
                Err(Detour::Wait) => None,
                Err(Detour::Each) => {
                    let way = &self.routes[self.conversations[at].route].way;
                    let point = Record::of(&record).point();
                    let whole = way.each_count(point, number.0);
                    let first = whole.and_then(|_| way.each(point, number.0, 0));
                    first.map(|leaf| leaf.physical)
                }
                // Its number cannot be told apart from others yet, nor said to be done.
                Err(_) if self.conversations[at].is_beyond(number) => {
                    return self.conversations.lines(index).wait(None, waits, record);
                }
                Err(detour) => {
                    self.leave_place(at, None, &mut record);
                    self.conversations.took_from_line(at, number, &record);
                    match detour {
                        Detour::Refuse(refusal) => self.refuse(at, &Record::of(&record), refusal),
                        _ => drop(self.cut(at, &record)),
                    }
                    continue;
                }
            };
            // Those behind it in the line to another leaf may leave before it does.
            if leaf.is_some() {
                self.leave_place(at, leaf, &mut record);
            }
            self.conversations.lines(index).sort(leaf, waits, record);
        }
    }

    /// Sends what waits in a line, up to what has to stay.
    fn release_line(&mut self, index: LinesIndex, line: LineIndex) -> Result<(), Stays> {
        while let Some((waits, mut record)) = self.conversations.lines(index).next_to_leave(line) {
            let (_, at, number) = waits;
            if self.conversations[at].is_beyond(number) {
                self.conversations.lines(index).wait(Some(line), waits, record);
                return Err(Stays::NoRoom);
            }
            self.conversations.took_from_line(at, number, &record);
            let sent = match self.leaf_of(at, &Record::of(&record)) {
                Ok(leaf) => self.send_record(at, leaf, &mut Parcel::Given(&mut record)),
                Err(Detour::Each) => self.send_each(at, &mut Parcel::Given(&mut record)),
                Err(_) => Err(Stays::Away),
            };
            if sent.is_err() {
                self.conversations.wait_in_line(at, number, record, Some(line));
                return sent;
            }
            self.relieve(at);
        }
        Ok(())
    }

    /// What waits in the lines of a conversation, to be refused.
    pub fn take_waiting_in_line(
        &mut self,
        at: ConversationIndex,
    ) -> Vec<(ConversationIndex, Number, Vec<u8>)> {
        let Some(lines) = self.conversations[at].lines else { return Vec::new() };
        let mut taken = Vec::new();
        for waits in self.conversations.lines(lines).waiting() {
            let (_, at, number) = waits;
            if self.conversations[at].is_beyond(number) {
                break;
            }
            if let Some(record) = self.conversations.lines(lines).take(waits) {
                self.conversations.took_from_line(at, number, &record);
                taken.push((at, number, record));
            }
        }
        taken
    }
}
