//! What a transition sees of the world, and all that it can do to it.

use std::marker::PhantomData;
use std::time::Duration;

use crate::address::Address;
use crate::agent::{Agent, ReplyTo};
use crate::control::ToControllerRef;
use crate::encode::{Body, Encode, Encoded, Encoder, Full, append};
use crate::id::{AgentId, Number, Point, Stamp, Trace};
use crate::latt::CONTROLLER;
use crate::message::{Schema, Wire};

/// The message in hand, as its header tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Its name, which is also where its reply goes. Number and space of a timer's message are its own.
    pub name: ReplyTo,
    /// Its routing key, if it has one.
    pub point: Option<Point>,
    /// When it is, for the agent that handles it.
    pub now: Stamp,
    /// What it is followed by.
    pub trace: Trace,
}

/// Where a message that a transition sends is to go, and what of it must be known before its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Whom it is for.
    pub to: Addressee,
    /// Its type.
    pub schema: Schema,
    /// Its routing key.
    pub point: Option<Point>,
    /// Goes to every child of a keyed agent.
    pub broadcast: bool,
    /// Whether its sender waits for an answer.
    pub asks: bool,
    /// Whether it is processed behind what its sender sent before to the same leaf.
    pub in_order: bool,
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// An agent, by its logical id.
    Agent(AgentId),
    /// Whoever sent the message of this name.
    Asker(ReplyTo),
    /// The agent itself, after a delay.
    Myself(Duration),
}

/// A timer that was set by [`Context::after`]: number of the agent's timer, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(pub u64);

/// What carries out what a transition does: a box's turn, or a test.
///
/// A message is sent in two steps, so that it is serialised into the very place that it leaves from:
/// `open` gives room, `close` says how much of it was used. `widen` gives more room to a message that did
/// not fit; where there is none, its body is appended to what `lift` gives, and `close_lifted` takes the whole. A message
/// that goes to several is written `again` for each, so that its body may be serialised more than once; for all who are
/// left there may be other room, or none.
pub trait Effects {
    /// Begins a message: gives room for its body.
    fn open(&mut self, letter: &Letter) -> &mut [u8];
    /// Gives more room for the message that was begun, empty again; `None` when there is no more.
    fn widen(&mut self) -> Option<&mut [u8]>;
    /// Ends a message whose body is the first `bytes` of the room that was given last.
    fn close(&mut self, bytes: usize) -> Closed;
    /// Gives room for the body of a message that was closed, and is to be written again.
    fn again(&mut self) -> &mut [u8];
    /// What stands ahead of the body of the message that was begun, which fits no room: a multiple of 16 bytes.
    fn lift(&mut self) -> Vec<u8>;
    /// Ends a message that was lifted, and has its body now.
    fn close_lifted(&mut self, message: Vec<u8>) -> Number;
    /// Forgets a timer; says whether it was pending.
    fn cancel(&mut self, timer: Timer) -> bool;
    /// Whether more messages wait to be sent than the sender should add to.
    fn is_pressed(&self) -> bool;
    /// Whether that is so of the messages that one of this point (`None`: to all points) would wait behind.
    fn is_pressed_towards(&self, to: AgentId, point: Option<Point>) -> bool;
}

/// What becomes of a message when its body was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is on its way, by this number.
    Whole(Number),
    /// It goes to several, and is written for each where it leaves from: it has to be written once more.
    Again,
}

/// A transition's view of the world. Source: Ovid §3.1.
pub struct Context<'a, A> {
    envelope: &'a Envelope,
    id: AgentId,
    effects: &'a mut dyn Effects,
    agent: PhantomData<fn(&mut A)>,
}

impl<A> std::fmt::Debug for Context<'_, A> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Context").field("id", &self.id).field("envelope", self.envelope).finish()
    }
}

impl<'a, A: Agent> Context<'a, A> {
    /// For those who run agents: a box's turn, or a test.
    pub fn new(id: AgentId, envelope: &'a Envelope, effects: &'a mut dyn Effects) -> Self {
        Context { envelope, id, effects, agent: PhantomData }
    }

    /// The same context, for an agent that this one wraps: one of the same message and reply.
    pub fn of<B>(&mut self) -> Context<'_, B>
    where
        B: Agent<Message = A::Message, Reply = A::Reply>,
    {
        Context::new(self.id, self.envelope, self.effects)
    }

    /// The agent's own logical id.
    pub fn id(&self) -> AgentId {
        self.id
    }

