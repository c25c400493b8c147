//! What a field of a state can be: numbers, texts, bytes, lists, options, tuples, maps, other states.

use std::collections::BTreeMap;

use super::{Piece, StateError, Value, show};
use crate::point::{Point, PointKey, PointRange};

/// A type whose values can be captured.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be captured as part of a state",
    note = "use integers, bool, String, Vec, Option, tuples up to four, BTreeMap, PointMap, or a #[state] struct"
)]
pub trait Field: Sized {
    /// As a value.
    fn to_value(&self) -> Value;

    /// Out of a value.
    /// # Errors
    /// When it is of another shape.
    fn from_value(value: Value) -> Result<Self, StateError>;

    /// A list of it as a value: an array, but bytes where it is a byte.
    #[doc(hidden)]
    fn list_to_value(list: &[Self]) -> Value {
        Value::Array(list.iter().map(Self::to_value).collect())
    }

    /// A list of it out of a value.
    #[doc(hidden)]
    fn list_from_value(value: Value) -> Result<Vec<Self>, StateError> {
        match value {
            Value::Array(list) => list.into_iter().map(Self::from_value).collect(),
            other => Err(StateError::shape("an array", &other)),
        }
    }
}

/// A map whose entries can be captured piece by piece, and moved by point.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be #[keyed]",
    note = "use a BTreeMap or PointMap whose key is a text, bytes or an integer"
)]
pub trait Keyed: Default {
    /// Every entry, in any order, each key once.
    fn pieces(&self) -> Vec<Piece>;

    /// Takes out the entries whose points lie in `range`. Cost: linear.
    fn take(&mut self, range: PointRange) -> Vec<Piece>;

    /// Puts one entry in.
    /// # Errors
    /// When key or value are of another shape, the key is there already, or has another point.
    fn put(&mut self, piece: Piece) -> Result<(), StateError>;
}

/// What `#[combine(sum)]` adds up: integers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be #[combine(sum)]: only integers add up"
)]
pub trait Sum: Field {}

/// A field that adds up, as a value: asserts that it does.
#[doc(hidden)]
pub fn sum_to_value<T: Sum>(field: &T) -> Value {
    field.to_value()
}

macro_rules! integers {
    ($($integer:ty: $expected:literal $(, $list:ident)?;)*) => {$(
        impl Field for $integer {
            fn to_value(&self) -> Value {
                Value::from(*self)
            }
            fn from_value(value: Value) -> Result<Self, StateError> {
                let integer = value.as_integer().and_then(|integer| Self::try_from(integer).ok());
                integer.ok_or_else(|| StateError::shape($expected, &value))
            }
            $($list!();)?
        }
        impl Sum for $integer {}
    )*};
}

macro_rules! bytes {
    () => {
        fn list_to_value(list: &[u8]) -> Value {
            Value::Bytes(list.to_vec())
        }
        fn list_from_value(value: Value) -> Result<Vec<u8>, StateError> {
            value.into_bytes().map_err(|value| StateError::shape("bytes", &value))
        }
    };
}

integers! {
    u8: "an integer from 0 to 255", bytes;
    u16: "an integer of 16 bits";
    u32: "an integer of 32 bits";
    u64: "an integer of 64 bits";
    i8: "a signed integer of 8 bits";
    i16: "a signed integer of 16 bits";
    i32: "a signed integer of 32 bits";
    i64: "a signed integer of 64 bits";
}

impl Field for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
    fn from_value(value: Value) -> Result<Self, StateError> {
        value.into_bool().map_err(|value| StateError::shape("true or false", &value))
    }
}

impl Field for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Result<Self, StateError> {
        value.into_text().map_err(|value| StateError::shape("a text", &value))
    }
}

impl<T: Field> Field for Vec<T> {
    fn to_value(&self) -> Value {
        T::list_to_value(self)
    }
    fn from_value(value: Value) -> Result<Self, StateError> {
        T::list_from_value(value)
    }
}

/// An array of none or one: null could not tell `None` from `Some(None)`.
impl<T: Field> Field for Option<T> {
    fn to_value(&self) -> Value {
        Value::Array(self.iter().map(T::to_value).collect())
    }
    fn from_value(value: Value) -> Result<Self, StateError> {
        match value {
            Value::Array(mut list) if list.len() <= 1 => list.pop().map(T::from_value).transpose(),
            other => Err(StateError::shape("an array of none or one", &other)),
        }
    }
}

macro_rules! tuples {
    ($($length:literal: $($field:ident $index:tt)*;)*) => {$(
        impl<$($field: Field),*> Field for ($($field,)*) {
            fn to_value(&self) -> Value {
                Value::Array(vec![$(self.$index.to_value()),*])
            }
            fn from_value(value: Value) -> Result<Self, StateError> {
                let expected = concat!("an array of ", $length);
                let Value::Array(list) = value else {
                    return Err(StateError::shape(expected, &value));
                };
                let list = <[Value; $length]>::try_from(list)
                    .map_err(|list| StateError::shape(expected, &Value::Array(list)))?;
                let mut list = list.into_iter();
                let mut next = || list.next().expect("as long as the tuple, just checked");
                Ok(($($field::from_value(next())?,)*))
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0 B 1;
    3: A 0 B 1 C 2;
    4: A 0 B 1 C 2 D 3;
}

impl<K: Field + Ord, V: Field> Field for BTreeMap<K, V> {
    fn to_value(&self) -> Value {
        Value::Map(self.iter().map(|(key, value)| (key.to_value(), value.to_value())).collect())
    }
    fn from_value(value: Value) -> Result<Self, StateError> {
        let Value::Map(entries) = value else { return Err(StateError::shape("a map", &value)) };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let shown = show::short(&key);
            if map.insert(K::from_value(key)?, V::from_value(value)?).is_some() {
                return Err(StateError::Twice { field: String::new(), key: shown });
            }
        }
        Ok(map)
    }
}

/// One entry as a piece.
pub(super) fn piece<K: Field, V: Field>(point: Point, key: &K, value: &V) -> Piece {
    Piece { point, key: key.to_value(), value: value.to_value() }
}

/// A piece as an entry of a map, whose point it should have.
pub(super) fn entry<K: Field, V: Field>(
    piece: Piece,
    point: impl FnOnce(&K) -> Point,
) -> Result<(K, V), StateError> {
    let shown = show::short(&piece.key);
    let key = K::from_value(piece.key)?;
    let expected = point(&key);
    if expected != piece.point {
        return Err(StateError::Misplaced { key: shown, expected, found: piece.point });
    }
    Ok((key, V::from_value(piece.value)?))
}

pub(super) fn twice<K: Field>(key: &K) -> StateError {
    StateError::Twice { field: String::new(), key: show::short(&key.to_value()) }
}

impl<K: PointKey + Field + Ord, V: Field> Keyed for BTreeMap<K, V> {
    fn pieces(&self) -> Vec<Piece> {
        self.iter().map(|(key, value)| piece(Point::of(key), key, value)).collect()
    }

    fn take(&mut self, range: PointRange) -> Vec<Piece> {
        let taken = self.extract_if(.., |key, _| range.contains(Point::of(key)));
        taken.map(|(key, value)| piece(Point::of(&key), &key, &value)).collect()
    }

    fn put(&mut self, piece: Piece) -> Result<(), StateError> {
        let (key, value) = entry(piece, |key: &K| Point::of(key))?;
        if self.contains_key(&key) {
            return Err(twice(&key));
        }
        self.insert(key, value);
        Ok(())
    }
}
