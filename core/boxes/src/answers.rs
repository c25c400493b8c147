//! Answers: which ask a reply belongs to, whether it is still waited for, and whether it is all of the answer.
//!
//! An ask is answered once: by its reply, by what the replies of several come to (`matching`, `gather`), by a
//! refusal, or by the word that nothing is known.

use daedal_model::agent::{Answer, Outcome, Refusal};
use daedal_model::id::Number;
use daedal_net::driver::Driver;

use crate::gather::{Gather, Which};
use crate::plane::{Hand, Work, nobody};
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::slot::SlotIndex;
use crate::turn::{Fate, Turn};

impl<D: Driver> Turn<D> {
    /// A reply has come to one of our agents.
    pub(crate) fn take_answer(
        &mut self,
        to: SlotIndex,
        record: &Record<'_>,
        number: Number,
    ) -> Fate {
        let Some(schema) = self.plane.templates.kinds().schema(record.kind) else {
            self.plane.counts.unknown_schema += 1;
            return Fate::Done;
        };
        let (from, body) = (record.name().source, record.body());
        let Some(at) = self.plane.conversation_of(to, from, number) else {
            self.plane.counts.stray_answers += 1;
            return Fate::Done;
        };
        if !self.plane.matchings.is_empty() {
            let child = record.child().unwrap_or(from);
            let is_enough = self.plane.matchings.hear((at, number), child, schema, body);
            if is_enough == Some(false) {
                return Fate::Done;
            }
        }
        // Answered by another life of one part, or given up as unknown: nobody is told twice.
        if !self.plane.close_ask(at, number) {
            self.plane.counts.stray_answers += 1;
            return Fate::Done;
        }
        if !self.plane.gathers.is_empty()
            && let Ok(gathered) = self.plane.gathers.answered((at, number), schema, body)
        {
            gathered
                .into_iter()
                .for_each(|(whole, gather)| self.answer_for_all(to, whole, &gather));
            return Fate::Done;
        }
        let answer = Answer { from, to: number, outcome: Outcome::Reply { schema, body } };
        self.answered(to, (at, number), &answer);
        if planted::is(Bug::AnsweredTwice) {
            self.answered(to, (at, number), &answer);
        }
        Fate::Done
    }

    /// All parts of a request are answered: the replies become one.
    fn answer_for_all(&mut self, to: SlotIndex, (at, number): Which, gather: &Gather) {
        if !self.plane.close_ask(at, number) {
            return;
        }
        let merged = gather.merge(&self.plane.templates);
        let outcome = match &merged {
            Some((schema, body)) => Outcome::Reply { schema: *schema, body },
            None => Outcome::Refused(Refusal::WrongSchema),
        };
        let from = self.plane.conversations[at].to;
        self.answered(to, (at, number), &Answer { from, to: number, outcome });
    }

    /// `ask`: which ask that is, by which many of one name know who of them asked.
    #[inline(always)]
    fn answered(&mut self, to: SlotIndex, ask: Which, answer: &Answer<'_>) {
        if !self.plane.askers.is_empty()
            && let Some(member) = self.plane.askers.remove(&ask)
        {
            return self.answered_to_one(to, member, answer);
        }
        self.tell_answer(to, answer);
    }

    fn tell_answer(&mut self, to: SlotIndex, answer: &Answer<'_>) {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return };
        slot.last_stamp = slot.last_stamp.max(self.plane.now);
        let envelope = nobody(slot.last_stamp);
        let id = slot.source;
        let mut work = Work { plane: &mut self.plane, slot: to, hand: Hand::default() };
        slot.host.answered(id, answer, &envelope, &mut work);
        if slot.has_waiting() || self.port == Some(to) {
            self.after_transition(to);
        }
    }

    /// Tells agents whose asks will not be replied to.
    pub(crate) fn tell_unanswered(&mut self) -> bool {
        let mut any = false;
        // Who is told may ask again, and be refused at once.
        for _ in 0..self.plane.unanswered.len() {
            let Some(it) = self.plane.unanswered.pop_front() else { break };
            any = true;
            let outcome = it.refusal.map_or(Outcome::Unknown, Outcome::Refused);
            let answer = Answer { from: it.from, to: it.ask.1, outcome };
            self.answered(it.slot, it.ask, &answer);
        }
        any
    }
}
