//! One client: bytes in, requests out, replies in any order, answers out in the order of commands.
//! Owns no socket and sends nothing itself: requests go to a callback, each with a [`Ticket`].
//!
//! Per-key commands may be under way together. A command that spans shards waits for all earlier
//! ones and holds the later ones, so that a client sees its own writes.
//!
//! Invariants: at most [`PIPELINE_MAX`] requests are under way; nothing is parsed while more than
//! [`OUTPUT_BYTES_MARK`] of answers wait. A ticket that nobody waits for any more is ignored, so a
//! client may go away at any time: drop its connection.

mod buffer;
mod gather;

use std::collections::VecDeque;

use crate::command::{self, Desk, Facts, Many, Plan, Session};
use crate::limits::{OUTPUT_BYTES_MARK, PIPELINE_MAX};
use crate::request::{ReplyRef, RequestRef};
use crate::resp::encode::{Encoder, Protocol};
use crate::resp::parse::Parser;

use buffer::Buffer;
use gather::Gather;

#[cfg(test)]
mod tests;

/// Which request of which command of which connection a reply belongs to. Fits 64 bits on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The connection: a number that is not given out again.
    pub connection: u32,
    /// The command, modulo 4096: more than can be under way.
    sequence: u16,
    /// The request among those of its command.
    slot: u32,
}

const SEQUENCE_BITS: u32 = 12;
const SEQUENCE_MASK: u16 = (1 << SEQUENCE_BITS) - 1;
const SLOT_BITS: u32 = 20;
const _: () = assert!(PIPELINE_MAX < 1 << SEQUENCE_BITS);
const _: () = assert!(crate::limits::ARGUMENTS_MAX <= 1 << SLOT_BITS);
const _: () = assert!(SEQUENCE_BITS + SLOT_BITS == 32);

impl From<Ticket> for u64 {
    fn from(ticket: Ticket) -> u64 {
        u64::from(ticket.connection) << 32
            | u64::from(ticket.sequence) << SLOT_BITS
            | u64::from(ticket.slot)
    }
}

impl From<u64> for Ticket {
    fn from(packed: u64) -> Ticket {
        Ticket {
            connection: (packed >> 32) as u32,
            sequence: (packed >> SLOT_BITS) as u16 & SEQUENCE_MASK,
            slot: packed as u32 & ((1 << SLOT_BITS) - 1),
        }
    }
}

/// A command whose answer is not written yet.
#[derive(Debug)]
struct InFlight {
    protocol: Protocol,
    /// Replies that are still to come.
    left: usize,
    gather: Gather,
}

/// A command over several keys whose requests are not all sent yet.
#[derive(Clone, Copy, Debug)]
struct Sending {
    many: Many,
    sent: usize,
    count: usize,
    /// Of the command in the input.
    bytes: usize,
}

/// The state of one client's connection.
#[derive(Debug)]
pub struct Connection {
    number: u32,
    session: Session,
    input: Buffer,
    parser: Parser,
    /// A whole command of this many bytes stands at the start of the input, and waits until nothing
    /// is under way.
    held: Option<usize>,
    sending: Option<Sending>,
    /// The only command under way spans shards.
    is_spanning: bool,
    in_flight: VecDeque<InFlight>,
    /// Sequence of the first of them.
    first: u16,
    answer: Vec<u8>,
    output: Buffer,
    /// Bytes of answers that came before their turn.
    early_bytes: usize,
    wants_input: bool,
    /// The last request was not taken.
    is_held_back: bool,
}

impl Connection {
    /// A new client. `number` is never used again, so that a late reply reaches nobody else.
    pub fn new(number: u32) -> Connection {
        Connection {
            number,
            session: Session { id: u64::from(number), ..Session::default() },
            input: Buffer::default(),
            parser: Parser::default(),
            held: None,
            sending: None,
            is_spanning: false,
            in_flight: VecDeque::new(),
            first: 0,
            answer: Vec::new(),
            output: Buffer::default(),
            early_bytes: 0,
            wants_input: true,
            is_held_back: false,
        }
    }

