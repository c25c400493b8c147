//! What can be sent: a type with an archived form, a schema, a version and a routing point.
//!
//! Rust types become messages by `#[message]`, which implements [`Wire`] and [`Message`] here and
//! [`Encode`](crate::encode::Encode) and [`Body`](crate::encode::Body) beside. Messages are read in
//! place: [`Wire::access`] checks the bytes (rkyv's bytecheck) and lends the archived form out of the
//! very buffer they were received into; nothing is copied until somebody asks for an owned value.
//!
//! ```
//! use daedal_model::encode::{Body, encode_to_vec};
//! use daedal_model::message::{Message, Wire};
//!
//! #[daedal_model::message(crate = daedal_model)] // without `crate` where daedal itself is depended on
//! enum Request {
//!     Put { #[point] key: String, value: Vec<u8> },
//!     Get { #[point] key: String },
//!     #[broadcast]
//!     Size,
//! }
//!
//! let put = RequestRef::Put { key: "foo", value: b"bar" }; // owns nothing, archives as Request::Put
//! let bytes = encode_to_vec(&put);
//! let archived = Request::access(&bytes)?;
//! assert!(matches!(archived, ArchivedRequest::Put { key, .. } if key == "foo"));
//! assert_eq!(Request::point_of(archived), put.point());
//! # Ok::<(), daedal_model::message::Invalid>(())
//! ```
//!
//! Deliberately absent: schema evolution (a link agrees on [`Schema`] and version when it opens), maps,
//! shared pointers and niched layouts, since checked access has had soundness reports there.
//! Invariant: bytes that `access` accepted stay valid for every method of the archived form.
//! Sources: Ovid §3.1 (messages), §6.1 (routing by content).

#![expect(unsafe_code, reason = "what is promised of a type's archive, nobody checks again")]

use std::fmt;

use rkyv::api::low::{LowDeserializer, LowValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Portable};
use thiserror::Error;
use xxhash_rust::const_xxh3::xxh3_64_with_seed;

use crate::encode::Serial;
use crate::id::Point;

/// The archived form of `M`: what a transition is lent.
pub type Archived<M> = <M as Wire>::Archived;

/// A type with an archived form and a schema. Declare it with `#[message]`.
///
/// # Safety
/// What stays inside a process is read without a check, as what its schema says. So
/// - bytes that are valid as the archived form of one type are valid as that of any other type with the
///   same [`Wire::SCHEMA`];
/// - where the type is rkyv's `Archive` and `Serialize`, what these write is valid as [`Wire::Archived`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a message",
    note = "messages are made of (), bool, u8 to u64, i8 to i64, String, Vec, Option, arrays of bytes, \
            tuples up to four and types declared with #[message]; no maps, Rc or Arc: send sorted pairs"
)]
pub unsafe trait Wire: Sized + 'static {
    /// The form that is read in place, at any alignment.
    type Archived: Portable + for<'a> CheckBytes<LowValidator<'a, Failure>> + fmt::Debug + 'static;

    /// Names, fields, their order and their types, as one number.
    const SCHEMA: Schema;

    /// Checks `bytes`, whose end is the root, and lends the archived form. Cost: linear in what it
    /// points to; no allocation, any alignment, never a panic.
    /// # Errors
    /// [`Invalid`] when the bytes are no archive of this type; which of them, nobody is told.
    fn access(bytes: &[u8]) -> Result<&Self::Archived, Invalid> {
        rkyv::api::low::access::<Self::Archived, Failure>(bytes).map_err(|_| Invalid)
    }

    /// An owned copy of a checked archive.
    fn owned(archived: &Self::Archived) -> Self;
}

/// What agents exchange: a [`Wire`] type with a version and a place among shards.
pub trait Message: Wire {
    /// The version that a link announces beside the schema. 1 unless declared.
    const VERSION: u16;

    /// Whether every value has a point or is declared `#[broadcast]`, so that a keyed agent can be
    /// its destination.
    const KEYED: bool;

    /// Where this message falls among the shards of its destination; `None` without `#[point]`.
    fn point_of(archived: &Self::Archived) -> Option<Point>;

    /// Whether this message goes to every child of its destination.
    fn is_broadcast(archived: &Self::Archived) -> bool;
}

/// Names, fields, order and types of a message, hashed. Equal on both sides of a link, or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schema(pub u64);

impl Schema {
    /// The schema of a type of this name, without fields as yet.
    pub const fn named(name: &str) -> Schema {
        Schema(xxh3_64_with_seed(name.as_bytes(), NAME_SEED))
    }

    /// Then a variant; fields that follow belong to it.
    #[must_use]
    pub const fn variant(self, name: &str) -> Schema {
        Schema(xxh3_64_with_seed(name.as_bytes(), self.0 ^ VARIANT_SEED))
    }

    /// Then a field.
    #[must_use]
    pub const fn field(self, name: &str, schema: Schema) -> Schema {
        let named = xxh3_64_with_seed(name.as_bytes(), self.0 ^ FIELD_SEED);
        Schema(xxh3_64_with_seed(&schema.0.to_le_bytes(), named))
    }
}

