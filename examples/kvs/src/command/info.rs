//! What the server says of itself: INFO and COMMAND.

use std::fmt::Write;

use super::{COMMANDS, Command, Desk, Plan, Planned, Refusal, find, is};
use crate::resp::encode::Encoder;
use crate::resp::parse::Arguments;

/// The Redis whose words and rules these are; clients choose by it what they dare to send.
pub(super) const REDIS_VERSION: &str = "7.0.15";

/// What the box around the gateway knows and INFO shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// The process.
    pub process_id: u32,
    /// Where clients connect.
    pub port: u16,
    /// Since the gateway started, seconds.
    pub uptime_seconds: u64,
    /// Connected clients.
    pub clients: u64,
    /// Keys in all shards, as last heard.
    pub keys: u64,
}

pub(super) fn info<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    let everything = ["all", "default", "everything"];
    let wants = |section: &str| {
        arguments.len() == 1
            || arguments
                .iter()
                .skip(1)
                .any(|word| is(word, section) || everything.iter().any(|all| is(word, all)))
    };
    let mut sections = Vec::new();
    if wants("server") {
        sections.push(server(desk.facts));
    }
    if wants("clients") {
        sections.push(format!("# Clients\r\nconnected_clients:{}\r\n", desk.facts.clients));
    }
    if wants("keyspace") {
        sections.push(keyspace(desk.facts));
    }
    desk.answer().verbatim(&sections.join("\r\n"));
    Ok(Plan::Immediate)
}

fn server(facts: &Facts) -> String {
    let Facts { process_id, port, uptime_seconds, .. } = facts;
    format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\n\
         daedal_version:{}\r\nprocess_id:{process_id}\r\ntcp_port:{port}\r\n\
         uptime_in_seconds:{uptime_seconds}\r\n",
        env!("CARGO_PKG_VERSION"),
    )
}

fn keyspace(facts: &Facts) -> String {
    let mut text = "# Keyspace\r\n".to_owned();
    if facts.keys > 0 {
        write!(text, "db0:keys={}\r\n", facts.keys).expect("a string takes any text");
    }
    text
}

pub(super) fn command<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    let mut answer = desk.answer();
    if arguments.len() == 1 {
        answer.array(COMMANDS.len());
        COMMANDS.iter().for_each(|command| describe(command, &mut answer));
        return Ok(Plan::Immediate);
    }
    let word = arguments.at(1);
    let is_alone = arguments.len() == 2;
    if is(word, "count") && !is_alone {
        return Err(Refusal::arity("command|count"));
    } else if is(word, "list") && !is_alone {
        return Err(Refusal::SYNTAX); // filters are not spoken here
    } else if is(word, "count") {
        answer.integer(COMMANDS.len() as i64);
    } else if is(word, "docs") {
        answer.map(0);
    } else if is(word, "list") {
        answer.array(COMMANDS.len());
        COMMANDS.iter().for_each(|command| answer.bulk(command.name.as_bytes()));
    } else if is(word, "info") {
        answer.array(arguments.len() - 2);
        for name in arguments.iter().skip(2) {
            match find(name) {
                Some(command) => describe(command, &mut answer),
                None => answer.nil(),
            }
        }
    } else {
        return Err(Refusal::subcommand("COMMAND", word));
    }
    Ok(Plan::Immediate)
}

/// One command as COMMAND INFO shows it, without categories, hints, key specifications and
/// subcommands.
fn describe(command: &Command, answer: &mut Encoder<'_>) {
    answer.array(10);
    answer.bulk(command.name.as_bytes());
    answer.integer(command.arity);
    answer.set(command.flags.len());
    command.flags.iter().for_each(|flag| answer.text(flag));
    command.keys.iter().for_each(|number| answer.integer(*number));
    answer.set(0);
    answer.array(0);
    answer.array(0);
    answer.array(0);
}
