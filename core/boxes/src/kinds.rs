//! The message types that a process knows, numbered: what `kind` in a message's header stands for.
//!
//! Fixed before the first reactor starts, so that every reactor numbers alike, links announce the whole
//! table when they open, and nobody locks. Two bytes of kind instead of eight of schema in each header.

use std::collections::BTreeMap;

use daedal_model::message::{Message, Schema, Wire};

/// Index into a process's table of message types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// No message type: what the header of a message without a body carries.
    pub const NONE: Kind = Kind(u16::MAX);
    /// No message's: what many agents of one name take is looked up where they are.
    pub(crate) const MANY: Kind = Kind(u16::MAX - 1);
}

/// Message types by number and number by schema.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    entries: Vec<(Schema, u16)>,
    by_schema: BTreeMap<Schema, Kind>,
}

impl Kinds {
    /// Adds a message type, unless it is known.
    /// # Panics
    /// With more than 65,535 types.
    pub fn add<M: Message>(&mut self) {
        self.add_schema(M::SCHEMA, M::VERSION);
    }

    /// Adds a type that is only ever a reply.
    /// # Panics
    /// With more than 65,535 types.
    pub fn add_reply<R: Wire>(&mut self) {
        self.add_schema(R::SCHEMA, 1);
    }

    fn add_schema(&mut self, schema: Schema, version: u16) {
        let next = Kind(u16::try_from(self.entries.len()).expect("at most 65,535 message types"));
        assert!(next != Kind::NONE, "at most 65,535 message types");
        self.by_schema.entry(schema).or_insert_with(|| {
            self.entries.push((schema, version));
            next
        });
    }

    /// The number of a schema.
    pub fn kind(&self, schema: Schema) -> Option<Kind> {
        self.by_schema.get(&schema).copied()
    }

    /// The number of a schema, if we know it in that version.
    pub fn kind_of_version(&self, schema: Schema, version: u16) -> Option<Kind> {
        let kind = self.kind(schema)?;
        (self.entries[usize::from(kind.0)].1 == version).then_some(kind)
    }

    /// The schema of a number.
    pub fn schema(&self, kind: Kind) -> Option<Schema> {
        self.entries.get(usize::from(kind.0)).map(|entry| entry.0)
    }

    /// Schema and version of all types, in the order of their numbers.
    pub fn entries(&self) -> &[(Schema, u16)] {
        &self.entries
    }
}
