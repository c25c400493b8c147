//! What a transition sends, kept: for tests of agents, and for worlds that deliver messages themselves.
//!
//! Messages are numbered as a box numbers them, for each destination, and replies for who asked.

use std::collections::BTreeMap;

use crate::agent::Agent;
use crate::context::{Addressee, Closed, Context, Effects, Envelope, Letter, Timer};
use crate::id::{AgentId, Number, Point};
use crate::message::Wire;

/// The room that a message is begun with, and that at which it is given no more.
const ROOM_BYTES: std::ops::Range<usize> = 128..4096;

/// A message that was sent, an answer, or a timer that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Whom it is for, and what it is.
    pub letter: Letter,
    /// What it was numbered; of a timer, which one it is.
    pub number: Number,
    /// Its archived form.
    pub body: Vec<u8>,
}

impl Output {
    /// Its message, if it is an `M`.
    pub fn open<M: Wire>(&self) -> Option<M> {
        let is = self.letter.schema == M::SCHEMA;
        is.then(|| M::owned(M::access(&self.body).expect("a message was encoded into it")))
    }
}

/// Takes what is sent.
///
/// ```
/// use daedal_model::agent::{Agent, Archived};
/// use daedal_model::context::{Addressee, Context, Envelope};
/// use daedal_model::outputs::Outputs;
///
/// struct Doubler;
///
/// impl Agent for Doubler {
///     type Message = u64;
///     type Reply = u64;
///
///     fn transition(&mut self, number: &Archived<u64>, context: &mut Context<'_, Self>) {
///         context.reply(&(2 * number.to_native()));
///     }
/// }
///
/// let (envelope, mut outputs) = (Envelope::default(), Outputs::default());
/// Doubler.transition(&21.into(), &mut outputs.context("doubler", &envelope));
/// let [answer] = &outputs.sent[..] else { panic!("one message asks for one answer") };
/// assert_eq!(answer.letter.to, Addressee::Asker(envelope.name));
/// assert_eq!(answer.open::<u64>(), Some(42));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// What was sent, in the order of sending. Whoever delivers it takes it out.
    pub sent: Vec<Output>,
    /// What [`Context::is_pressed`] says, and [`Context::is_pressed_towards`] of every destination.
    pub is_pressed: bool,
    /// How many timers were set.
    pub timers: u64,
    numbers: BTreeMap<AgentId, u64>,
    open: Option<(Letter, Vec<u8>)>,
}

impl Outputs {
    /// The context of a transition of the agent of this id.
    pub fn context<'a, A: Agent>(
        &'a mut self,
        id: impl Into<AgentId>,
        envelope: &'a Envelope,
    ) -> Context<'a, A> {
        Context::new(id.into(), envelope, self)
    }

    /// Sends what somebody else has encoded.
    pub fn post(&mut self, letter: Letter, body: Vec<u8>) -> Number {
        let count = match letter.to {
            Addressee::Agent(id) => self.numbers.entry(id).or_default(),
            Addressee::Asker(name) => self.numbers.entry(name.source).or_default(),
            Addressee::Myself(_) => &mut self.timers,
        };
        let number = Number(*count);
        *count += 1;
        self.sent.push(Output { letter, number, body });
        number
    }

    fn begun(&mut self) -> (Letter, Vec<u8>) {
        self.open.take().expect("a message was begun")
    }
}

impl Effects for Outputs {
    fn open(&mut self, letter: &Letter) -> &mut [u8] {
        &mut self.open.insert((*letter, vec![0; ROOM_BYTES.start])).1
    }

    fn widen(&mut self) -> Option<&mut [u8]> {
        let room = &mut self.open.as_mut().expect("a message was begun").1;
        let more = 2 * room.len();
        (more <= ROOM_BYTES.end).then(|| {
            room.resize(more, 0);
            &mut room[..]
        })
    }

    fn close(&mut self, bytes: usize) -> Closed {
        let (letter, mut room) = self.begun();
        room.truncate(bytes);
        Closed::Whole(self.post(letter, room))
    }

    fn again(&mut self) -> &mut [u8] {
        unreachable!("each is written once")
    }

    /// Nothing stands ahead of it.
    fn lift(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn close_lifted(&mut self, body: Vec<u8>) -> Number {
        let (letter, _) = self.begun();
        self.post(letter, body)
    }

    /// A timer that was delivered is not known from one that waits.
    fn cancel(&mut self, timer: Timer) -> bool {
        let is = |output: &Output| {
            matches!(output.letter.to, Addressee::Myself(_)) && output.number.0 == timer.0
        };
        let at = self.sent.iter().position(is);
        at.map(|at| self.sent.remove(at)).is_some()
    }

    fn is_pressed(&self) -> bool {
        self.is_pressed
    }

    fn is_pressed_towards(&self, _: AgentId, _: Option<Point>) -> bool {
        self.is_pressed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agent::Archived;

    struct Repeater;

    impl Agent for Repeater {
        type Message = String;
        type Reply = ();

        fn transition(&mut self, text: &Archived<String>, context: &mut Context<'_, Self>) {
            let bytes = text.parse().expect("a number");
            context.send("there", &"x".repeat(bytes));
            let timer = context.after(Duration::from_secs(1), &"1".to_owned());
            assert!(context.cancel(timer) && !context.cancel(timer));
            context.after(Duration::from_secs(2), &"2".to_owned());
        }
    }

    #[test]
    fn messages_of_any_size_are_kept_whole_and_numbered_by_destination() {
        let (envelope, mut outputs) = (Envelope::default(), Outputs::default());
        for bytes in [0, 100, 200, 4_000, 100_000] {
            let text = crate::encode::encode_to_vec::<String>(&bytes.to_string());
            let text = String::access(&text).unwrap();
            Repeater.transition(text, &mut outputs.context("repeater", &envelope));
        }
        let (timers, sent): (Vec<_>, Vec<_>) = outputs
            .sent
            .iter()
            .partition(|output| output.letter.to == Addressee::Myself(Duration::from_secs(2)));
        let lengths = sent.iter().map(|output| output.open::<String>().unwrap().len());
        assert_eq!(lengths.collect::<Vec<_>>(), [0, 100, 200, 4_000, 100_000]);
        assert!(sent.iter().map(|output| output.number.0).eq(0..5));
        assert!(timers.iter().map(|output| output.number.0).eq([1, 3, 5, 7, 9]));
        assert!(sent[0].open::<u64>().is_none());
    }
}
