//! How a value becomes an archive: straight into the bytes that leave, without an owned copy.
//!
//! [`Encode`] says that something serialises as `M`'s archived form: `M` itself, its borrowed twin, a
//! slice for a `Vec`, a `str` for a `String`. [`Body`] adds what `send` needs beside: the message type,
//! so that it is inferred, and the point, which is computed before any stage (Ovid §3.2).
//!
//! Hides rkyv's serializers: one over a slice, whose scratch stands on the stack and which allocates
//! nothing; one over a `Vec`, for what does not fit.

#![expect(unsafe_code, reason = "what is promised of an archive, nobody checks again")]

use std::mem::MaybeUninit;

use rkyv::rancor::{Failure, Strategy};
use rkyv::ser::Serializer;
use rkyv::ser::allocator::{Arena, ArenaHandle, SubAllocator};
use rkyv::ser::writer::Buffer;
use rkyv::with::{Map, With};
use rkyv::{Archive, Serialize};
use thiserror::Error;

use crate::address::Address;
use crate::id::Point;
use crate::message::{Message, Part, Schema, Wire};
use crate::support::Lend;

/// Scratch for the positions of a list's elements while the list is written into a slice. Lists of
/// plain numbers need none; one of 60 strings fits, longer ones go by [`encode_to_vec`].
const SCRATCH_BYTES: usize = 1024;

/// Serialises as the archived form of `M`. Implemented here and by `#[message]`.
///
/// # Safety
/// What stays inside a process is read without a check. So once `encode` has returned `Ok`, the encoder
/// holds an archive of `M` that is valid, root last: what [`Encoder::put`] leaves of a value whose rkyv
/// implementations are rkyv's own or derived. Safe code can't say so:
///
/// ```compile_fail,E0200
/// use daedal_model::encode::{Encode, Encoder, Full};
///
/// struct Unwritten;
/// impl Encode<String> for Unwritten {
///     fn encode(&self, _: &mut Encoder<'_>) -> Result<(), Full> {
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serialise as a `{M}`",
    note = "give the message itself, its borrowed twin (`…Ref`), &[u8] for Vec<u8> or &str for String"
)]
pub unsafe trait Encode<M: Wire> {
    /// Writes the archive of `M`, root last.
    /// # Errors
    /// [`Full`] when it does not fit; what was written by then means nothing.
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Full>;
}

/// What `send` takes: an [`Encode`] that knows of which message, and where it goes.
pub trait Body: Encode<Self::Message> {
    /// The message that the receiver will read.
    type Message: Message;

    /// Where it falls among the shards of its destination, as [`Message::point_of`] will say.
    fn point(&self) -> Option<Point>;

    /// Whether it goes to every child of its destination, as [`Message::is_broadcast`] will say.
    fn is_broadcast(&self) -> bool;
}

/// The bytes have no room for the archive, or a list in it is too long for the scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the archive does not fit; encode it with `encode_to_vec` and send it in segments")]
pub struct Full;

/// Bytes to write one archive into.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: Out<'a>,
}

#[derive(Debug)]
enum Out<'a> {
    Slice {
        bytes: &'a mut [u8],
        written: usize,
    },
    /// Behind its first `from` bytes.
    Heap {
        bytes: &'a mut Vec<u8>,
        from: usize,
    },
}

/// Serializer over a slice: no allocation.
type SliceSerializer<'a> = Strategy<Serializer<Buffer<'a>, SubAllocator<'a>, ()>, Failure>;
/// Serializer over a growing `Vec`.
type HeapSerializer<'a> = Strategy<Serializer<&'a mut Vec<u8>, ArenaHandle<'a>, ()>, Failure>;

/// What both serializers take.
pub trait Serial:
    for<'a> Serialize<SliceSerializer<'a>> + for<'a> Serialize<HeapSerializer<'a>>
{
}
impl<T> Serial for T where
    T: for<'a> Serialize<SliceSerializer<'a>> + for<'a> Serialize<HeapSerializer<'a>>
{
}

impl<'a> Encoder<'a> {
    /// Writes from the start of `bytes`, which may stand at any alignment.
    pub fn new(bytes: &'a mut [u8]) -> Encoder<'a> {
        Encoder { out: Out::Slice { bytes, written: 0 } }
    }

    /// The archive, once it is encoded, where it was written.
    pub fn written(&self) -> &[u8] {
        match &self.out {
            Out::Slice { bytes, written } => &bytes[..*written],
            Out::Heap { bytes, from } => &bytes[*from..],
        }
    }

    /// Writes one archive of `M`, in place of any before it.
    /// # Errors
    /// [`Full`], as [`Encode::encode`]; nothing is written then.
    #[inline]
    pub fn put<M: Wire>(
        &mut self,
        value: &(impl Serial + Archive<Archived = M::Archived>),
    ) -> Result<(), Full> {
        match &mut self.out {
            Out::Slice { bytes, written } => {
                *written = 0;
                let mut scratch = [MaybeUninit::uninit(); SCRATCH_BYTES];
                let (writer, scratch) =
                    (Buffer::from(&mut **bytes), SubAllocator::new(&mut scratch));
                let mut serializer = Serializer::new(writer, scratch, ());
                rkyv::api::serialize_using::<_, Failure>(value, &mut serializer)
                    .map_err(|_| Full)?;
                *written = serializer.into_writer().len();
            }
            Out::Heap { bytes, from } => {
                bytes.truncate(*from);
                let mut arena = Arena::new();
                let mut serializer = Serializer::new(&mut **bytes, arena.acquire(), ());
                rkyv::api::serialize_using::<_, Failure>(value, &mut serializer)
                    .map_err(|_| Full)?;
            }
        }
        Ok(())
    }
}

/// The archive of any size, on the heap. For messages that leave in segments.
/// # Panics
/// Above 2 GiB, which relative pointers cannot span; a message's limit is far below.
pub fn encode_to_vec<M: Wire>(body: &(impl Encode<M> + ?Sized)) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(body, &mut bytes);
    bytes
}

