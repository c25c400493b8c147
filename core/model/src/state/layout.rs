//! The captured state as one value and as bytes (CBOR, RFC 8949), and out of them again.
//!
//! What it reads may have been written by anybody: every shape is checked, no input panics.
//! Layout: `{"state": name, "version": n, "fields": {field: {rule: value}}}`, with the rule one of sum,
//! constant, forbid, or keyed, whose value is an array of `[point, key, value]`.

use std::collections::BTreeMap;

use super::captured::in_order;
use super::{Captured, Combine, Field, Part, Piece, StateError, Value};
use crate::point::Point;

impl Captured {
    /// As bytes: CBOR, the same bytes for the same state.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&self.to_value())
    }

    /// Out of bytes, which may be anything.
    /// # Errors
    /// When they are no CBOR, go on after it, or hold no captured state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Captured, StateError> {
        let mut rest = bytes;
        let value: Value = ciborium::from_reader(&mut rest)
            .map_err(|error| StateError::Encoding(error.to_string()))?;
        if !rest.is_empty() {
            return Err(StateError::Encoding(format!("{} bytes too many", rest.len())));
        }
        Captured::from_value(value)
    }

    /// As one value, so that a state can be a field of another.
    pub fn to_value(&self) -> Value {
        let fields = self.fields.iter().map(|(name, part)| (text(name), part_to_value(part)));
        Value::Map(vec![
            (text("state"), text(&self.name)),
            (text("version"), Value::from(self.version)),
            (text("fields"), Value::Map(fields.collect())),
        ])
    }

    /// Out of a value.
    /// # Errors
    /// When it is not laid out as [`to_value`](Captured::to_value) does.
    pub fn from_value(value: Value) -> Result<Captured, StateError> {
        const LAYOUT: &str = "a map of state, version and fields";
        let Value::Map(entries) = value else { return Err(StateError::shape(LAYOUT, &value)) };
        let entries = <[(Value, Value); 3]>::try_from(entries)
            .map_err(|entries| StateError::shape(LAYOUT, &Value::Map(entries)))?;
        let [(first, name), (second, version), (third, fields)] = entries;
        for (key, expected) in [(first, "state"), (second, "version"), (third, "fields")] {
            if key.as_text() != Some(expected) {
                return Err(StateError::shape(LAYOUT, &key));
            }
        }
        let Value::Map(entries) = fields else { return Err(StateError::shape("fields", &fields)) };
        let name = String::from_value(name)?;
        let mut captured =
            Captured { name, version: u16::from_value(version)?, fields: BTreeMap::new() };
        for (name, part) in entries {
            let name = String::from_value(name)?;
            let part = part_from_value(&name, part).map_err(|error| error.within(&name))?;
            if captured.fields.insert(name.clone(), part).is_some() {
                return Err(StateError::Encoding(format!("field `{name}` stands there twice")));
            }
        }
        Ok(captured)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)
        .expect("a Vec takes every byte, and values have bytes");
    bytes
}

fn part_to_value(part: &Part) -> Value {
    let (rule, value) = match part {
        Part::Whole { rule, value } => (rule.word(), value.clone()),
        Part::Keyed(pieces) => {
            let piece = |piece: &Piece| {
                Value::Array(vec![
                    Value::from(piece.point.0),
                    piece.key.clone(),
                    piece.value.clone(),
                ])
            };
            ("keyed", Value::Array(pieces.iter().map(piece).collect()))
        }
    };
    Value::Map(vec![(text(rule), value)])
}

fn part_from_value(field: &str, value: Value) -> Result<Part, StateError> {
    const LAYOUT: &str = "one of keyed, sum, constant, forbid";
    let Value::Map(entries) = value else { return Err(StateError::shape(LAYOUT, &value)) };
    let [(rule, value)] = <[(Value, Value); 1]>::try_from(entries)
        .map_err(|entries| StateError::shape(LAYOUT, &Value::Map(entries)))?;
    let rule = match rule.as_text() {
        Some("keyed") => return pieces_from_value(field, value).map(Part::Keyed),
        Some("sum") => Combine::Sum,
        Some("constant") => Combine::Constant,
        Some("forbid") => Combine::Forbid,
        _ => return Err(StateError::shape(LAYOUT, &rule)),
    };
    Ok(Part::Whole { rule, value })
}

fn pieces_from_value(field: &str, value: Value) -> Result<Vec<Piece>, StateError> {
    const LAYOUT: &str = "an array of [point, key, value]";
    let Value::Array(entries) = value else { return Err(StateError::shape(LAYOUT, &value)) };
    let piece = |entry: Value| {
        let Value::Array(entry) = entry else { return Err(StateError::shape(LAYOUT, &entry)) };
        let [point, key, value] = <[Value; 3]>::try_from(entry)
            .map_err(|entry| StateError::shape(LAYOUT, &Value::Array(entry)))?;
        Ok(Piece { point: Point(u64::from_value(point)?), key, value })
    };
    in_order(field, entries.into_iter().map(piece).collect::<Result<_, _>>()?)
}
