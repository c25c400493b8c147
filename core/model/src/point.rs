//! Points: where a key falls among the shards of its destination (Ovid §3.2; rule 7 of the protocol).
//!
//! A point is a function of the key's bytes alone, and of no secret: an owned key, its borrowed form and
//! its archived form have the same point, on every machine and in every version. Keys that are hashed
//! spread evenly and show nothing of themselves; keys taken by prefix keep their order, for ranges.

use rkyv::primitive::{
    ArchivedI16, ArchivedI32, ArchivedI64, ArchivedU16, ArchivedU32, ArchivedU64,
};
use rkyv::string::ArchivedString;
use rkyv::vec::ArchivedVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use crate::id::Point;

/// Keys the hash of points: "daedal", then 0. Part of the wire format: never changed.
pub const POINT_SEED: u64 = 0x6461_6564_616c_0000;

/// Something that a message can be routed by.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a point",
    note = "a point is a String, Vec<u8>, array of bytes, bool or integer, owned, borrowed or archived"
)]
pub trait PointKey {
    /// Lends the key's bytes, whose order is the key's own.
    fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R;
}

impl Point {
    /// The lowest point.
    pub const MIN: Point = Point(0);
    /// The highest point.
    pub const MAX: Point = Point(u64::MAX);

    /// The point of a key by hash: XXH3 (64 bits) of its bytes with [`POINT_SEED`].
    #[inline]
    pub fn of(key: impl PointKey) -> Point {
        key.with_bytes(|bytes| Point(xxh3_64_with_seed(bytes, POINT_SEED)))
    }

    /// The point of a key by its first eight bytes, big-endian, filled up with zeros: keeps order, so
    /// that a range of keys is a range of points.
    #[inline]
    pub fn prefix(key: impl PointKey) -> Point {
        key.with_bytes(|bytes| {
            let mut first = [0; 8];
            let length = bytes.len().min(8);
            first[..length].copy_from_slice(&bytes[..length]);
            Point(u64::from_be_bytes(first))
        })
    }
}

impl<K: PointKey + ?Sized> PointKey for &K {
    #[inline]
    fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        K::with_bytes(self, read)
    }
}

macro_rules! bytes {
    ($([$($bounds:tt)*] $key:ty: $self:ident $bytes:expr;)*) => {$(
        impl<$($bounds)*> PointKey for $key {
            #[inline]
            fn with_bytes<R>(&$self, read: impl FnOnce(&[u8]) -> R) -> R {
                read($bytes)
            }
        }
    )*};
}

bytes! {
    [] str: self self.as_bytes();
    [] String: self self.as_bytes();
    [] ArchivedString: self self.as_str().as_bytes();
    [] [u8]: self self;
    [] Vec<u8>: self self;
    [] ArchivedVec<u8>: self self;
    [const N: usize] [u8; N]: self self;
    [] bool: self &[u8::from(*self)];
    [] u8: self &[*self];
    [] i8: self &(*self ^ i8::MIN).to_be_bytes();
}

// Big-endian; the sign bit of signed ones is flipped, so that the bytes have the numbers' order.
macro_rules! numbers {
    ($($number:ty, $archived:ty: $lowest:expr;)*) => {
        bytes! {$(
            [] $number: self &(*self ^ $lowest).to_be_bytes();
            [] $archived: self &(self.to_native() ^ $lowest).to_be_bytes();
        )*}
    };
}

numbers! {
    u16, ArchivedU16: 0;
    u32, ArchivedU32: 0;
    u64, ArchivedU64: 0;
    i16, ArchivedI16: i16::MIN;
    i32, ArchivedI32: i32::MIN;
    i64, ArchivedI64: i64::MIN;
}

/// The points from `first` to `last`, both of them included. Empty when `last` lies below `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointRange {
    /// The lowest point.
    pub first: Point,
    /// The highest point.
    pub last: Point,
}

impl PointRange {
    /// Every point.
    pub const ALL: PointRange = PointRange { first: Point::MIN, last: Point::MAX };

    /// Whether `point` is among them.
    #[inline]
    pub const fn contains(&self, point: Point) -> bool {
        self.first.0 <= point.0 && point.0 <= self.last.0
    }

    /// Whether the two have a point in common.
    pub const fn overlaps(&self, other: &PointRange) -> bool {
        let first = if self.first.0 < other.first.0 { other.first.0 } else { self.first.0 };
        let last = if self.last.0 < other.last.0 { self.last.0 } else { other.last.0 };
        first <= last
    }

    /// Whether all points of the other are among them.
    pub const fn covers(&self, other: &PointRange) -> bool {
        self.first.0 <= other.first.0 && other.last.0 <= self.last.0
    }

    /// The points that are in both; `None` when there are none.
    pub fn common(&self, other: &PointRange) -> Option<PointRange> {
        let common =
            PointRange { first: self.first.max(other.first), last: self.last.min(other.last) };
        (common.first <= common.last).then_some(common)
    }

    /// The points that are not in the other, which has some of these: before it, and behind.
    pub fn without(&self, other: &PointRange) -> Vec<PointRange> {
        let before = other.first.0.checked_sub(1).map(|last| (self.first, Point(last)));
        let behind = other.last.0.checked_add(1).map(|first| (Point(first), self.last));
        let rest = before.into_iter().chain(behind);
        let rest = rest.map(|(first, last)| PointRange { first, last });
        rest.filter(|range| range.first <= range.last).collect()
    }