    /// Takes bytes from the client. Call [`advance`](Connection::advance) next.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.session.is_closing {
            self.input.extend(bytes);
        }
    }

    /// Whether more input could help: the socket is read only then, and so the input is bounded by
    /// one command and one read.
    pub fn wants_input(&self) -> bool {
        self.wants_input && !self.session.is_closing
    }

    /// Reads commands as far as the rules allow and hands their requests to `send`, which says whether it
    /// took one. To be called after input, after replies, and after output was written.
    pub fn advance(
        &mut self,
        facts: &Facts,
        send: &mut impl FnMut(Ticket, &RequestRef<'_>) -> bool,
    ) {
        self.wants_input = false;
        self.is_held_back = false;
        loop {
            self.send_many(send);
            if self.is_held_back || !self.may_read() {
                return;
            }
            let bytes = match self.held.take() {
                Some(bytes) => bytes,
                None => match self.parser.parse(self.input.bytes()) {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => {
                        self.wants_input = true;
                        return;
                    }
                    Err(error) => {
                        let text = error.to_string();
                        Encoder::new(&mut self.answer, self.session.protocol)
                            .error(text.as_bytes());
                        self.answer_now();
                        self.session.is_closing = true;
                        return;
                    }
                },
            };
            self.run(bytes, facts, send);
        }
    }

    /// Whether a request was not taken, and is to be tried again.
    pub fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// Takes the reply to one request. Stale tickets are ignored.
    pub fn complete(&mut self, ticket: Ticket, reply: &ReplyRef<'_>) {
        let index = usize::from(ticket.sequence.wrapping_sub(self.first) & SEQUENCE_MASK);
        let Some(command) = self.in_flight.get_mut(index).filter(|command| command.left > 0) else {
            return;
        };
        if index == 0 && matches!(command.gather, Gather::One(_)) {
            Encoder::new(self.output.end(), command.protocol).reply(reply);
            self.pop();
        } else {
            self.early_bytes -= command.gather.bytes();
            command.gather.put(ticket.slot as usize, reply, command.protocol);
            self.early_bytes += command.gather.bytes();
            command.left -= 1;
        }
        self.write_answers();
    }

    /// Bytes for the client.
    pub fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// How many bytes of answers wait, those that came before their turn among them.
    pub fn waiting_bytes(&self) -> usize {
        self.output.bytes().len() + self.early_bytes
    }

    /// Says that the client's socket took the first `bytes` of the output.
    pub fn written(&mut self, bytes: usize) {
        self.output.consume(bytes);
    }

    /// Whether the connection is to be closed: it said all that it had to say.
    pub fn is_finished(&self) -> bool {
        self.session.is_closing && self.in_flight.is_empty() && self.output.bytes().is_empty()
    }

    /// Whether nothing is under way, and nothing more to be done or written without further input.
    pub fn is_idle(&self) -> bool {
        self.wants_input && self.in_flight.is_empty() && self.output.bytes().is_empty()
    }

    fn may_read(&self) -> bool {
        !self.session.is_closing
            && !self.is_spanning
            && (self.held.is_none() || self.in_flight.is_empty())
            && self.in_flight.len() < PIPELINE_MAX
            && self.waiting_bytes() <= OUTPUT_BYTES_MARK
    }

    /// Runs the command in the first `bytes` of the input, or holds it.
    fn run(
        &mut self,
        bytes: usize,
        facts: &Facts,
        send: &mut impl FnMut(Ticket, &RequestRef<'_>) -> bool,
    ) {
        let arguments = self.parser.arguments(self.input.bytes());
        let protocol = self.session.protocol;
        let ticket = ticket(self.number, self.first, self.in_flight.len(), 0);
        let plan = if arguments.is_empty() {
            Plan::Immediate
        } else {
            let session = &mut self.session;
            command::plan(arguments, &mut Desk { session, facts, answer: &mut self.answer })
        };
        match plan {
            Plan::Immediate => self.answer_now(),
            Plan::One(request) => {
                if !send(ticket, &request) {
                    return self.hold_back(bytes);
                }
                self.in_flight.push_back(InFlight { protocol, left: 1, gather: Gather::one() });
            }
            Plan::Many(_) | Plan::All(_) if !self.in_flight.is_empty() => {
                self.held = Some(bytes);
                return;
            }
            Plan::All(request) => {
                if !send(ticket, &request) {
                    return self.hold_back(bytes);
                }
                self.in_flight.push_back(InFlight { protocol, left: 1, gather: Gather::one() });
                self.is_spanning = true;
            }
            Plan::Many(many) => {
                let count = many.count(arguments);
                let gather = Gather::many(many, count);
                self.in_flight.push_back(InFlight { protocol, left: count, gather });
                self.is_spanning = true;
                self.sending = Some(Sending { many, sent: 0, count, bytes });
                return;
            }
        }
        self.input.consume(bytes);
    }

    /// The command in the first `bytes` of the input is run again later.
    fn hold_back(&mut self, bytes: usize) {
        self.held = Some(bytes);
        self.is_held_back = true;
    }

    /// Sends what the window allows of the requests of a command over several keys.
    fn send_many(&mut self, send: &mut impl FnMut(Ticket, &RequestRef<'_>) -> bool) {
        let Some(Sending { many, sent, count, bytes }) = &mut self.sending else { return };
        let left = self.in_flight.front().map_or(0, |command| command.left);
        let arguments = self.parser.arguments(self.input.bytes());
        let until = (*count - left + PIPELINE_MAX).min(*count);
        while *sent < until {
            let ticket = ticket(self.number, self.first, 0, *sent);
            if !send(ticket, &many.request(arguments, *sent)) {
                self.is_held_back = true;
                return;
            }
            *sent += 1;
        }
        if until == *count {
            let bytes = *bytes;
            self.sending = None;
            self.input.consume(bytes);
        }
    }

    /// Gives what stands in `answer` its place behind the commands under way.
    fn answer_now(&mut self) {
        if self.in_flight.is_empty() {
            self.output.extend(&self.answer);
            self.answer.clear();
        } else if !self.answer.is_empty() {
            let answer = std::mem::take(&mut self.answer);
            self.early_bytes += answer.len();
            let protocol = self.session.protocol;
            self.in_flight.push_back(InFlight { protocol, left: 0, gather: Gather::One(answer) });
        }
    }

    /// Writes the answers of all commands at the front that have theirs.
    fn write_answers(&mut self) {
        while let Some(command) = self.in_flight.front()
            && command.left == 0
        {
            self.early_bytes -= command.gather.bytes();
            command.gather.write(self.output.end(), command.protocol);
            self.pop();
        }
    }

    fn pop(&mut self) {
        self.in_flight.pop_front();
        self.first = self.first.wrapping_add(1) & SEQUENCE_MASK;
        if self.in_flight.is_empty() {
            self.is_spanning = false;
        }
    }
}

fn ticket(connection: u32, first: u16, index: usize, slot: usize) -> Ticket {
    let sequence = first.wrapping_add(index as u16) & SEQUENCE_MASK;
    Ticket { connection, sequence, slot: slot as u32 }
}