    /// The stamp of the message in hand. Never goes back.
    pub fn now(&self) -> Stamp {
        self.envelope.now
    }

    /// The sender of the message in hand, as this agent may know it.
    pub fn source(&self) -> AgentId {
        self.envelope.name.source
    }

    /// The routing key of the message in hand.
    pub fn point(&self) -> Option<Point> {
        self.envelope.point
    }

    /// Where a reply to the message in hand goes. Keep it to answer later, with [`Context::reply_to`].
    pub fn reply_address(&self) -> ReplyTo {
        self.envelope.name
    }

    /// Sends a message. It is processed exactly once, in no particular order (Ovid §3.4).
    pub fn send<B: Body>(&mut self, to: impl Into<Address>, body: &B) {
        self.post_to(to.into(), body, false, false);
    }

    /// Sends a message whose answer comes to [`Agent::answered`], under the number that is returned. One
    /// that is never answered costs its number's place.
    pub fn ask<B: Body>(&mut self, to: impl Into<Address>, body: &B) -> Number {
        self.post_to(to.into(), body, true, false)
    }

    /// [`Context::send`], through the stage `ordered`: the message is processed behind all those that
    /// this agent has sent in order to the same leaf.
    pub fn send_in_order<B: Body>(&mut self, to: impl Into<Address>, body: &B) {
        self.post_to(to.into(), body, false, true);
    }

    /// [`Context::ask`], through the stage `ordered`, as [`Context::send_in_order`]. The answers come in
    /// any order.
    pub fn ask_in_order<B: Body>(&mut self, to: impl Into<Address>, body: &B) -> Number {
        self.post_to(to.into(), body, true, true)
    }

    /// Answers the message in hand.
    pub fn reply<R: Encode<A::Reply> + ?Sized>(&mut self, reply: &R) {
        self.reply_to(self.envelope.name, reply);
    }

    /// Answers a message that came earlier.
    pub fn reply_to<R: Encode<A::Reply> + ?Sized>(&mut self, to: ReplyTo, reply: &R) {
        let to = Addressee::Asker(to);
        let schema = <A::Reply as Wire>::SCHEMA;
        let letter =
            Letter { to, schema, point: None, broadcast: false, asks: false, in_order: false };
        encode::<A::Reply, R>(self.effects, &letter, reply);
    }

    /// Sends itself a message, once `delay` has gone by.
    pub fn after<B: Body<Message = A::Message>>(&mut self, delay: Duration, body: &B) -> Timer {
        Timer(self.post(Addressee::Myself(delay), body.point(), body, (false, false)).0)
    }

    /// Forgets a timer. `false`: its message has come or is on its way, or it was cancelled before.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        self.effects.cancel(timer)
    }

    /// Has an agent of the top level made, and what it becomes: `template` is one of the system's,
    /// `parameters` are what it is started with, `name=value` a line; empty: what the template says. The
    /// controller chooses the box. Its answer, a [`FromController`](crate::control::FromController), is
    /// `Created` once the agent runs, or `Refused`, and why; it comes to [`Agent::answered`] under the
    /// number that is returned. Asked for once more, there is still one agent. Source: Ovid §3.3, §5.
    pub fn create(&mut self, path: &str, template: &str, parameters: &str) -> Number {
        let (agent_box, reactor) = (None, None);
        let create = ToControllerRef::Create { path, template, parameters, agent_box, reactor };
        self.ask(CONTROLLER, &create)
    }

    /// Has an agent of the top level ended, and what it became. Answered as [`Context::create`], by
    /// `Stopped` once none of it runs, or `Refused`. Its state is gone then. Source: Ovid §3.3, §5.
    pub fn stop(&mut self, path: &str) -> Number {
        self.ask(CONTROLLER, &ToControllerRef::Stop { path })
    }

    /// Whether messages that this agent sent wait for want of room: many, or, of a shim, any to whom it wrote last. A
    /// shim that takes load from outside asks before each message, and stops while this is so: what it does not send is
    /// not copied to wait (`Agent`s need not look: their input is held back for them).
    pub fn is_pressed(&self) -> bool {
        self.effects.is_pressed()
    }

    /// Likewise of messages where `body` would go: a shim goes on taking other load.
    pub fn is_pressed_towards<B: Body>(&self, to: impl Into<Address>, body: &B) -> bool {
        let to: Address = to.into();
        self.effects.is_pressed_towards(to.agent, to.point(body.point()))
    }

    /// [`Context::is_pressed_towards`] of a message that was encoded elsewhere.
    pub fn is_pressed_towards_encoded(&self, to: impl Into<Address>, message: &Encoded) -> bool {
        let to: Address = to.into();
        self.effects.is_pressed_towards(to.agent, to.point(message.point()))
    }

    /// [`Context::send`] of a message that was encoded elsewhere: what shims bring in for others.
    pub fn send_encoded(&mut self, to: impl Into<Address>, message: &Encoded) {
        self.post_encoded(to.into(), message, false);
    }

    /// [`Context::ask`] of a message that was encoded elsewhere.
    pub fn ask_encoded(&mut self, to: impl Into<Address>, message: &Encoded) -> Number {
        self.post_encoded(to.into(), message, true)
    }

    fn post_encoded(&mut self, to: Address, message: &Encoded, asks: bool) -> Number {
        let (schema, point) = (message.schema(), to.point(message.point()));
        let to = Addressee::Agent(to.agent);
        let letter =
            Letter { to, schema, point, broadcast: message.is_broadcast(), asks, in_order: false };
        let bytes = message.bytes();
        let copy = |room: &mut [u8]| {
            room.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(bytes.len())
        };
        write(self.effects, &letter, copy, |message| message.extend_from_slice(bytes))
    }

    #[inline]
    fn post_to<B: Body>(&mut self, to: Address, body: &B, asks: bool, in_order: bool) -> Number {
        self.post(Addressee::Agent(to.agent), to.point(body.point()), body, (asks, in_order))
    }

    fn post<B: Body>(
        &mut self,
        to: Addressee,
        point: Option<Point>,
        body: &B,
        (asks, in_order): (bool, bool),
    ) -> Number {
        let schema = <B::Message as Wire>::SCHEMA;
        let letter = Letter { to, schema, point, broadcast: body.is_broadcast(), asks, in_order };
        encode::<B::Message, B>(self.effects, &letter, body)
    }
}

