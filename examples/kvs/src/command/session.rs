//! Commands about the connection itself, and what it remembers of its client.

use super::{Desk, Plan, Planned, Protocol, Refusal, integer, is};
use crate::number::parse_i64;
use crate::resp::parse::Arguments;

/// What a connection remembers of its client.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// CLIENT ID.
    pub id: u64,
    /// CLIENT SETNAME; empty without.
    pub name: Vec<u8>,
    /// HELLO.
    pub protocol: Protocol,
    /// After QUIT or a protocol error: nothing more is read.
    pub is_closing: bool,
}

pub(super) fn ping<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    match arguments.len() {
        1 => desk.answer().text("PONG"),
        2 => desk.answer().bulk(arguments.at(1)),
        _ => return Err(Refusal::arity("ping")),
    }
    Ok(Plan::Immediate)
}

pub(super) fn echo<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    desk.answer().bulk(arguments.at(1));
    Ok(Plan::Immediate)
}

/// There is one database.
pub(super) fn select<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    if integer(arguments.at(1))? != 0 {
        return Err(Refusal::DATABASE);
    }
    desk.answer().text("OK");
    Ok(Plan::Immediate)
}

pub(super) fn quit<'a>(_: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    desk.session.is_closing = true;
    desk.answer().text("OK");
    Ok(Plan::Immediate)
}

pub(super) fn hello<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    let mut words = arguments.iter().skip(1);
    let protocol = match words.next().map(parse_i64) {
        None => desk.session.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Err(Refusal::PROTOCOL),
        Some(None) => return Err(Refusal::PROTOCOL_NOT_AN_INTEGER),
    };
    let mut name = None;
    while let Some(word) = words.next() {
        let wrong = || Refusal::hello_option(word);
        if is(word, "setname") {
            name = Some(client_name(words.next().ok_or_else(wrong)?)?);
        } else if is(word, "auth") {
            // As in Redis without a password: the default user's is any.
            let (user, _) = words.next().zip(words.next()).ok_or_else(wrong)?;
            if user != b"default" {
                return Err(Refusal::PASSWORD);
            }
        } else {
            return Err(wrong());
        }
    }
    if let Some(name) = name {
        desk.session.name = name.to_vec();
    }
    desk.session.protocol = protocol;
    let id = desk.session.id;
    let mut answer = desk.answer();
    answer.map(7);
    answer.bulk(b"server");
    answer.bulk(b"redis");
    answer.bulk(b"version");
    answer.bulk(super::info::REDIS_VERSION.as_bytes());
    answer.bulk(b"proto");
    answer.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    answer.bulk(b"id");
    answer.integer(id as i64);
    answer.bulk(b"mode");
    answer.bulk(b"standalone");
    answer.bulk(b"role");
    answer.bulk(b"master");
    answer.bulk(b"modules");
    answer.array(0);
    Ok(Plan::Immediate)
}

pub(super) fn client<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    let word = arguments.at(1);
    let takes = |count: usize, name| match arguments.len() == count + 2 {
        true => Ok(()),
        false => Err(Refusal::arity(name)),
    };
    if is(word, "id") {
        takes(0, "client|id")?;
        let id = desk.session.id;
        desk.answer().integer(id as i64);
    } else if is(word, "getname") {
        takes(0, "client|getname")?;
        match desk.session.name.clone() {
            name if name.is_empty() => desk.answer().nil(),
            name => desk.answer().bulk(&name),
        }
    } else if is(word, "setname") {
        takes(1, "client|setname")?;
        desk.session.name = client_name(arguments.at(2))?.to_vec();
        desk.answer().text("OK");
    } else if is(word, "setinfo") {
        // Of Redis 7.2, but its clients say it to every server.
        takes(2, "client|setinfo")?;
        desk.answer().text("OK");
    } else if is(word, "info") {
        takes(0, "client|info")?;
        let Session { id, name, protocol, .. } = &desk.session;
        let version = if *protocol == Protocol::Resp3 { 3 } else { 2 };
        let name = String::from_utf8_lossy(name);
        let text = format!("id={id} name={name} db=0 resp={version}\n");
        desk.answer().verbatim(&text);
    } else {
        return Err(Refusal::subcommand("CLIENT", word));
    }
    Ok(Plan::Immediate)
}

/// A name shows in lists, so it has no space and nothing unprintable.
fn client_name(name: &[u8]) -> Result<&[u8], Refusal> {
    match name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        true => super::bounded_key(name),
        false => Err(Refusal::CLIENT_NAME),
    }
}
