//! What comes over links: frames, whose messages are handled where they lie, and what the links
//! themselves have to tell.

use daedal_model::done::WINDOW;
use daedal_model::id::{AgentId, Number, Space};
use daedal_net::driver::Driver;
use daedal_net::link::{Arrival, LinkEvent, Named, Undone};
use daedal_net::wire::message::{Message, MessageHeader};

use crate::collect::{ASKED_AFTER, RETIRED};
use crate::conversation::{ConversationIndex, Until};
use crate::deliver::Trust;
use crate::hosting::CONTROLLER_AT;
use crate::kinds::Kind;
use crate::plane::Via;
use crate::planted::{self, Bug};
use crate::pressure::{LABEL, ROOM, Word};
use crate::record::{Record, refusal, refusal_code};
use crate::turn::{Fate, Turn};

/// Outcomes that are kept until the word comes what they are of: a window's worth. An honest peer is
/// never that far ahead of its own word.
const EARLY_MAX: usize = WINDOW as usize;
/// Outcome of a message that is done.
const DONE: u32 = 0;
/// Outcome of an ask that an earlier life has processed, whose answer may never come.
const UNANSWERED: u32 = 2;
/// Outcome of a message that its agent neither wants now nor keeps.
const FULL: u32 = 3;
/// Outcome of a message whose agent is not there. Refusals follow it.
const RETURNED: u32 = 256;

impl<D: Driver> Turn<D> {
    pub(crate) fn read_links(&mut self) -> bool {
        let mut received = self.plane.links.poll(self.plane.now);
        let any = !received.is_empty();
        for frame in received.drain(..) {
            if let Some((link, arrival)) = self.plane.links.receive(self.plane.now, frame) {
                self.hear(link);
                if let Some(arrival) = arrival {
                    self.read_frame(link, &arrival);
                }
            }
        }
        self.plane.links.give_back(received);
        any
    }

    fn read_frame(&mut self, link: u32, arrival: &Arrival) {
        let Some(packet) = arrival.packet else { return };
        // Few messages are parked: no allocation where none is.
        let mut parked = Vec::new();
        let (mut records, mut position) = (arrival.records(), 0);
        while let Some(message) = records.next_message() {
            if self.arrive_by_link(link, message) != Fate::Done {
                parked.push(position);
            }
            position += 1;
        }
        if planted::is(Bug::DoneOnReceipt) {
            parked.clear();
        }
        self.plane.links.finish(link, packet, &parked);
    }

    /// Handles a message of a link. Whatever is not done is parked, as its sender sees it; what will
    /// never be done is settled at once.
    fn arrive_by_link(&mut self, link: u32, message: Message<'_>) -> Fate {
        let kinds = self.plane.templates.kinds();
        let kind = self.plane.links.kind(link, Kind(message.header.kind.get()), kinds);
        let record = Record::from_peer(message, kind);
        let fate = self.arrive(&record, Trust::Nobody, Via::Link(link));
        if !matches!(fate, Fate::Done | Fate::Parked) {
            self.settle_by_name(link, message.header, fate);
        }
        fate
    }

    /// Tells the sender of a message that was parked what became of it.
    pub(crate) fn settle_by_name(&mut self, link: u32, header: &MessageHeader, fate: Fate) {
        let outcome = match fate {
            Fate::Done | Fate::Parked => DONE,
            Fate::Unanswered => UNANSWERED,
            Fate::Full => FULL,
            Fate::Returned => RETURNED,
            Fate::Refused(refusal) => RETURNED + u32::from(refusal_code(refusal)),
        };
        let name = Named {
            source: header.source.get(),
            space: header.space.get(),
            destination: header.destination.get(),
            number: header.number.get(),
        };
        self.plane.links.settle_by_name(link, name, outcome);
    }

    /// Handles what a link has to tell.
    pub(crate) fn hear(&mut self, link: u32) {
        while let Some(event) = self.plane.links.next_event(link) {
            match event {
                LinkEvent::Opened => self.release_all(),
                LinkEvent::Done { conversation, first, count } => {
                    self.done(ConversationIndex(conversation), first, count);
                }
                LinkEvent::Parked { conversation, number, record } => {
                    let at = ConversationIndex(conversation);
                    self.hear_parked(link, at, Number(number), record);
                }
                LinkEvent::SettledByName {
                    name, outcome: it @ (RETIRED | ASKED_AFTER), ..
                } => {
                    self.hear_of_space(link, &name, it);
                }
                LinkEvent::SettledByName { name, outcome: it @ (ROOM | LABEL), .. } => {
                    let (space, number) = (Space(name.space), Number(name.number));
                    self.hear_of_leaf(
                        AgentId(name.source),
                        Word::heard(it == ROOM, space, number),
                        Via::Link(link),
                    );
                }
                LinkEvent::SettledByName { name, count, outcome } => {
                    // More than a window of them cannot be outstanding, whatever the peer says.
                    for number in (name.number..).take(count.min(WINDOW as u32) as usize) {
                        self.hear_settled(link, &Named { number, ..name }, outcome);
                    }
                }
                LinkEvent::Large { record } => self.read_large(link, &record),
                LinkEvent::Broken { undone, is_other } => self.mend(link, undone, is_other),
            }
        }
    }

    pub(crate) fn done(&mut self, at: ConversationIndex, first: u64, count: u32) {
        self.plane.conversations.done_run(at, Number(first), u64::from(count));
        self.plane.relieve(at);
    }

