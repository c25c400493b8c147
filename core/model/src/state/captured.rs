//! The captured state: fields by name, how they split, how they join.
//!
//! What it joins may have been written by anybody: every shape is checked, no input panics.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::mem;

use super::layout::encode;
use super::show;
use super::{Field, Keyed, State, StateError, Value};
use crate::point::{Point, PointRange};

/// A state, away from its agent. Describes itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    pub(super) name: String,
    pub(super) version: u16,
    pub(super) fields: BTreeMap<String, Part>,
}

/// One field of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A keyed field, in the order of (point, encoded key), each key once.
    Keyed(Vec<Piece>),
    /// Any other field.
    Whole {
        /// How copies of it become one.
        rule: Combine,
        /// The field's value.
        value: Value,
    },
}

/// One entry of a keyed field.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The point of its key.
    pub point: Point,
    /// The key.
    pub key: Value,
    /// The value.
    pub value: Value,
}

impl Piece {
    /// By point, then by encoded key, which only keys of one point have to be encoded for.
    fn order(&self, other: &Piece) -> Ordering {
        self.point.cmp(&other.point).then_with(|| encode(&self.key).cmp(&encode(&other.key)))
    }
}

/// How copies of a field that is not keyed become one, and one becomes copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Integers add up; the first part takes all, the others zero.
    Sum,
    /// Copies are equal.
    Constant,
    /// There is one, and it stays one.
    Forbid,
}

impl Combine {
    /// The word in `#[combine(…)]`.
    pub fn word(self) -> &'static str {
        match self {
            Combine::Sum => "sum",
            Combine::Constant => "constant",
            Combine::Forbid => "forbid",
        }
    }
}

impl Captured {
    /// A state of `S`, without fields as yet.
    pub fn new<S: State>() -> Captured {
        Captured { name: S::NAME.to_owned(), version: S::VERSION, fields: BTreeMap::new() }
    }

    /// Name of the state's type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Version of the state's layout.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.fields.iter().map(|(name, part)| (name.as_str(), part))
    }

    /// Adds a keyed field. Each key stands in `pieces` once.
    pub fn add_keyed(&mut self, field: &str, mut pieces: Vec<Piece>) {
        pieces.sort_by(Piece::order);
        self.fields.insert(field.to_owned(), Part::Keyed(pieces));
    }

    /// Adds any other field.
    pub fn add_whole(&mut self, field: &str, rule: Combine, value: Value) {
        self.fields.insert(field.to_owned(), Part::Whole { rule, value });
    }

    /// # Errors
    /// When it is of another type or version than `S`.
    pub fn expect<S: State>(&self) -> Result<(), StateError> {
        if self.name == S::NAME && self.version == S::VERSION {
            return Ok(());
        }
        let expected = format!("{} v{}", S::NAME, S::VERSION);
        Err(StateError::Other { expected, found: format!("{} v{}", self.name, self.version) })
    }

    /// Takes a keyed field out.
    /// # Errors
    /// When it is not there, not keyed, or its pieces are not the map's.
    pub fn take_keyed<K: Keyed>(&mut self, field: &str) -> Result<K, StateError> {
        match self.take(field)? {
            Part::Keyed(pieces) => {
                let mut map = K::default();
                pieces
                    .into_iter()
                    .try_for_each(|piece| map.put(piece))
                    .map_err(|error| error.within(field))?;
                Ok(map)
            }
            Part::Whole { .. } => Err(StateError::Rule(field.to_owned())),
        }
    }

    /// Takes any other field out.
    /// # Errors
    /// When it is not there, has another rule, or is of another shape.
    pub fn take_whole<F: Field>(&mut self, field: &str, rule: Combine) -> Result<F, StateError> {
        match self.take(field)? {
            Part::Whole { rule: found, value } if found == rule => {
                F::from_value(value).map_err(|error| error.within(field))
            }
            _ => Err(StateError::Rule(field.to_owned())),
        }
    }

    fn take(&mut self, field: &str) -> Result<Part, StateError> {
        self.fields.remove(field).ok_or_else(|| StateError::Missing(field.to_owned()))
    }

    /// # Errors
    /// When a field was not taken.
    pub fn expect_empty(&self) -> Result<(), StateError> {
        match self.fields.keys().next() {
            Some(field) => Err(StateError::Unknown(field.clone())),
            None => Ok(()),
        }
    }

    /// # Errors
    /// When it has a field of which there is one, so that nobody can have it in part or from several.
    pub fn expect_divisible(&self) -> Result<(), StateError> {
        let is_one = |part: &Part| matches!(part, Part::Whole { rule: Combine::Forbid, .. });
        match self.fields.iter().find(|(_, part)| is_one(part)) {
            Some((field, _)) => Err(StateError::Forbidden(field.clone())),
            None => Ok(()),
        }
    }

    /// Its constant fields, each with a hash of its value: what must be the same in all parts that are joined.
    pub fn constants(&self) -> impl Iterator<Item = (&str, u64)> {
        self.fields.iter().filter_map(|(name, part)| match part {
            Part::Whole { rule: Combine::Constant, value } => {
                Some((name.as_str(), xxhash_rust::xxh3::xxh3_64(&encode(value))))
            }
            _ => None,
        })
    }

    /// One part a range, in their order: pieces go to the range of their point, other fields by rule.
    /// Cost: linear in the state; constant fields are copied.
    /// # Errors
    /// No range, overlapping ranges, a piece in none of them, or a forbidden field and several ranges.
    pub fn split(self, ranges: &[PointRange]) -> Result<Vec<Captured>, StateError> {
        check_ranges(ranges)?;
        let part = Captured { name: self.name, version: self.version, fields: BTreeMap::new() };
        let mut parts = vec![part; ranges.len()];
        for (field, whole) in self.fields {
            for (part, shard) in parts.iter_mut().zip(split_part(&field, whole, ranges)?) {
                part.fields.insert(field.clone(), shard);
            }
        }
        Ok(parts)
    }

    /// The one state that `parts`, in any order, are parts of.
    /// # Errors
    /// No part, parts of different types, versions, fields or rules, a key in two of them, constants
    /// that differ, a sum above 64 bits, a forbidden field twice.
    pub fn join(parts: Vec<Captured>) -> Result<Captured, StateError> {
        let mut parts = parts.into_iter();
        let mut joined = parts.next().ok_or(StateError::Nothing)?;
        let mut gathered: BTreeMap<String, Vec<Part>> = mem::take(&mut joined.fields)
            .into_iter()
            .map(|(name, part)| (name, vec![part]))
            .collect();
        for part in parts {
            if (&part.name, part.version) != (&joined.name, joined.version) {
                let expected = format!("{} v{}", joined.name, joined.version);
                let found = format!("{} v{}", part.name, part.version);
                return Err(StateError::Other { expected, found });
            }
            if let Some(missing) = gathered.keys().find(|name| !part.fields.contains_key(*name)) {
                return Err(StateError::Missing(missing.clone()));
            }
            for (name, copy) in part.fields {
                match gathered.get_mut(&name) {
                    Some(copies) => copies.push(copy),
                    None => return Err(StateError::Unknown(name)),
                }
            }
        }
        for (field, copies) in gathered {
            let part = join_part(&field, copies)?;
            joined.fields.insert(field, part);
        }
        Ok(joined)
    }
}

