//! The gateway: a shim between Redis clients on TCP and the key-value agent.
//!
//! Reads what clients say, asks the agent in their name, and writes what it answers. Which command is
//! which, and what waits for what, is each client's [`Connection`](crate::connection::Connection); where a key lives, and how the
//! answers of shards become one, is the framework's business: per-key requests and those to every shard
//! are asked alike.
//!
//! Nothing is allocated for a command while buffers are warm. In one poll a client is read once and
//! written once, whatever became of it since the last one. Invariants: whoever has work that could be
//! done now stands in `visits`; what was asked stands in `asked` until it is answered.
//! Sources: Escher §2.5 (shims), Redis 7.0's rules for clients that do not behave.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use daedal::prelude::*;
use daedal::{Failure, Parameters};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::command::Facts;
use crate::limits::{
    ACCEPTS_PER_POLL, ASKS_MARK, CLIENTS_PER_POLL, KEEPALIVE_AFTER, READ_BYTES, RETRY_AFTER,
};
use crate::request::{Reply, ReplyRef, RequestRef};

mod asked;
mod client;
mod parameters;
mod visits;

pub use parameters::Settings;

use asked::{Asked, Asker};
use client::Client;
use visits::Visits;

const LISTENER: Token = Token(usize::MAX);
/// Readiness that one `epoll_wait` takes in.
const EVENTS: usize = 1024;
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// The shim.
#[derive(Debug)]
pub struct Gateway {
    agent: AgentId,
    clients_max: usize,
    listener: TcpListener,
    poll: Poll,
    events: Events,
    /// Clients may be waiting to be accepted.
    has_callers: bool,
    /// The last one could not be, for want of descriptors or memory.
    is_short: bool,
    clients: Slab<Client>,
    /// Number of the next client.
    next: u32,
    visits: Visits,
    /// Those whose next request has to wait: they are visited again when the timer comes.
    held_back: Vec<usize>,
    asked: Asked,
    facts: Facts,
    started: Stamp,
    read: Box<[u8]>,
    /// A timer will have this gateway polled.
    is_retrying: bool,
}

/// What is to become of a client that was visited.
enum Next {
    Wait,
    Again,
    /// What it wants to ask waits until less of what was asked there does.
    Later,
    Close,
}

impl Gateway {
    /// A gateway that listens.
    /// # Errors
    /// Which parameter is wrong, or why the address cannot be had for now.
    pub fn open(parameters: &Parameters) -> Result<Gateway, Failure> {
        Gateway::listen(&Settings::read(parameters)?)
    }

