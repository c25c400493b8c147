//! A record on its way out: who keeps it takes it, if it may, or copies it.

use std::ops::{Deref, DerefMut};

/// Header and all behind it.
pub(crate) enum Parcel<'a> {
    /// Stays with whoever has it.
    Lent(&'a mut [u8]),
    /// Nothing is left of it where it is taken.
    Given(&'a mut Vec<u8>),
}

impl Parcel<'_> {
    /// The same, for one of several that it goes to.
    pub fn lend(&mut self) -> Parcel<'_> {
        Parcel::Lent(self)
    }

    /// To keep.
    pub fn take(&mut self) -> Vec<u8> {
        match self {
            Parcel::Lent(record) => record.to_vec(),
            Parcel::Given(record) => std::mem::take(*record),
        }
    }
}

impl Deref for Parcel<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Parcel::Lent(record) => record,
            Parcel::Given(record) => record,
        }
    }
}

impl DerefMut for Parcel<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Parcel::Lent(record) => record,
            Parcel::Given(record) => record,
        }
    }
}
