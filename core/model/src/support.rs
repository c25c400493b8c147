//! What the expansions of `#[message]` and `#[state]` name. Not for hand-written code: no promise is kept.

pub use rkyv;
use rkyv::rancor::Fallible;
use rkyv::ser::{Allocator, Writer};
use rkyv::string::{ArchivedString, StringResolver};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::with::{ArchiveWith, SerializeWith};
use rkyv::{Archive, Place, Serialize, SerializeUnsized};

pub use crate::encode::{Body, Encode, Encoder, Full};
pub use crate::id::Point;
pub use crate::message::{Message, Schema, Wire, owned};
pub use crate::state::{Captured, Combine, Field, Keyed, State, StateError, Value, sum_to_value};

/// Archives a slice as a `Vec`, and a `str` as a `String`. `#[message]` knows those by their names, and so
/// asserts that they are what is lent:
///
/// ```compile_fail,E0308
/// #[daedal_model::message(crate = daedal_model)]
/// struct String(u8);
///
/// #[daedal_model::message(crate = daedal_model)]
/// enum Request {
///     Put { key: String },
/// }
/// ```
#[derive(Debug)]
pub struct Lend;

impl<T: Archive> ArchiveWith<&[T]> for Lend {
    type Archived = ArchivedVec<T::Archived>;
    type Resolver = VecResolver;

    fn resolve_with(field: &&[T], resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_slice(field, resolver, out);
    }
}

impl<T: Serialize<S>, S: Fallible + Allocator + Writer + ?Sized> SerializeWith<&[T], S> for Lend {
    fn serialize_with(field: &&[T], serializer: &mut S) -> Result<VecResolver, S::Error> {
        ArchivedVec::<T::Archived>::serialize_from_slice(field, serializer)
    }
}

impl ArchiveWith<&str> for Lend {
    type Archived = ArchivedString;
    type Resolver = StringResolver;

    fn resolve_with(field: &&str, resolver: StringResolver, out: Place<ArchivedString>) {
        ArchivedString::resolve_from_str(field, resolver, out);
    }
}

impl<S: Fallible<Error: rkyv::rancor::Source> + ?Sized> SerializeWith<&str, S> for Lend
where
    str: SerializeUnsized<S>,
{
    fn serialize_with(field: &&str, serializer: &mut S) -> Result<StringResolver, S::Error> {
        ArchivedString::serialize_from_str(field, serializer)
    }
}
