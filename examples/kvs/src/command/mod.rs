//! What the words of a command mean: a table of commands, and from arguments to a [`Plan`].
//!
//! Decides everything that one connection can decide: names, counts, options, error texts. Asks no
//! agent. Names, arities, flags and texts are those of Redis 7.0.

mod config;
mod info;
mod keys;
mod refusal;
mod session;
mod strings;

use crate::limits::{KEY_BYTES_MAX, PATTERN_BYTES_MAX};
use crate::number::parse_i64;
use crate::request::{Condition, Expiry, RequestRef};
use crate::resp::encode::{Encoder, Protocol};
use crate::resp::parse::Arguments;

pub use info::Facts;
pub use session::Session;

use refusal::Refusal;

#[cfg(test)]
mod tests;

/// What is to be done for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan<'a> {
    /// Nothing more: the answer is written.
    Immediate,
    /// Ask the shard of the request's key.
    One(RequestRef<'a>),
    /// Ask for several keys, [`Many::count`] times.
    Many(Many),
    /// Ask every shard, and merge.
    All(RequestRef<'a>),
}

/// A command over several keys, which becomes one request a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// MGET: answers with an array, in the order of the keys.
    Get,
    /// MSET: answers OK.
    Set,
    /// DEL: answers with a sum.
    Del,
    /// EXISTS: answers with a sum.
    Exists,
}

impl Many {
    /// How many requests `arguments` becomes.
    pub fn count(self, arguments: Arguments<'_>) -> usize {
        (arguments.len() - 1) / self.step()
    }

    /// The request for the key at `index`, below [`count`](Many::count).
    pub fn request(self, arguments: Arguments<'_>, index: usize) -> RequestRef<'_> {
        let at = 1 + index * self.step();
        let key = arguments.at(at);
        match self {
            Many::Get => RequestRef::Get { key },
            Many::Del => RequestRef::Del { key },
            Many::Exists => RequestRef::Exists { key },
            Many::Set => RequestRef::Set {
                key,
                value: arguments.at(at + 1),
                condition: Condition::Always,
                expiry: Expiry::Never,
                return_old: false,
            },
        }
    }

    fn step(self) -> usize {
        if self == Many::Set { 2 } else { 1 }
    }
}

/// Where a command is planned: the client's own state, what the box knows, and the place of an
/// answer that needs no agent.
#[derive(Debug)]
pub struct Desk<'d> {
    /// What the connection remembers of its client.
    pub session: &'d mut Session,
    /// What INFO and absolute deadlines need.
    pub facts: &'d Facts,
    /// The answer of [`Plan::Immediate`].
    pub answer: &'d mut Vec<u8>,
}

impl Desk<'_> {
    fn answer(&mut self) -> Encoder<'_> {
        Encoder::new(self.answer, self.session.protocol)
    }
}

/// Plans one command. Refusals are answers too.
/// # Panics
/// When there are no arguments: the empty command has no meaning, and no answer.
pub fn plan<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Plan<'a> {
    let planned = match find(arguments.at(0)) {
        None => Err(Refusal::unknown_command(arguments)),
        Some(command) if !command.takes(arguments.len()) => Err(Refusal::arity(command.name)),
        Some(command) => (command.plan)(arguments, desk),
    };
    planned.unwrap_or_else(|refusal| {
        desk.answer().error(refusal.text());
        Plan::Immediate
    })
}

type Planned<'a> = Result<Plan<'a>, Refusal>;
type Handler = for<'a> fn(Arguments<'a>, &mut Desk<'_>) -> Planned<'a>;

/// One row of the table: as COMMAND INFO shows it, and what plans it.
struct Command {
    name: &'static str,
    packed: u128,
    /// How many arguments with the name; negative: at least.
    arity: i64,
    flags: &'static [&'static str],
    /// First, last, step; the last counts from the end when negative.
    keys: [i64; 3],
    plan: Handler,
}

impl Command {
    fn takes(&self, arguments: usize) -> bool {
        let arguments = arguments as i64;
        if self.arity < 0 { arguments >= -self.arity } else { arguments == self.arity }
    }
}

const fn row(
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    keys: [i64; 3],
    plan: Handler,
) -> Command {
    Command { name, packed: pack(name.as_bytes()), arity, flags, keys, plan }
}

