//! Commands on keys, whatever their values, and on all keys at once.

use super::{Desk, Many, Plan, Planned, Refusal, bounded_pattern, integer, is, key, many};
use crate::request::{ExpireCondition, RequestRef, TimeUnit};
use crate::resp::parse::Arguments;

/// What SCAN looks at when it does not say COUNT.
const SCAN_COUNT: u64 = 10;

pub(super) fn delete<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    match arguments.len() {
        2 => Ok(Plan::One(RequestRef::Del { key: key(arguments)? })),
        _ => many(arguments, Many::Del),
    }
}

pub(super) fn exists<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    match arguments.len() {
        2 => Ok(Plan::One(RequestRef::Exists { key: key(arguments)? })),
        _ => many(arguments, Many::Exists),
    }
}

pub(super) fn expire<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    expire_in(arguments, desk, 1000, "expire")
}

pub(super) fn expire_ms<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    expire_in(arguments, desk, 1, "pexpire")
}

fn expire_in<'a>(
    arguments: Arguments<'a>,
    desk: &Desk<'_>,
    ms_per_unit: i64,
    name: &str,
) -> Planned<'a> {
    let condition = expire_condition(arguments)?;
    let after_ms = integer(arguments.at(2))?
        .checked_mul(ms_per_unit)
        .filter(|ms| ms.checked_add_unsigned(desk.facts.now_ms).is_some())
        .ok_or_else(|| Refusal::expire_time(name))?;
    Ok(Plan::One(RequestRef::Expire { key: key(arguments)?, after_ms, condition }))
}

fn expire_condition(arguments: Arguments<'_>) -> Result<ExpireCondition, Refusal> {
    let [mut none, mut some, mut later, mut earlier] = [false; 4];
    for word in arguments.iter().skip(3) {
        match word {
            word if is(word, "nx") => none = true,
            word if is(word, "xx") => some = true,
            word if is(word, "gt") => later = true,
            word if is(word, "lt") => earlier = true,
            word => return Err(Refusal::expire_option(word)),
        }
    }
    match (none, some, later, earlier) {
        (true, true, ..) | (true, _, true, _) | (true, .., true) => Err(Refusal::NONE_AND_OTHERS),
        (.., true, true) => Err(Refusal::GREATER_AND_LESS),
        (true, ..) => Ok(ExpireCondition::IfNone),
        (_, _, true, _) => Ok(ExpireCondition::IfLater), // never holds where there is none
        (_, true, _, true) => Ok(ExpireCondition::IfSomeAndEarlier),
        (.., true) => Ok(ExpireCondition::IfEarlier),
        (_, true, ..) => Ok(ExpireCondition::IfSome),
        _ => Ok(ExpireCondition::Always),
    }
}

pub(super) fn ttl<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::TimeToLive { key: key(arguments)?, unit: TimeUnit::Seconds }))
}

pub(super) fn ttl_ms<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::TimeToLive { key: key(arguments)?, unit: TimeUnit::Milliseconds }))
}

pub(super) fn persist<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::Persist { key: key(arguments)? }))
}

pub(super) fn kind<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::Type { key: key(arguments)? }))
}

pub(super) fn size<'a>(_: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::All(RequestRef::DbSize))
}

pub(super) fn keys<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::All(RequestRef::Keys { pattern: bounded_pattern(arguments.at(1))? }))
}

/// ASYNC and SYNC say how Redis frees memory; here they mean the same.
pub(super) fn flush<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    match arguments.len() {
        1 => Ok(Plan::All(RequestRef::FlushAll)),
        2 if is(arguments.at(1), "async") || is(arguments.at(1), "sync") => {
            Ok(Plan::All(RequestRef::FlushAll))
        }
        _ => Err(Refusal::SYNTAX),
    }
}

pub(super) fn scan<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    let cursor = std::str::from_utf8(arguments.at(1)).ok().and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or(Refusal::INVALID_CURSOR)?;
    let (mut pattern, mut count, mut kind) = (None, SCAN_COUNT, None);
    let mut words = arguments.iter().skip(2);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(Refusal::SYNTAX)?;
        if is(word, "match") {
            pattern = Some(bounded_pattern(value)?);
        } else if is(word, "count") {
            count = integer(value)?.try_into().map_err(|_| Refusal::SYNTAX)?;
            if count == 0 {
                return Err(Refusal::SYNTAX);
            }
        } else if is(word, "type") {
            kind = Some(value);
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    Ok(Plan::All(RequestRef::Scan { cursor, pattern, count, kind }))
}
