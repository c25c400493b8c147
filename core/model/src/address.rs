//! Whom a message is for, as whoever sends it writes it: an agent, or one of many agents that share a name.
//!
//! Many agents of one name are one entry of the tree, one life, and one address (`users`); which of them a
//! message is for, its point says. [`which`] is that rule, and all that anybody needs to know of it: a number
//! names one of them, a key falls to one.

use crate::id::{AgentId, Point};

/// Most agents of one name. Points below are numbers; of hashed keys, one in 10^12 falls there, and is taken
/// for a number.
pub const MANY_MAX: u32 = 1 << 24;

/// An agent, or one of many: `users/7` is number 7 of `users`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Logical id.
    pub agent: AgentId,
    /// Which of many; none: its key says, if it is many.
    pub number: Option<u32>,
}

impl Address {
    /// What a message's point is: the number, where there is one, else that of its key.
    #[inline]
    pub fn point(&self, key: Option<Point>) -> Option<Point> {
        self.number.map(|number| Point(number.into())).or(key)
    }
}

impl From<AgentId> for Address {
    #[inline]
    fn from(agent: AgentId) -> Address {
        Address { agent, number: None }
    }
}

impl From<&str> for Address {
    #[inline]
    fn from(path: &str) -> Address {
        match numbered(path) {
            Some((many, number)) => Address { agent: many.into(), number: Some(number) },
            None => AgentId::from(path).into(),
        }
    }
}

/// Reads `users/7`: the path of many agents, and a number. No path of an agent ends like that.
#[inline]
pub fn numbered(path: &str) -> Option<(&str, u32)> {
    match path.as_bytes().last() {
        Some(b'0'..=b'9') => numbered_at_the_end(path),
        _ => None,
    }
}

fn numbered_at_the_end(path: &str) -> Option<(&str, u32)> {
    let (many, digits) = path.rsplit_once('/')?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    let number = digits.parse().ok().filter(|number| is_plain && *number < MANY_MAX)?;
    Some((many, number))
}

/// Which of `count` agents a message of this point is for; `None`: of a number that there is not.
#[inline]
pub fn which(point: Point, count: u32) -> Option<u32> {
    match point.0 {
        number if number < MANY_MAX.into() => (number < count.into()).then_some(number as u32),
        key => (key % u64::from(count)).try_into().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_named_by_its_number() {
        let users = AgentId::of("users");
        assert_eq!(Address::from("users/7"), Address { agent: users, number: Some(7) });
        assert_eq!(Address::from("a/users/0").agent, AgentId::of("a/users"));
        for whole in ["users", "users/shard1", "users/07", "users/+7", "users7", "users/16777216"] {
            assert_eq!(Address::from(whole), AgentId::from(whole).into(), "{whole}");
        }
    }

    #[test]
    fn a_number_is_one_of_them_or_nobody_and_a_key_always_somebody() {
        assert_eq!([0, 4, 5].map(|it| which(Point(it), 5)), [Some(0), Some(4), None]);
        let keys = (0..1000u64).map(|key| which(Point::of(key), 5).expect("somebody"));
        let mut each = [0; 5];
        keys.for_each(|which| each[which as usize] += 1);
        assert!(each.iter().all(|count| (150..250).contains(count)), "{each:?}");
    }
}
