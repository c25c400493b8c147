//! Brings messages to agents: from bytes and a type that is known only here to a typed transition.
//!
//! A message that never left the process is not validated again; one that came over a link is checked
//! before the agent sees it (rkyv's bytecheck). Invariant: [`Trust::Ours`] is given only to bytes that
//! this process encoded, for the very schema that the header's kind stands for. What such bytes are,
//! [`Wire`] and [`Encode`](daedal_model::encode::Encode) promise.

#![expect(unsafe_code, reason = "bytes that this process encoded are read without a check")]

use std::os::fd::RawFd;

use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::{Context, Effects, Envelope};
use daedal_model::id::AgentId;
use daedal_model::message::{Invalid, Schema, Wire};
use daedal_model::point::PointRange;
use daedal_model::port::{Command, Kept, Port};
use daedal_model::state::{Captured, State, StateError};

use crate::shim::Shim;

/// Who encoded the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// This process, as the message type that it says. Since that is believed, nobody else may say it:
    ///
    /// ```compile_fail,E0603
    /// let believed = daedal_boxes::deliver::Trust::Ours;
    /// ```
    #[non_exhaustive]
    Ours,
    /// Somebody else.
    Nobody,
}

/// What became of a message that was offered to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The transition was applied.
    Done,
    /// The agent's filter does not want it now.
    Later,
    /// It is for a part of the agent, whose state does not split.
    Indivisible,
}

/// Some of an agent's points.
#[derive(Clone, Debug)]
pub struct Part {
    /// These.
    pub range: PointRange,
    /// All that the agent owns beside.
    pub others: Vec<PointRange>,
}

/// An agent of any type, as a turn runs it.
pub trait Host {
    /// Schema of what the agent is sent.
    fn takes(&self) -> Schema;
    /// The first transition.
    fn start(&mut self, id: AgentId, envelope: &Envelope, effects: &mut dyn Effects);
    /// Offers a message, whose schema is [`Host::takes`].
    /// # Errors
    /// [`Invalid`] when the bytes of a stranger are no message of the agent's type.
    fn offer(
        &mut self,
        id: AgentId,
        body: &[u8],
        trust: Trust,
        envelope: &Envelope,
        effects: &mut dyn Effects,
    ) -> Result<Verdict, Invalid>;
    /// The number that a message brings, if its agent handles messages in the order of theirs.
    fn number(&self, body: &[u8], trust: Trust) -> Option<u64>;
    /// The number whose turn it is.
    fn want(&self) -> u64;
    /// Offers a message that is for some of the agent's points: what the agent is there makes the
    /// transition, the rest stays as it is. Cost: linear in the state.
    /// # Errors
    /// As [`Host::offer`].
    fn offer_part(
        &mut self,
        part: &Part,
        id: AgentId,
        body: &[u8],
        trust: Trust,
        envelope: &Envelope,
        effects: &mut dyn Effects,
    ) -> Result<Verdict, Invalid>;
    /// Hands over the answer to something that the agent asked.
    fn answered(
        &mut self,
        id: AgentId,
        answer: &Answer<'_>,
        envelope: &Envelope,
        effects: &mut dyn Effects,
    );
    /// Its state variables, as they are between two transitions (Ovid §5). A shim has none.
    fn capture(&self) -> Option<Captured>;
    /// Goes on from variables that were captured elsewhere.
    /// # Errors
    /// They are of another agent, or it has none that can be put back.
    fn restore(&mut self, captured: Captured) -> Result<(), StateError>;
    /// Keeps what a life of this reactor was, if the agent is its port.
    fn keep(&mut self, path: String, parts: Vec<Kept>);
    /// Whether it is to be polled.
    fn is_shim(&self) -> bool;
    /// Polls the outside, if the agent is a shim: whether anything happened.
    fn poll(&mut self, id: AgentId, envelope: &Envelope, effects: &mut dyn Effects) -> bool;
    /// What the reactor is to do, if the agent is its port.
    fn take_commands(&mut self) -> Vec<Command>;
    /// What a shim's reactor may park on.
    fn descriptor(&self) -> Option<RawFd>;
    /// How many it is, if it is many agents of one name.
    fn count(&self) -> Option<u32> {
        None
    }
    /// One of many.
    fn one(&mut self, member: u32) -> Option<&mut dyn Host> {
        let _ = member;
        None
    }
    /// The state variables of one of many.
    fn capture_one(&self, member: u32) -> Option<Captured> {
        let _ = member;
        None
    }
}

/// Reads the bytes of a message.
pub(crate) fn open<M: Wire>(body: &[u8], trust: Trust) -> Result<&M::Archived, Invalid> {
    match trust {
        Trust::Ours if body.len() >= size_of::<M::Archived>() => {
            // SAFETY: by the invariant of this file `body` is what an `Encode` of a message of `M`'s schema
            // left; by the contracts of `Encode` and `Wire` it is valid as `M`'s archive, root last.
            // Archived forms are readable at any alignment.
            Ok(unsafe { rkyv::access_unchecked::<M::Archived>(body) })
        }
        _ => M::access(body),
    }
}