// Tell a field from a variant of the same name. Part of the wire format: never changed.
const NAME_SEED: u64 = 0x6461_6564_616c_0001;
const VARIANT_SEED: u64 = 0x6461_6564_616c_0002;
const FIELD_SEED: u64 = 0x6461_6564_616c_0003;

/// Bytes that are no archive of the type asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes are no valid archive of this message type; do both sides have the same schema?")]
pub struct Invalid;

/// An owned value out of a checked archive.
#[doc(hidden)]
pub fn owned<T>(archived: &impl Deserialize<T, LowDeserializer<Failure>>) -> T {
    rkyv::api::low::deserialize::<T, Failure>(archived)
        .expect("a checked archive holds lengths that exist, and nothing is shared")
}

macro_rules! plain {
    ($($name:literal: $plain:ty),* $(,)?) => {$(
        // SAFETY: no other type has this name, and rkyv's own implementations write its archive.
        unsafe impl Wire for $plain {
            type Archived = rkyv::Archived<$plain>;
            const SCHEMA: Schema = Schema::named($name);
            fn owned(archived: &Self::Archived) -> Self {
                owned(archived)
            }
        }
        unkeyed!([] $plain);
    )*};
}

// Without a field to point at, a message has no point.
macro_rules! unkeyed {
    ([$($bounds:tt)*] $message:ty) => {
        impl<$($bounds)*> Message for $message {
            const VERSION: u16 = 1;
            const KEYED: bool = false;
            fn point_of(_: &Self::Archived) -> Option<Point> {
                None
            }
            fn is_broadcast(_: &Self::Archived) -> bool {
                false
            }
        }
    };
}

plain! {
    "()": (), "bool": bool, "String": String,
    "u8": u8, "u16": u16, "u32": u32, "u64": u64,
    "i8": i8, "i16": i16, "i32": i32, "i64": i64,
}

/// The archived form of a part, as rkyv knows it.
type Inner<T> = <T as Archive>::Archived;

/// A [`Wire`] type that rkyv knows too: what containers need of their elements.
pub trait Part:
    Wire
    + Serial
    + Archive<
        Archived: Deserialize<Self, LowDeserializer<Failure>>
                      + for<'a> CheckBytes<LowValidator<'a, Failure>>
                      + fmt::Debug
                      + 'static,
    >
{
}
impl<T> Part for T
where
    T: Wire + Serial + Archive,
    Inner<T>: Deserialize<T, LowDeserializer<Failure>>
        + for<'a> CheckBytes<LowValidator<'a, Failure>>
        + fmt::Debug
        + 'static,
{
}

// SAFETY: the schema names the element's, and rkyv's own implementations write lists of valid elements.
unsafe impl<T: Part> Wire for Vec<T> {
    type Archived = rkyv::vec::ArchivedVec<Inner<T>>;
    const SCHEMA: Schema = {
        // Otherwise four bytes could claim four thousand million elements.
        assert!(size_of::<Inner<T>>() > 0, "a Vec in a message needs elements that take up space");
        Schema::named("Vec").field("", T::SCHEMA)
    };
    fn owned(archived: &Self::Archived) -> Self {
        owned(archived)
    }
}
unkeyed!([T: Part] Vec<T>);

// SAFETY: as for `Vec`.
unsafe impl<T: Part> Wire for Option<T> {
    type Archived = rkyv::option::ArchivedOption<Inner<T>>;
    const SCHEMA: Schema = Schema::named("Option").field("", T::SCHEMA);
    fn owned(archived: &Self::Archived) -> Self {
        owned(archived)
    }
}
unkeyed!([T: Part] Option<T>);

// SAFETY: the schema names the length, and any bytes are valid.
unsafe impl<const N: usize> Wire for [u8; N] {
    type Archived = [u8; N];
    const SCHEMA: Schema = Schema::named("[u8]").field("", Schema(N as u64));
    fn owned(archived: &Self::Archived) -> Self {
        *archived
    }
}
unkeyed!([const N: usize] [u8; N]);

macro_rules! tuple {
    ($archived:ident: $($element:ident)*) => {
        // SAFETY: the schema names the elements' in their order, which rkyv's own implementations write.
        unsafe impl<$($element: Part),*> Wire for ($($element,)*) {
            type Archived = rkyv::tuple::$archived<$(Inner<$element>),*>;
            const SCHEMA: Schema =
                Schema::named(stringify!($archived))$(.field("", $element::SCHEMA))*;
            fn owned(archived: &Self::Archived) -> Self {
                owned(archived)
            }
        }
        unkeyed!([$($element: Part),*] ($($element,)*));
    };
}
tuple!(ArchivedTuple1: A);
tuple!(ArchivedTuple2: A B);
tuple!(ArchivedTuple3: A B C);
tuple!(ArchivedTuple4: A B C D);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::encode_to_vec;

    #[crate::message(crate = crate)]
    #[derive(Debug, PartialEq)]
    struct Tick {
        number: u64,
    }

    #[test]
    fn the_model_declares_messages_of_its_own() {
        let bytes = encode_to_vec(&Tick { number: 7 });
        assert_eq!(Tick::access(&bytes).map(Tick::owned), Ok(Tick { number: 7 }));
        assert_eq!(Tick::access(&bytes[1..]).map(Tick::owned), Err(Invalid));
        assert_eq!(<()>::access(&[]), Ok(&()));
    }
}