fn check_ranges(ranges: &[PointRange]) -> Result<(), StateError> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.first);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].overlaps(&pair[1])) {
        return Err(StateError::Overlap(pair[0], pair[1]));
    }
    if ranges.is_empty() { Err(StateError::Nothing) } else { Ok(()) }
}

fn split_part(field: &str, part: Part, ranges: &[PointRange]) -> Result<Vec<Part>, StateError> {
    let (rule, value) = match part {
        Part::Keyed(pieces) => return split_pieces(field, pieces, ranges),
        Part::Whole { rule, value } => (rule, value),
    };
    let others = match rule {
        _ if ranges.len() == 1 => None,
        Combine::Forbid => return Err(StateError::Forbidden(field.to_owned())),
        Combine::Constant => Some(value.clone()),
        Combine::Sum => Some(Value::from(0)),
    };
    let others = others.map(|value| Part::Whole { rule, value });
    let mut parts = vec![Part::Whole { rule, value }];
    parts.extend(others.into_iter().cycle().take(ranges.len() - 1));
    Ok(parts)
}

fn split_pieces(
    field: &str,
    pieces: Vec<Piece>,
    ranges: &[PointRange],
) -> Result<Vec<Part>, StateError> {
    let mut parts = vec![Vec::new(); ranges.len()];
    for piece in pieces {
        let Some(shard) = ranges.iter().position(|range| range.contains(piece.point)) else {
            return Err(StateError::Outside { field: field.to_owned(), point: piece.point });
        };
        parts[shard].push(piece);
    }
    Ok(parts.into_iter().map(Part::Keyed).collect())
}

fn join_part(field: &str, copies: Vec<Part>) -> Result<Part, StateError> {
    let mut copies = copies.into_iter();
    let mut joined = copies.next().ok_or(StateError::Nothing)?;
    for copy in copies {
        joined = match (joined, copy) {
            (Part::Keyed(mut pieces), Part::Keyed(more)) => {
                pieces.extend(more);
                Part::Keyed(pieces)
            }
            (Part::Whole { rule, value }, Part::Whole { rule: other, value: copy })
                if rule == other =>
            {
                Part::Whole { rule, value: combine(field, rule, value, copy)? }
            }
            _ => return Err(StateError::Rule(field.to_owned())),
        };
    }
    match joined {
        Part::Keyed(pieces) => in_order(field, pieces).map(Part::Keyed),
        whole => Ok(whole),
    }
}

fn combine(field: &str, rule: Combine, one: Value, other: Value) -> Result<Value, StateError> {
    match rule {
        Combine::Forbid => Err(StateError::Forbidden(field.to_owned())),
        Combine::Constant if encode(&one) == encode(&other) => Ok(one),
        Combine::Constant => Err(StateError::Differs(field.to_owned())),
        Combine::Sum => {
            let number = |value: &Value| {
                let integer = value.as_integer();
                integer
                    .map(i128::from)
                    .ok_or_else(|| StateError::shape("an integer", value).within(field))
            };
            // Both are of 65 bits at most, so that i128 holds the sum.
            let sum = number(&one)? + number(&other)?;
            let sum = ciborium::value::Integer::try_from(sum);
            Ok(Value::Integer(sum.map_err(|_| StateError::Overflow(field.to_owned()))?))
        }
    }
}

/// The same pieces in their order.
/// # Errors
/// A key that stands there twice.
pub(super) fn in_order(field: &str, mut pieces: Vec<Piece>) -> Result<Vec<Piece>, StateError> {
    pieces.sort_by(Piece::order);
    match pieces.windows(2).find(|pair| pair[0].order(&pair[1]).is_eq()) {
        Some(pair) => {
            Err(StateError::Twice { field: field.to_owned(), key: show::short(&pair[0].key) })
        }
        None => Ok(pieces),
    }
}
