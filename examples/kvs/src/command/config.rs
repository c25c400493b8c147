//! CONFIG GET: what clients and redis-benchmark ask before they start.

use super::{Desk, Plan, Planned, Refusal, bounded_pattern, is};
use crate::glob;
use crate::resp::parse::Arguments;

const PARAMETERS: &[(&str, &str)] = &[
    ("appendonly", "no"),
    ("databases", "1"),
    ("io-threads", "1"),
    ("maxclients", "10000"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("proto-max-bulk-len", "16777216"),
    ("save", ""),
    ("timeout", "0"),
];

pub(super) fn config<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    if !is(arguments.at(1), "get") {
        return Err(Refusal::subcommand("CONFIG", arguments.at(1)));
    }
    if arguments.len() < 3 {
        return Err(Refusal::arity("config|get"));
    }
    let mut patterns = Vec::new();
    for pattern in arguments.iter().skip(2) {
        patterns.push(bounded_pattern(pattern)?.to_ascii_lowercase());
    }
    let asked_for = |name: &str| patterns.iter().any(|all| glob::matches(all, name.as_bytes()));
    let found: Vec<_> = PARAMETERS.iter().filter(|(name, _)| asked_for(name)).collect();
    let mut answer = desk.answer();
    answer.map(found.len());
    for (name, value) in found {
        answer.bulk(name.as_bytes());
        answer.bulk(value.as_bytes());
    }
    Ok(Plan::Immediate)
}