/// An agent of a known type, with what else its type can do.
pub(crate) struct Hosted<A: 'static> {
    agent: A,
    can: &'static Abilities<A>,
}

/// What agents of a type can do beside making transitions.
struct Abilities<A> {
    state: Option<Splits<A>>,
    outside: Option<Outside<A>>,
    port: Option<OfPort<A>>,
}

/// What a reactor's own port does for it.
struct OfPort<A> {
    take_commands: fn(&mut A) -> Vec<Command>,
    keep: fn(&mut A, String, Vec<Kept>),
}

/// How the state of an agent is taken, and put back.
struct Splits<A> {
    capture: fn(&A) -> Captured,
    restore: fn(Captured) -> Result<A, StateError>,
}

struct Outside<A> {
    poll: fn(&mut A, &mut Context<'_, A>) -> bool,
    descriptor: fn(&A) -> Option<RawFd>,
}

impl<A> Splits<A> {
    /// The agent, with the part of it that has these points changed.
    /// # Errors
    /// Its state does not split or join; what was sent meanwhile was sent.
    fn change(&self, agent: &A, part: &Part, make: impl FnOnce(&mut A)) -> Result<A, StateError> {
        let ranges: Vec<PointRange> =
            [part.range].into_iter().chain(part.others.iter().copied()).collect();
        let mut parts = (self.capture)(agent).split(&ranges)?;
        let rest = parts.split_off(1);
        let mut changed = (self.restore)(parts.pop().ok_or(StateError::Nothing)?)?;
        make(&mut changed);
        let parts = [(self.capture)(&changed)].into_iter().chain(rest).collect();
        (self.restore)(Captured::join(parts)?)
    }
}

impl<A: Agent + State> Hosted<A> {
    pub(crate) fn agent(agent: A) -> Self {
        let can = const {
            let state = Some(Splits { capture: A::capture, restore: A::restore });
            &Abilities { state, outside: None, port: None }
        };
        Hosted { agent, can }
    }
}

impl<A: Shim> Hosted<A> {
    pub(crate) fn shim(agent: A) -> Self {
        let can = const {
            let outside = Some(Outside { poll: A::poll, descriptor: A::descriptor });
            &Abilities { state: None, outside, port: None }
        };
        Hosted { agent, can }
    }
}

/// An agent, to be run by a turn.
pub fn hosted<A: Agent + State>(agent: A) -> Box<dyn Host> {
    Box::new(Hosted::agent(agent))
}

impl<A: Agent> Hosted<A> {
    /// Reads a message, if the agent wants it now.
    #[inline]
    fn wanted<'a>(
        &self,
        body: &'a [u8],
        trust: Trust,
    ) -> Result<Option<&'a Archived<A::Message>>, Invalid> {
        let message = open::<A::Message>(body, trust)?;
        let is_due = A::number(message).is_none_or(|number| number <= self.agent.want());
        Ok((is_due && self.agent.wants(message)).then_some(message))
    }
}

impl Hosted<Port> {
    pub(crate) fn port() -> Self {
        let can = const {
            let port = Some(OfPort { take_commands: Port::take_commands, keep: Port::keep });
            &Abilities { state: None, outside: None, port }
        };
        Hosted { agent: Port::default(), can }
    }
}

impl<A: Agent> Host for Hosted<A> {
    fn takes(&self) -> Schema {
        <A::Message as Wire>::SCHEMA
    }

    fn start(&mut self, id: AgentId, envelope: &Envelope, effects: &mut dyn Effects) {
        self.agent.start(&mut Context::new(id, envelope, effects));
    }

    fn offer(
        &mut self,
        id: AgentId,
        body: &[u8],
        trust: Trust,
        envelope: &Envelope,
        effects: &mut dyn Effects,
    ) -> Result<Verdict, Invalid> {
        let Some(message) = self.wanted(body, trust)? else { return Ok(Verdict::Later) };
        self.agent.transition(message, &mut Context::new(id, envelope, effects));
        Ok(Verdict::Done)
    }

    fn number(&self, body: &[u8], trust: Trust) -> Option<u64> {
        A::number(open::<A::Message>(body, trust).ok()?)
    }

    fn want(&self) -> u64 {
        self.agent.want()
    }