    fn read_large(&mut self, link: u32, record: &[u8]) {
        let Ok(message) = MessageHeader::parse(record) else { return };
        if self.arrive_by_link(link, message) == Fate::Done {
            self.settle_by_name(link, message.header, Fate::Done);
        }
    }

    /// The peer has a message, but has not done it: it is kept here until it is settled.
    fn hear_parked(&mut self, link: u32, at: ConversationIndex, number: Number, record: Vec<u8>) {
        let (space, to) = (Record::of(&record).space(), Record::of(&record).destination());
        self.plane.keep(at, number, record, Until::Settled { link });
        if let Some(outcome) = self.early.remove(&(link, space, to, number)) {
            self.settle_kept(link, at, (number, to), outcome);
        }
    }

    fn hear_settled(&mut self, link: u32, name: &Named, outcome: u32) {
        let (space, to) = (Space(name.space), AgentId(name.destination));
        let number = Number(name.number);
        let here = self.plane.spaces.get(&space).copied();
        let Some(slot) = here.or_else(|| self.remains.departed(space)) else { return };
        match self.plane.conversations.keeper(slot, to, number) {
            Some(at) => self.settle_kept(link, at, (number, to), outcome),
            // It came before the word that the message was parked, or a second time; the latter
            // leaves an entry that the end of the session clears.
            None if self.early.len() < EARLY_MAX => {
                self.early.insert((link, space, to, number), outcome);
            }
            None => {}
        }
    }

    fn settle_kept(
        &mut self,
        link: u32,
        at: ConversationIndex,
        (number, to): (Number, AgentId),
        outcome: u32,
    ) {
        let fate = match outcome.checked_sub(RETURNED) {
            None if outcome == FULL => Fate::Full,
            None => Fate::Done,
            Some(code) => refusal(code as u8).map_or(Fate::Returned, Fate::Refused),
        };
        match fate {
            Fate::Done => {
                self.plane.conversations.part_done(at, number, to);
                self.plane.relieve(at);
                if outcome == UNANSWERED {
                    self.plane.no_answer(at, number, None);
                }
            }
            fate => {
                let record = self.plane.conversations[at].take_back(number, to);
                let record = record.expect("it is kept, or nobody would settle it");
                self.plane.asked_in_vain(at, number, link);
                self.came_back(at, (to, Via::Link(link)), &record, fate);
            }
        }
    }

    /// A session ended, for its peer started again: everything that it held, or that was parked there,
    /// goes out once more under its old name. Its agents are gone with it, so the routes to them are
    /// asked for anew, and whoever waited there for a reply waits no longer. If the peer is another process,
    /// nothing comes any more from the one that was.
    pub(crate) fn mend(&mut self, link: u32, undone: Vec<Undone>, is_other: bool) {
        self.early.retain(|(told_by, ..), _| *told_by != link);
        if is_other {
            self.retire_peer(link);
        }
        self.plane.routes.forget_reactor(self.plane.links.peer(link));
        for it in undone {
            let at = ConversationIndex(it.conversation);
            let record = Record::of(&it.record);
            if record.answers().is_some() {
                self.done(at, it.number, 1);
            } else {
                self.plane.conversations[at].take_back(record.number(), record.destination());
                self.plane.keep(at, Number(it.number), it.record, Until::Sendable);
            }
        }
        self.plane.conversations.unsettle(link);
        self.give_up_asks(link);
        self.settle_routes();
        if self.plane.links.peer(link) == CONTROLLER_AT {
            self.tell_that_the_controller_is_new();
        }
    }

    /// What the peer had done, but not answered, nobody knows.
    fn give_up_asks(&mut self, link: u32) {
        let asks: Vec<_> =
            self.plane.conversations.iter().map(|(at, it)| (at, it.asks_over(link))).collect();
        for (at, numbers) in asks {
            for number in numbers {
                self.plane.no_answer(at, number, None);
            }
        }
    }

    fn release_all(&mut self) {
        for at in self.plane.conversations.waiting() {
            self.plane.release(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use daedal_model::id::{BoxId, ReactorAddress, Stamp};
    use daedal_model::message::Schema;

    use super::*;
    use crate::slot::SlotIndex;
    use crate::template::Templates;

    /// What was told of a message that another peer has parked stays told.
    #[test]
    fn a_peer_that_starts_again_takes_no_other_peers_word_back() {
        let mut turn = Turn::alone(Arc::new(Templates::new()));
        turn.host_port("here", Space(7));
        let port = SlotIndex(0);
        for agent_box in [1, 2] {
            let peer = ReactorAddress { agent_box: BoxId(agent_box), reactor: 0 };
            turn.plane.links.to(peer, ([10, 0, 0, 1], 7000).into(), Stamp(0));
        }
        let to = AgentId::of("there");
        let number = turn.plane.post(port, to, Schema(1), &[]);
        let at = turn.plane.conversations.find(port, to).expect("it was written to");
        let (_, record) = turn.plane.conversations[at].next_sendable().expect("it waits");
        let name = Named { source: 0, space: 7, destination: to.0, number: number.0 };
        turn.hear_settled(1, &name, DONE);
        turn.mend(0, Vec::new(), true);
        turn.hear_parked(1, at, number, record);
        assert_eq!(turn.plane.conversations[at].kept_count(), 0);
        assert_eq!(turn.plane.conversations[at].floor(), Number(1));
    }
}
