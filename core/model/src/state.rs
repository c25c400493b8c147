//! An agent's state as a value that can be split by point, joined, moved and read by a person.
//!
//! `#[state]` implements [`State`]: every field by name, keyed ones as pieces (point, key, value), the
//! others whole, with the rule by which copies combine. [`Captured`] describes itself, so that whoever
//! moves a state (wedge, capture, split, join, restore) needs none of the agent's types.
//!
//! Laws, tested: `restore(capture(s)) = s`; `join(split(c)) = c`; the order of `join`'s parts is nothing.
//! Invariant: the pieces of a field stand in the order of (point, encoded key), each key once.
//! ```
//! use std::collections::BTreeMap;
//! use daedal_model::point::PointRange;
//! use daedal_model::state::{Captured, State};
//!
//! #[daedal_model::state(crate = daedal_model)] // without `crate` where daedal itself is depended on
//! #[derive(Default)]
//! struct KeyValue {
//!     #[keyed]
//!     map: BTreeMap<String, Vec<u8>>,
//!     #[combine(sum)]
//!     hits: u64,
//! }
//!
//! let mut whole = KeyValue::default();
//! whole.map.insert("foo".to_owned(), b"bar".to_vec());
//! let shards = whole.capture().split(&PointRange::ALL.split(4))?;
//! assert_eq!(Captured::join(shards)?, whole.capture());
//! assert!(whole.capture().to_string().contains("map: 1 key: foo = \"bar\""));
//! # Ok::<(), daedal_model::state::StateError>(())
//! ```
//!
//! Deliberately absent: conversion between versions, done boxes and timers, which move beside it.
//! Sources: Ovid §5 (get_state, init_state), §6.1.

mod captured;
mod field;
mod layout;
mod point_map;
mod show;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use captured::{Captured, Combine, Part, Piece};
pub use ciborium::Value;
pub use field::{Field, Keyed, Sum, sum_to_value};
pub use point_map::{Hashed, PointMap, Pointing, Prefixed};

use crate::point::{Point, PointRange};

/// What an agent holds. Declare it with `#[state]`.
pub trait State: Sized {
    /// The struct's name.
    const NAME: &'static str;
    /// The layout's version. 1 unless declared.
    const VERSION: u16;

    /// The whole of it, as a value. Cost: linear, one copy.
    fn capture(&self) -> Captured;

    /// The state that was captured.
    /// # Errors
    /// Another state, another version, fields that are missing, left over or of another shape.
    fn restore(captured: Captured) -> Result<Self, StateError>;
}

/// Why a captured state was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes are no captured state.
    #[error("the bytes are no captured state: {0}")]
    Encoding(String),
    /// A value of another shape than the field's type.
    #[error("at {at}: expected {expected}, found {found}")]
    Shape {
        /// Path of field names, outermost first.
        at: String,
        /// What the type wants.
        expected: &'static str,
        /// What stands there, shortened.
        found: String,
    },
    /// The state of another agent, or another version of it.
    #[error("this is a state of {found}, not of {expected}: start the version that wrote it")]
    Other {
        /// Name and version wanted.
        expected: String,
        /// Name and version found.
        found: String,
    },
    /// A field that the type has and the captured state has not.
    #[error("field `{0}` is missing: was it added without a new version?")]
    Missing(String),
    /// A field that the captured state has and the type has not.
    #[error("field `{0}` is unknown: was it removed without a new version?")]
    Unknown(String),
    /// A field with another rule than the type's, or than another part's.
    #[error("field `{0}` combines by another rule: was it changed without a new version?")]
    Rule(String),
    /// Copies of a `#[combine(constant)]` field that differ.
    #[error("field `{0}` is declared constant, but its copies differ")]
    Differs(String),
    /// Several copies of a field that may not be combined or copied.
    #[error("field `{0}` can neither be split nor joined: declare it #[keyed] or #[combine(…)]")]
    Forbidden(String),
    /// A sum that no number holds.
    #[error("the sum of field `{0}` does not fit into 64 bits")]
    Overflow(String),
    /// One key in two pieces.
    #[error("field `{field}` has key {key} twice: two owners of one point cannot be")]
    Twice {
        /// The field.
        field: String,
        /// The key, shortened.
        key: String,
    },
    /// A piece whose point is not its key's.
    #[error("key {key} has point {found}, not {expected}")]
    Misplaced {
        /// The key, shortened.
        key: String,
        /// The point of the key.
        expected: Point,
        /// The point of the piece.
        found: Point,
    },
    /// A piece that none of the ranges takes.
    #[error("field `{field}` has a piece at {point}, which lies in none of the ranges")]
    Outside {
        /// The field.
        field: String,
        /// Where it lies.
        point: Point,
    },
    /// Ranges with a point in common.
    #[error("the ranges {0} and {1} have points in common")]
    Overlap(PointRange, PointRange),
    /// No part to join, or no range to split into.
    #[error("a state is split into one part at least, and joined from one at least")]
    Nothing,
}

impl StateError {
    /// A value that is not as `expected`.
    pub fn shape(expected: &'static str, found: &Value) -> StateError {
        StateError::Shape { at: String::new(), expected, found: show::short(found) }
    }

    /// The same, inside of `field`.
    #[must_use]
    pub fn within(self, field: &str) -> StateError {
        let path = |inner: String| match inner.as_str() {
            "" => field.to_owned(),
            _ => format!("{field}.{inner}"),
        };
        match self {
            StateError::Shape { at, expected, found } => {
                StateError::Shape { at: path(at), expected, found }
            }
            StateError::Twice { field, key } => StateError::Twice { field: path(field), key },
            other => other,
        }
    }
}

/// What holds nothing: agents that are functions of their input.
impl State for () {
    const NAME: &'static str = "()";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<()>()
    }

    fn restore(captured: Captured) -> Result<(), StateError> {
        captured.expect::<()>()?;
        captured.expect_empty()
    }
}
