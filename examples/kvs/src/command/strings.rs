//! Commands on values.

use super::{Desk, Many, Plan, Planned, Refusal, integer, is, key, many};
use crate::request::{Condition, Expiry, RequestRef};
use crate::resp::parse::Arguments;

pub(super) fn get<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::Get { key: key(arguments)? }))
}

pub(super) fn get_and_delete<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::GetDel { key: key(arguments)? }))
}

pub(super) fn get_many<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    many(arguments, Many::Get)
}

pub(super) fn set_many<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    if arguments.len().is_multiple_of(2) {
        return Err(Refusal::arity("mset"));
    }
    many(arguments, Many::Set)
}

pub(super) fn append<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::Append { key: key(arguments)?, suffix: arguments.at(2) }))
}

pub(super) fn length<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::StrLen { key: key(arguments)? }))
}

pub(super) fn increment<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::Increment { key: key(arguments)?, by: 1 }))
}

pub(super) fn decrement<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    Ok(Plan::One(RequestRef::Increment { key: key(arguments)?, by: -1 }))
}

pub(super) fn increment_by<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    let by = integer(arguments.at(2))?;
    Ok(Plan::One(RequestRef::Increment { key: key(arguments)?, by }))
}

pub(super) fn decrement_by<'a>(arguments: Arguments<'a>, _: &mut Desk<'_>) -> Planned<'a> {
    let by = integer(arguments.at(2))?.checked_neg().ok_or(Refusal::DECREMENT_OVERFLOW)?;
    Ok(Plan::One(RequestRef::Increment { key: key(arguments)?, by }))
}

pub(super) fn set<'a>(arguments: Arguments<'a>, desk: &mut Desk<'_>) -> Planned<'a> {
    let options = SetOptions::parse(arguments)?;
    Ok(Plan::One(RequestRef::Set {
        key: key(arguments)?,
        value: arguments.at(2),
        condition: options.condition,
        expiry: options.expiry(desk.facts.now_ms)?,
        return_old: options.return_old,
    }))
}

/// What stands behind SET's key and value.
#[derive(Default)]
struct SetOptions<'a> {
    condition: Condition,
    lifetime: Option<Lifetime<'a>>,
    return_old: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Lifetime<'a> {
    Keep,
    Given { clock: Clock, number: &'a [u8] },
}

/// EX, PX, EXAT, PXAT.
#[derive(Clone, Copy, PartialEq)]
struct Clock {
    ms_per_unit: i64,
    is_absolute: bool,
}

impl<'a> SetOptions<'a> {
    fn parse(arguments: Arguments<'a>) -> Result<SetOptions<'a>, Refusal> {
        let mut options = SetOptions::default();
        let mut words = arguments.iter().skip(3);
        while let Some(word) = words.next() {
            if is(word, "nx") {
                options.require(Condition::IfAbsent)?;
            } else if is(word, "xx") {
                options.require(Condition::IfPresent)?;
            } else if is(word, "get") {
                options.return_old = true;
            } else if is(word, "keepttl") {
                options.live(Lifetime::Keep)?;
            } else {
                let clock = clock(word).ok_or(Refusal::SYNTAX)?;
                let number = words.next().ok_or(Refusal::SYNTAX)?;
                options.live(Lifetime::Given { clock, number })?;
            }
        }
        Ok(options)
    }

    /// An option may come twice, but not with another that says something else.
    fn require(&mut self, condition: Condition) -> Result<(), Refusal> {
        if self.condition != Condition::Always && self.condition != condition {
            return Err(Refusal::SYNTAX);
        }
        self.condition = condition;
        Ok(())
    }

    fn live(&mut self, lifetime: Lifetime<'a>) -> Result<(), Refusal> {
        match (self.lifetime, lifetime) {
            (None, _) | (Some(Lifetime::Keep), Lifetime::Keep) => {}
            (Some(Lifetime::Given { clock: old, .. }), Lifetime::Given { clock, .. })
                if old == clock => {}
            _ => return Err(Refusal::SYNTAX),
        }
        self.lifetime = Some(lifetime);
        Ok(())
    }

    /// A deadline has to fit 63 bits of milliseconds, as in Redis.
    fn expiry(&self, now_ms: u64) -> Result<Expiry, Refusal> {
        let (clock, number) = match self.lifetime {
            None => return Ok(Expiry::Never),
            Some(Lifetime::Keep) => return Ok(Expiry::Keep),
            Some(Lifetime::Given { clock, number }) => (clock, integer(number)?),
        };
        let start = if clock.is_absolute { 0 } else { now_ms };
        let ms = number
            .checked_mul(clock.ms_per_unit)
            .filter(|ms| *ms > 0 && ms.checked_add_unsigned(start).is_some())
            .ok_or_else(|| Refusal::expire_time("set"))?
            .unsigned_abs();
        Ok(if clock.is_absolute { Expiry::AtMs(ms) } else { Expiry::AfterMs(ms) })
    }
}

fn clock(word: &[u8]) -> Option<Clock> {
    let names = [("ex", 1000, false), ("px", 1, false), ("exat", 1000, true), ("pxat", 1, true)];
    let (_, ms_per_unit, is_absolute) = names.into_iter().find(|(name, ..)| is(word, name))?;
    Some(Clock { ms_per_unit, is_absolute })
}