/// Serialises `body` into the room that `effects` has for it.
fn encode<M: Wire, B: Encode<M> + ?Sized>(
    effects: &mut dyn Effects,
    letter: &Letter,
    body: &B,
) -> Number {
    let place = |room: &mut [u8]| {
        let mut encoder = Encoder::new(room);
        let encoded: Result<(), Full> = body.encode(&mut encoder);
        encoded.is_ok().then(|| encoder.written().len())
    };
    write(effects, letter, place, |message| append(body, message))
}

/// Sends what `place` writes to a room, saying how many bytes, or else `append` behind what there is.
#[inline]
fn write(
    effects: &mut dyn Effects,
    letter: &Letter,
    place: impl Fn(&mut [u8]) -> Option<usize>,
    append: impl FnOnce(&mut Vec<u8>),
) -> Number {
    let mut room = effects.open(letter);
    loop {
        let Some(bytes) = place(room) else {
            let Some(wider) = effects.widen() else { break };
            room = wider;
            continue;
        };
        match effects.close(bytes) {
            Closed::Whole(number) => return number,
            Closed::Again => room = effects.again(),
        }
    }
    let mut message = effects.lift();
    append(&mut message);
    effects.close_lifted(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Archived;
    use crate::control::ToController;
    use crate::outputs::Outputs;

    struct Founder;

    impl Agent for Founder {
        type Message = ();
        type Reply = ();

        fn transition(&mut self, _: &Archived<()>, context: &mut Context<'_, Self>) {
            assert_eq!(context.create("log", "Log", "bytes=9\n"), Number(0));
            assert_eq!(context.stop("log"), Number(1));
        }
    }

    #[test]
    fn the_controller_is_asked_to_create_and_to_stop() {
        let (envelope, mut outputs) = (Envelope::default(), Outputs::default());
        Founder.transition(&(), &mut outputs.context("founder", &envelope));
        for letter in outputs.sent.iter().map(|output| &output.letter) {
            assert_eq!(letter.to, Addressee::Agent(AgentId::of(CONTROLLER)));
            assert!(letter.asks && !letter.broadcast && letter.point.is_none());
        }
        let told = outputs.sent.iter().map(|output| output.open::<ToController>().unwrap());
        let create = ToController::Create {
            path: "log".to_owned(),
            template: "Log".to_owned(),
            parameters: "bytes=9\n".to_owned(),
            agent_box: None,
            reactor: None,
        };
        assert_eq!(
            told.collect::<Vec<_>>(),
            [create, ToController::Stop { path: "log".to_owned() }]
        );
    }
}