    fn offer_part(
        &mut self,
        part: &Part,
        id: AgentId,
        body: &[u8],
        trust: Trust,
        envelope: &Envelope,
        effects: &mut dyn Effects,
    ) -> Result<Verdict, Invalid> {
        let Some(message) = self.wanted(body, trust)? else { return Ok(Verdict::Later) };
        let make =
            |agent: &mut A| agent.transition(message, &mut Context::new(id, envelope, effects));
        let changed = self.can.state.as_ref().map(|state| state.change(&self.agent, part, make));
        match changed {
            Some(Ok(agent)) => self.agent = agent,
            Some(Err(_)) | None => return Ok(Verdict::Indivisible),
        }
        Ok(Verdict::Done)
    }

    fn answered(
        &mut self,
        id: AgentId,
        answer: &Answer<'_>,
        envelope: &Envelope,
        effects: &mut dyn Effects,
    ) {
        self.agent.answered(answer, &mut Context::new(id, envelope, effects));
    }

    fn capture(&self) -> Option<Captured> {
        self.can.state.as_ref().map(|state| (state.capture)(&self.agent))
    }

    fn restore(&mut self, captured: Captured) -> Result<(), StateError> {
        let state = self.can.state.as_ref().ok_or(StateError::Nothing)?;
        self.agent = (state.restore)(captured)?;
        Ok(())
    }

    fn keep(&mut self, path: String, parts: Vec<Kept>) {
        if let Some(port) = &self.can.port {
            (port.keep)(&mut self.agent, path, parts);
        }
    }

    fn poll(&mut self, id: AgentId, envelope: &Envelope, effects: &mut dyn Effects) -> bool {
        let Some(outside) = &self.can.outside else { return false };
        (outside.poll)(&mut self.agent, &mut Context::new(id, envelope, effects))
    }

    fn is_shim(&self) -> bool {
        self.can.outside.is_some()
    }

    fn take_commands(&mut self) -> Vec<Command> {
        let take = self.can.port.as_ref().map(|port| port.take_commands);
        take.map(|take| take(&mut self.agent)).unwrap_or_default()
    }

    fn descriptor(&self) -> Option<RawFd> {
        self.can.outside.as_ref().and_then(|outside| (outside.descriptor)(&self.agent))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use daedal_model::encode::{Body, Encode, Encoder, encode_to_vec};
    use daedal_model::message;
    use daedal_model::message::Message;

    use super::*;

    /// One of everything that a message may hold.
    #[message(crate = daedal_model)]
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Everything {
        Put { key: String, value: Vec<u8>, part: Option<Part> },
        Numbers(u8, i16, u32, i64, bool, (), [u8; 5]),
        Lists(Vec<Vec<String>>, Vec<(bool, Part)>, Option<Vec<Option<u32>>>),
        Nothing,
    }

    /// Smaller than the largest archive.
    #[message(crate = daedal_model)]
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Part {
        Empty,
        Text(String),
    }

    /// What is believed is what a check finds, wherever the bytes lie and however they came there.
    fn check<M: Message + Body<Message = M> + Encode<M> + Debug + PartialEq>(told: &M) {
        let body = encode_to_vec::<M>(told);
        for start in [0, 1, 4, 7] {
            let mut place = vec![0xff; start + body.len()];
            place[start..].copy_from_slice(&body);
            let believed = open::<M>(&place[start..], Trust::Ours).unwrap();
            let checked = open::<M>(&place[start..], Trust::Nobody).unwrap();
            assert_eq!(format!("{believed:?}"), format!("{checked:?}"));
            assert_eq!(&M::owned(believed), told);
        }
        let mut room = vec![0xff; body.len() + 24];
        let mut encoder = Encoder::new(&mut room);
        told.encode(&mut encoder).unwrap();
        let written = encoder.written().len();
        assert_eq!(&M::owned(open::<M>(&room[..written], Trust::Ours).unwrap()), told);
        // Even of ours, what is too short for its root is checked.
        let root = size_of::<M::Archived>();
        assert!(root == 0 || open::<M>(&body[..root - 1], Trust::Ours).is_err());
    }

    #[test]
    fn what_was_encoded_here_is_read_without_a_check_as_with_one() {
        let text = |length: usize| "ä".repeat(length);
        for length in [0, 3, 9, 20] {
            let part = Some(Part::Text(text(length)));
            let value = vec![7; length];
            check(&Everything::Put { key: text(length), value, part });
            let texts = vec![vec![text(length); length % 5], Vec::new()];
            let parts = vec![(true, Part::Empty), (false, Part::Text(text(length)))];
            check(&Everything::Lists(texts, parts, Some(vec![None, Some(length as u32)])));
            check(&Part::Text(text(length)));
            check(&text(length));
            check(&vec![(length as u32, text(length)); length % 3]);
        }
        check(&Everything::Put { key: String::new(), value: Vec::new(), part: None });
        check(&Everything::Numbers(1, -2, u32::MAX, i64::MIN, true, (), *b"bytes"));
        check(&Everything::Nothing);
        check(&Part::Empty);
        check(&());
    }
}