    /// `parts` ranges, ascending, whose sizes differ by one point at most and which together are this
    /// one. A range of fewer points gives as many parts as it has points; no parts give none.
    pub fn split(&self, parts: usize) -> Vec<PointRange> {
        let points = (u128::from(self.last.0) + 1).saturating_sub(u128::from(self.first.0));
        let parts = (parts as u128).min(points);
        let start = |part: u128| u128::from(self.first.0) + points * part / parts;
        let point = |at: u128| Point(u64::try_from(at).expect("below the end of this range"));
        (0..parts)
            .map(|part| PointRange { first: point(start(part)), last: point(start(part + 1) - 1) })
            .collect()
    }
}

impl std::fmt::Display for PointRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:016x}..={:016x}", self.first.0, self.last.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::{Encode, encode_to_vec};
    use crate::message::Wire;

    fn agrees<K: Wire<Archived: PointKey> + Encode<K> + PointKey>(key: &K) -> (Point, Point) {
        let bytes = encode_to_vec(key);
        let archived = K::access(&bytes).expect("valid");
        assert_eq!(Point::of(archived), Point::of(key));
        assert_eq!(Point::prefix(archived), Point::prefix(key));
        (Point::of(key), Point::prefix(key))
    }

    proptest! {
        #[test]
        fn every_form_of_a_key_has_the_same_point(
            text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..20), array in any::<[u8; 5]>(),
            unsigned in any::<(u8, u16, u32, u64)>(), signed in any::<(i8, i16, i32, i64)>(),
        ) {
            let of_text = agrees(&text);
            prop_assert_eq!(of_text, (Point::of(text.as_str()), Point::prefix(text.as_str())));
            prop_assert_eq!(of_text, agrees(&text.into_bytes()));
            prop_assert_eq!(agrees(&bytes), (Point::of(&bytes[..]), Point::prefix(&bytes[..])));
            prop_assert_eq!(agrees(&array), (Point::of(&array[..]), Point::prefix(&array[..])));
            let _ = (agrees(&unsigned.0), agrees(&unsigned.1), agrees(&unsigned.2), agrees(&unsigned.3));
            let _ = (agrees(&signed.0), agrees(&signed.1), agrees(&signed.2), agrees(&signed.3));
            let _ = (agrees(&true), agrees(&false));
        }

        #[test]
        fn prefixes_keep_the_order_of_keys(
            one in ".{0,9}", other in ".{0,9}", pair in any::<(i64, i64)>(), small in any::<(i16, i16)>(),
        ) {
            let (low, high) = (one.as_str().min(&other), one.as_str().max(&other));
            prop_assert!(Point::prefix(low) <= Point::prefix(high));
            prop_assert_eq!(Point::prefix(pair.0).cmp(&Point::prefix(pair.1)), pair.0.cmp(&pair.1));
            prop_assert_eq!(Point::prefix(small.0).cmp(&Point::prefix(small.1)), small.0.cmp(&small.1));
        }

        #[test]
        fn what_is_common_and_what_is_not_are_the_whole(
            one in (0..40u64, 0..40u64), other in (0..40u64, 0..40u64),
        ) {
            let range = |(a, b): (u64, u64)| PointRange { first: Point(a.min(b)), last: Point(a.max(b)) };
            let (one, other) = (range(one), range(other));
            let common = one.common(&other);
            prop_assert_eq!(common.is_some(), one.overlaps(&other));
            prop_assert_eq!(one.covers(&other), common == Some(other));
            let Some(common) = common else { return Ok(()) };
            let rest = one.without(&other);
            for point in (0..41).map(Point) {
                let held = [common].iter().chain(&rest).filter(|it| it.contains(point)).count();
                prop_assert_eq!(held, usize::from(one.contains(point)));
            }
        }

        #[test]
        fn a_split_covers_everything_once_and_evenly(
            bounds in any::<(u64, u64)>(), near in any::<bool>(), parts in 0_usize..70,
        ) {
            let first = bounds.0.min(bounds.1);
            let last = if near { first.saturating_add(bounds.1 % 100) } else { bounds.0.max(bounds.1) };
            let range = PointRange { first: Point(first), last: Point(last) };
            let split = range.split(parts);
            let sizes: Vec<u64> = split.iter().map(|part| part.last.0 - part.first.0).collect();
            let points = u128::from(last - first) + 1;
            prop_assert_eq!(split.len() as u128, (parts as u128).min(points));
            if let (Some(one), Some(end)) = (split.first(), split.last()) {
                prop_assert_eq!((one.first, end.last), (range.first, range.last));
                prop_assert!(sizes.iter().max() <= sizes.iter().min().map(|least| least + 1).as_ref());
            }
            for pair in split.windows(2) {
                prop_assert_eq!(pair[0].last.0 + 1, pair[1].first.0);
                prop_assert!(!pair[0].overlaps(&pair[1]) && pair[0].overlaps(&range));
                prop_assert!(pair[0].contains(pair[0].last) && !pair[1].contains(pair[0].last));
            }
        }
    }

    #[test]
    fn points_are_those_of_every_other_version() {
        assert_eq!(Point::of("kvs"), Point(3294598558156658978));
        assert_eq!(Point::of(5_u64), Point(8611985139068436082));
        assert_eq!(Point::prefix("abcdefghi"), Point(0x6162_6364_6566_6768));
        assert_eq!(Point::prefix("a"), Point(0x61 << 56));
    }

    #[test]
    fn an_empty_range_holds_nothing() {
        let empty = PointRange { first: Point(2), last: Point(1) };
        assert!(!empty.contains(Point(1)) && !empty.overlaps(&PointRange::ALL));
        assert_eq!(empty.split(3), []);
        assert_eq!(PointRange::ALL.split(1), [PointRange::ALL]);
    }
}