/// Likewise, behind what `bytes` has: a multiple of 16 bytes, so that the archive is the same.
/// # Panics
/// As [`encode_to_vec`].
pub fn append<M: Wire>(body: &(impl Encode<M> + ?Sized), bytes: &mut Vec<u8>) {
    let from = bytes.len();
    debug_assert!(from.is_multiple_of(16), "an archive is aligned behind what stands ahead of it");
    body.encode(&mut Encoder { out: Out::Heap { bytes, from } })
        .expect("a Vec and an arena grow; only bytes in place can be full");
}

/// A message that was encoded where it was made, and is sent by another thread's agent. Made from a
/// [`Body`] and from nothing else, so that its bytes are what its schema says.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    schema: Schema,
    point: Option<Point>,
    is_broadcast: bool,
    bytes: Vec<u8>,
}

impl Encoded {
    /// Encodes a message.
    /// # Panics
    /// As [`encode_to_vec`].
    pub fn new<B: Body>(body: &B) -> Encoded {
        Encoded {
            schema: <B::Message as Wire>::SCHEMA,
            point: body.point(),
            is_broadcast: body.is_broadcast(),
            bytes: encode_to_vec::<B::Message>(body),
        }
    }

    /// Encodes a message for this address.
    /// # Panics
    /// As [`encode_to_vec`].
    pub fn to<B: Body>(address: Address, body: &B) -> Encoded {
        let encoded = Encoded::new(body);
        Encoded { point: address.point(encoded.point), ..encoded }
    }

    /// Its type.
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// Where it falls among the shards of its destination.
    pub fn point(&self) -> Option<Point> {
        self.point
    }

    /// Whether it goes to every child of its destination.
    pub fn is_broadcast(&self) -> bool {
        self.is_broadcast
    }

    /// The archive.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Encoded({:?}, {} bytes)", self.schema, self.bytes.len())
    }
}

// SAFETY: it is the same encoding.
unsafe impl<M: Wire, B: Encode<M> + ?Sized> Encode<M> for &B {
    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Full> {
        B::encode(self, out)
    }
}

impl<B: Body + ?Sized> Body for &B {
    type Message = B::Message;
    #[inline]
    fn point(&self) -> Option<Point> {
        B::point(self)
    }
    #[inline]
    fn is_broadcast(&self) -> bool {
        B::is_broadcast(self)
    }
}

// `lend!([bounds] body as message: expression over self)`: what has neither point nor broadcast.
macro_rules! lend {
    ([$($bounds:tt)*] $body:ty as $message:ty: $self:ident $value:expr) => {
        // SAFETY: the value is put as it is, or as `Lend` writes it; either is rkyv's own implementation.
        unsafe impl<$($bounds)*> Encode<$message> for $body {
            #[inline]
            fn encode(&$self, out: &mut Encoder<'_>) -> Result<(), Full> {
                out.put::<$message>($value)
            }
        }
        impl<$($bounds)*> Body for $body {
            type Message = $message;
            fn point(&self) -> Option<Point> {
                None
            }
            fn is_broadcast(&self) -> bool {
                false
            }
        }
    };
}

macro_rules! plain {
    ($($plain:ty),*) => {$(lend!([] $plain as $plain: self self);)*};
}
plain!((), bool, u8, u16, u32, u64, i8, i16, i32, i64, String);

lend!([] str as String: self With::<&str, Lend>::cast(&self));
lend!([T: Part] [T] as Vec<T>: self With::<&[T], Lend>::cast(&self));
lend!([T: Part] Vec<T> as Vec<T>: self With::<&[T], Lend>::cast(&self.as_slice()));
lend!([T: Part] Option<T> as Option<T>: self self);
lend!([] Option<&str> as Option<String>: self With::<Option<&str>, Map<Lend>>::cast(self));
lend!([] Option<&String> as Option<String>: self
    With::<Option<&str>, Map<Lend>>::cast(&self.map(String::as_str)));
lend!([T: Part] Option<&[T]> as Option<Vec<T>>: self
    With::<Option<&[T]>, Map<Lend>>::cast(self));
lend!([T: Part] Option<&Vec<T>> as Option<Vec<T>>: self
    With::<Option<&[T]>, Map<Lend>>::cast(&self.map(Vec::as_slice)));
lend!([const N: usize] [u8; N] as [u8; N]: self self);
lend!([A: Part] (A,) as (A,): self self);
lend!([A: Part, B: Part] (A, B) as (A, B): self self);
lend!([A: Part, B: Part, C: Part] (A, B, C) as (A, B, C): self self);
lend!([A: Part, B: Part, C: Part, D: Part] (A, B, C, D) as (A, B, C, D): self self);
