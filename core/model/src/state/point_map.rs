//! A map in the order of (point, key): scanned by point, split by range without looking at all of it.
//!
//! Looked up by the key's borrowed form. A key's point is taken by hash ([`Hashed`]) or by its first
//! bytes ([`Prefixed`]); it has to be the way that the messages' `#[point]` takes it.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use super::field::{entry, piece, twice};
use super::{Field, Keyed, Piece, StateError};
use crate::point::{Point, PointKey, PointRange};

/// How a key gets its point.
pub trait Pointing: 'static {
    /// The point of `key`.
    fn point(key: impl PointKey) -> Point;
}

/// By hash: `#[point]`.
#[derive(Clone, Copy, Debug)]
pub struct Hashed;

/// By the first eight bytes, in order: `#[point(prefix)]`.
#[derive(Clone, Copy, Debug)]
pub struct Prefixed;

impl Pointing for Hashed {
    fn point(key: impl PointKey) -> Point {
        Point::of(key)
    }
}

impl Pointing for Prefixed {
    fn point(key: impl PointKey) -> Point {
        Point::prefix(key)
    }
}

/// A map in the order of (point, key). Costs are those of a `BTreeMap`.
pub struct PointMap<K, V, P = Hashed> {
    entries: BTreeMap<Entry<K>, V>,
    pointing: PhantomData<P>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<K> {
    point: Point,
    key: K,
}

/// What entries are found by: a point and a borrowed key, or the place before all keys of a point.
trait Seek<Q: ?Sized> {
    fn seek(&self) -> (Point, Option<&Q>);
}

impl<K: Borrow<Q>, Q: ?Sized> Seek<Q> for Entry<K> {
    fn seek(&self) -> (Point, Option<&Q>) {
        (self.point, Some(self.key.borrow()))
    }
}

impl<Q: ?Sized> Seek<Q> for (Point, Option<&Q>) {
    fn seek(&self) -> (Point, Option<&Q>) {
        *self
    }
}

impl<'a, K: Borrow<Q> + 'a, Q: ?Sized + Ord + 'a> Borrow<dyn Seek<Q> + 'a> for Entry<K> {
    fn borrow(&self) -> &(dyn Seek<Q> + 'a) {
        self
    }
}

impl<Q: ?Sized + Ord> Ord for dyn Seek<Q> + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.seek().cmp(&other.seek())
    }
}

impl<Q: ?Sized + Ord> PartialOrd for dyn Seek<Q> + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Q: ?Sized + Ord> PartialEq for dyn Seek<Q> + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<Q: ?Sized + Ord> Eq for dyn Seek<Q> + '_ {}

impl<K: PointKey + Ord, V, P: Pointing> PointMap<K, V, P> {
    /// A map without entries.
    pub fn new() -> PointMap<K, V, P> {
        PointMap::default()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`.
    pub fn get<Q: PointKey + Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(&(P::point(key), Some(key)) as &dyn Seek<Q>)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: PointKey + Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(&(P::point(key), Some(key)) as &dyn Seek<Q>)
    }

    /// Whether `key` has a value.
    pub fn contains_key<Q: PointKey + Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Gives `key` a value, and gives the old one back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.entries.insert(Entry { point: P::point(&key), key }, value)
    }

    /// Takes the value of `key` out.
    pub fn remove<Q: PointKey + Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.remove(&(P::point(key), Some(key)) as &dyn Seek<Q>)
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Every entry, in the order of (point, key).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.entries.iter().map(|(entry, value)| (&entry.key, value))
    }

    /// The entries of these points, in their order, each with its point.
    pub fn range(&self, range: PointRange) -> impl DoubleEndedIterator<Item = (Point, &K, &V)> {
        let (from, to) = (before::<K>(range.first), after::<K>(range.last));
        let from = Bound::Included(&from as &dyn Seek<K>);
        let to = match &to {
            Some(to) => Bound::Excluded(to as &dyn Seek<K>),
            None => Bound::Unbounded,
        };
        // A range that ends before it starts is empty here and a panic there.
        let entries =
            (range.first <= range.last).then(|| self.entries.range::<dyn Seek<K>, _>((from, to)));
        entries.into_iter().flatten().map(|(entry, value)| (entry.point, &entry.key, value))
    }

    /// Takes out the entries of these points. Cost: linear in what stands above `range`.
    pub fn take_range(&mut self, range: PointRange) -> PointMap<K, V, P> {
        if range.last < range.first {
            return PointMap::default();
        }
        let mut taken = self.entries.split_off(&before::<K>(range.first) as &dyn Seek<K>);
        if let Some(after) = after::<K>(range.last) {
            self.entries.append(&mut taken.split_off(&after as &dyn Seek<K>));
        }
        PointMap { entries: taken, pointing: PhantomData }
    }
}

/// The place before all keys of `point`.
fn before<'k, K>(point: Point) -> (Point, Option<&'k K>) {
    (point, None)
}

/// The place after all keys of `point`; none after the last point.
fn after<'k, K>(point: Point) -> Option<(Point, Option<&'k K>)> {
    point.0.checked_add(1).map(|next| before(Point(next)))
}

impl<K: PointKey + Field + Ord, V: Field, P: Pointing> Keyed for PointMap<K, V, P> {
    fn pieces(&self) -> Vec<Piece> {
        self.entries.iter().map(|(entry, value)| piece(entry.point, &entry.key, value)).collect()
    }

    fn take(&mut self, range: PointRange) -> Vec<Piece> {
        self.take_range(range).pieces()
    }

    fn put(&mut self, piece: Piece) -> Result<(), StateError> {
        let (key, value) = entry(piece, |key: &K| P::point(key))?;
        if self.contains_key(&key) {
            return Err(twice(&key));
        }
        self.insert(key, value);
        Ok(())
    }
}

impl<K, V, P> Default for PointMap<K, V, P> {
    fn default() -> Self {
        PointMap { entries: BTreeMap::new(), pointing: PhantomData }
    }
}

impl<K: Clone, V: Clone, P> Clone for PointMap<K, V, P> {
    fn clone(&self) -> Self {
        PointMap { entries: self.entries.clone(), pointing: PhantomData }
    }
}

impl<K: PartialEq, V: PartialEq, P> PartialEq for PointMap<K, V, P> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<K: Eq, V: Eq, P> Eq for PointMap<K, V, P> {}

impl<K: fmt::Debug, V: fmt::Debug, P> fmt::Debug for PointMap<K, V, P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map()
            .entries(self.entries.iter().map(|(entry, value)| (&entry.key, value)))
            .finish()
    }
}

impl<K: PointKey + Ord, V, P: Pointing> FromIterator<(K, V)> for PointMap<K, V, P> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let entries = entries.map(|(key, value)| (Entry { point: P::point(&key), key }, value));
        PointMap { entries: entries.collect(), pointing: PhantomData }
    }
}