const ONE: [i64; 3] = [1, 1, 1];
const EACH: [i64; 3] = [1, -1, 1];
const NO_KEY: [i64; 3] = [0, 0, 0];
const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write", "fast"];
const GROW: &[&str] = &["write", "denyoom", "fast"];
const SLOW: &[&str] = &["readonly"];
const CLIENT: &[&str] = &["noscript", "loading", "stale", "fast"];
const ADMIN: &[&str] = &["loading", "stale"];

/// The commands, those that are used most first.
#[rustfmt::skip]
static COMMANDS: &[Command] = &[
    row("get", 2, READ, ONE, strings::get),
    row("set", -3, &["write", "denyoom"], ONE, strings::set),
    row("incr", 2, GROW, ONE, strings::increment),
    row("mget", -2, READ, EACH, strings::get_many),
    row("mset", -3, &["write", "denyoom"], [1, -1, 2], strings::set_many),
    row("del", -2, &["write"], EACH, keys::delete),
    row("exists", -2, READ, EACH, keys::exists),
    row("expire", -3, WRITE, ONE, keys::expire),
    row("ttl", 2, READ, ONE, keys::ttl),
    row("incrby", 3, GROW, ONE, strings::increment_by),
    row("decr", 2, GROW, ONE, strings::decrement),
    row("decrby", 3, GROW, ONE, strings::decrement_by),
    row("append", 3, GROW, ONE, strings::append),
    row("strlen", 2, READ, ONE, strings::length),
    row("getdel", 2, WRITE, ONE, strings::get_and_delete),
    row("pexpire", -3, WRITE, ONE, keys::expire_ms),
    row("pttl", 2, READ, ONE, keys::ttl_ms),
    row("persist", 2, WRITE, ONE, keys::persist),
    row("type", 2, READ, ONE, keys::kind),
    row("dbsize", 1, READ, NO_KEY, keys::size),
    row("scan", -2, SLOW, NO_KEY, keys::scan),
    row("keys", 2, SLOW, NO_KEY, keys::keys),
    row("flushall", -1, &["write"], NO_KEY, keys::flush),
    row("ping", -1, &["fast"], NO_KEY, session::ping),
    row("echo", 2, &["loading", "stale", "fast"], NO_KEY, session::echo),
    row("select", 2, &["loading", "stale", "fast"], NO_KEY, session::select),
    row("hello", -1, CLIENT, NO_KEY, session::hello),
    row("quit", -1, CLIENT, NO_KEY, session::quit),
    row("client", -2, ADMIN, NO_KEY, session::client),
    row("config", -2, ADMIN, NO_KEY, config::config),
    row("info", -1, ADMIN, NO_KEY, info::info),
    row("command", -1, ADMIN, NO_KEY, info::command),
];

fn find(name: &[u8]) -> Option<&'static Command> {
    let packed = pack(name);
    COMMANDS.iter().find(|command| command.packed == packed)
}

/// A name of up to 15 bytes in one number, letters in lower case, behind a 1 that tells lengths
/// apart; 0 when it is longer.
const fn pack(name: &[u8]) -> u128 {
    if name.len() > 15 {
        return 0;
    }
    let mut packed = 1;
    let mut index = 0;
    while index < name.len() {
        packed = packed << 8 | name[index].to_ascii_lowercase() as u128;
        index += 1;
    }
    packed
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

fn integer(text: &[u8]) -> Result<i64, Refusal> {
    parse_i64(text).ok_or(Refusal::NOT_AN_INTEGER)
}

fn key(arguments: Arguments<'_>) -> Result<&[u8], Refusal> {
    bounded_key(arguments.at(1))
}

fn bounded_key(key: &[u8]) -> Result<&[u8], Refusal> {
    if key.len() > KEY_BYTES_MAX { Err(Refusal::KEY_TOO_LONG) } else { Ok(key) }
}

fn bounded_pattern(pattern: &[u8]) -> Result<&[u8], Refusal> {
    if pattern.len() > PATTERN_BYTES_MAX { Err(Refusal::PATTERN_TOO_LONG) } else { Ok(pattern) }
}

/// Several keys, every `step` arguments one.
fn many(arguments: Arguments<'_>, many: Many) -> Planned<'_> {
    for key in arguments.iter().skip(1).step_by(many.step()) {
        bounded_key(key)?;
    }
    Ok(Plan::Many(many))
}