    fn listen(settings: &Settings) -> Result<Gateway, Failure> {
        let address = settings.listen;
        let failed = |error: std::io::Error| {
            Failure::for_now(format!(
                "cannot listen on {address}: {error}; choose another `listen`, or stop who has it"
            ))
        };
        parameters::raise_descriptor_limit();
        let mut listener = TcpListener::bind(address).map_err(failed)?;
        let poll = Poll::new().map_err(failed)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Gateway {
            agent: AgentId::from(settings.agent.as_str()),
            clients_max: settings.clients_max,
            listener,
            poll,
            events: Events::with_capacity(EVENTS),
            has_callers: false,
            is_short: false,
            clients: Slab::new(),
            next: 1,
            visits: Visits::default(),
            held_back: Vec::new(),
            asked: Asked::default(),
            facts: Facts { process_id: std::process::id(), port, ..Facts::default() },
            started: Stamp(0),
            read: vec![0; READ_BYTES].into_boxed_slice(),
            is_retrying: false,
        })
    }

    /// Where clients connect: the port is known even when it was left open.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Takes in what the sockets have to tell.
    fn look(&mut self) -> bool {
        // Interrupted, or out of kernel memory: looked at again next time.
        if self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_err() {
            return false;
        }
        for event in &self.events {
            match event.token() {
                LISTENER => self.has_callers = true,
                Token(index) => {
                    if let Some(client) = self.clients.get_mut(index) {
                        client.hear(event);
                        self.visits.add(index, &mut client.is_listed);
                    }
                }
            }
        }
        !self.events.is_empty()
    }

    /// Takes clients in; whether there may be more to take in at once.
    fn accept(&mut self) -> bool {
        for _ in 0..ACCEPTS_PER_POLL {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.is_short = false;
                    self.admit(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.has_callers = false;
                    return false;
                }
                // Gone before it was looked at.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !self.is_short {
                        tracing::warn!(%error, "clients cannot be accepted for now");
                    }
                    self.is_short = true;
                    return false;
                }
            }
        }
        true
    }

    fn admit(&mut self, mut stream: TcpStream) {
        if self.clients.len() >= self.clients_max {
            // To a fresh socket, so there is room; who does not hear it is turned away all the same.
            let _ = stream.write(TOO_MANY);
            return;
        }
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
        // Without these it works too, if slower.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let entry = self.clients.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(entry.key()), both).is_err() {
            return;
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let index = entry.key();
        let client = entry.insert(Client::new(stream, number));
        self.visits.add(index, &mut client.is_listed);
    }

    /// Reads a client, asks for it and writes to it, as far as each can be done now.
    fn visit(&mut self, index: usize, context: &mut Context<'_, Self>) -> Next {
        let Some(client) = self.clients.get_mut(index) else { return Next::Wait };
        client.is_listed = false;
        let may_ask = self.asked.len() < ASKS_MARK;
        if may_ask {
            let reads = client.wants_to_be_read();
            if reads && client.read(&mut self.read).is_err() {
                return Next::Close;
            }
            let (asked, agent) = (&mut self.asked, self.agent);
            client.connection.advance(&self.facts, &mut |ticket, request| {
                if context.is_pressed_towards(agent, request) {
                    return false;
                }
                let counts_keys = matches!(request, RequestRef::DbSize);
                let number = context.ask_in_order(agent, request);
                asked.push(number, Asker { client: index, ticket, counts_keys });
                true
            });
        }
        let Ok(wrote) = client.write() else { return Next::Close };
        if client.is_done() {
            Next::Close
        } else if client.connection.is_held_back() {
            Next::Later
        } else if !may_ask || client.could_go_on(wrote) {
            Next::Again
        } else {
            Next::Wait
        }
    }

    /// Visits those who stand in line; whether any could go on at once.
    fn visit_all(&mut self, context: &mut Context<'_, Self>) -> bool {
        for _ in 0..self.visits.len().min(CLIENTS_PER_POLL) {
            let Some(index) = self.visits.next() else { break };
            match self.visit(index, context) {
                Next::Wait => {}
                Next::Again => {
                    if let Some(client) = self.clients.get_mut(index) {
                        self.visits.add(index, &mut client.is_listed);
                    }
                }
                Next::Later => self.held_back.push(index),
                Next::Close => drop(self.clients.remove(index)),
            }
        }
        if !self.held_back.is_empty() {
            self.retry(context);
        }
        !self.visits.is_empty() && self.asked.len() < ASKS_MARK
    }

    /// Has itself polled soon, though nothing happens outside.
    fn retry(&mut self, context: &mut Context<'_, Self>) {
        if !self.is_retrying {
            self.is_retrying = true;
            context.after(RETRY_AFTER, &());
        }
    }
}

impl Agent for Gateway {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        self.started = context.now();
    }

    /// The retry timer: the poll that follows does the work.
    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {
        self.is_retrying = false;
        for index in self.held_back.drain(..) {
            if let Some(client) = self.clients.get_mut(index) {
                self.visits.add(index, &mut client.is_listed);
            }
        }
    }

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let Some(Asker { client: index, ticket, counts_keys }) = self.asked.take(answer.to) else {
            return;
        };
        let client = self.clients.get_mut(index);
        let Some(client) = client.filter(|client| client.number == ticket.connection) else {
            return;
        };
        let connection = &mut client.connection;
        match answer.open::<Reply>() {
            Ok(reply) => reply.read(|reply| {
                if let (true, ReplyRef::Integer(keys)) = (counts_keys, reply) {
                    self.facts.keys = keys.unsigned_abs();
                }
                connection.complete(ticket, reply);
            }),
            Err(refusal) => connection.complete(ticket, &ReplyRef::Error(&text(refusal))),
        }
        self.visits.add(index, &mut client.is_listed);
    }
}

impl Shim for Gateway {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        self.facts.now_ms = context.now().0 / 1_000_000;
        self.facts.uptime_seconds = (context.now().0 - self.started.0) / 1_000_000_000;
        let heard = self.look();
        let more_call = self.has_callers && self.accept();
        self.facts.clients = self.clients.len() as u64;
        let had_visits = !self.visits.is_empty();
        if self.visit_all(context) || more_call {
            return true;
        }
        if self.visits.is_empty() && !self.has_callers {
            return heard || had_visits;
        }
        // What is left waits for others' requests, or for descriptors.
        self.retry(context);
        heard
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.poll.as_raw_fd())
    }
}

/// What a client is told whose request was not answered.
fn text(refusal: Option<daedal::Refusal>) -> String {
    match refusal {
        Some(refusal) => format!("ERR {refusal}"),
        None => "ERR the command's outcome is unknown: a box went away while it was under way; \
                 it may have happened, or may yet"
            .to_owned(),
    }
}
