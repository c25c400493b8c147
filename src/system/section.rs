//! One table of the file, read key by key, each with its type. Knows no key by name.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, SystemError, shown};
use super::names;
use super::source::Source;

/// A value, and which bytes of the file it came from.
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A key of the file.
pub(super) type Key<'t> = Placed<&'t str>;

/// One table: its keys that were not yet taken, and what errors call it.
pub(super) struct Section<'t> {
    source: &'t Source<'t>,
    subject: String,
    keys: BTreeMap<&'t str, (Range<usize>, &'t Spanned<DeValue<'t>>)>,
}

impl<'t> Section<'t> {
    /// `subject`: what errors call the table; empty for the file.
    pub(super) fn new(
        source: &'t Source<'t>,
        subject: String,
        table: &'t DeTable<'t>,
    ) -> Section<'t> {
        let keys = table.iter().map(|(key, value)| (key.get_ref().as_ref(), (key.span(), value)));
        Section { source, subject, keys: keys.collect() }
    }

    /// An error in this section.
    pub(super) fn error(&self, span: Range<usize>, problem: Problem) -> SystemError {
        self.source.at(span, &self.subject, problem)
    }

    /// Refuses a key that is not one of `known`. Comes first: a key that is missing is often misspelt.
    pub(super) fn expect_keys(&self, known: &'static [&'static str]) -> Result<(), SystemError> {
        let unknown = |key: &&&str| !known.contains(*key);
        let Some(key) = self.keys.keys().find(unknown) else { return Ok(()) };
        let nearest = names::nearest(key, known.iter().copied());
        let problem = Problem::UnknownKey { key: shown(key), nearest, known };
        Err(self.error(self.keys[key].0.clone(), problem))
    }

    /// Refuses a key that is all but one of `known`, where any other is a parameter.
    pub(super) fn expect_spelling(
        &self,
        known: &'static [&'static str],
    ) -> Result<(), SystemError> {
        for (key, (span, _)) in self.keys.iter().filter(|(key, _)| !known.contains(key)) {
            if let Some(nearest) = names::nearest(key, known.iter().copied()) {
                let problem = Problem::MisspeltKey { key: shown(key), nearest };
                return Err(self.error(span.clone(), problem));
            }
        }
        Ok(())
    }

    /// The line, counted from 1, where `span` starts.
    pub(super) fn line_of(&self, span: &Range<usize>) -> usize {
        self.source.line_of(span.start)
    }

    /// Refuses what is not a segment of an agent's path: names of agents and boxes.
    pub(super) fn expect_segment(&self, name: &Key<'_>) -> Result<(), SystemError> {
        match names::is_segment(name.value) {
            true => Ok(()),
            false => Err(self.error(name.span.clone(), Problem::segment(name.value))),
        }
    }

    /// Refuses what is not a word: kinds and parameters.
    pub(super) fn expect_word(&self, name: &Key<'_>) -> Result<(), SystemError> {
        match names::is_word(name.value) {
            true => Ok(()),
            false => Err(self.error(name.span.clone(), Problem::word(name.value))),
        }
    }

    /// The table under `key`, if there is one.
    pub(super) fn take_table(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Section<'t>>, SystemError> {
        let Some((_, value)) = self.keys.remove(key) else { return Ok(None) };
        let table = self.expect(key, value, "a table", DeValue::as_table)?;
        Ok(Some(Section::new(self.source, key.to_owned(), table.value)))
    }

    /// Every entry as a section of its own, by name: `[agent.kvs]` is `agent "kvs"`.
    pub(super) fn into_sections(self) -> Result<Vec<(Key<'t>, Section<'t>)>, SystemError> {
        let mut sections = Vec::with_capacity(self.keys.len());
        for (name, (span, value)) in &self.keys {
            let table = self.expect(name, value, "a table", DeValue::as_table)?.value;
            let subject = format!("{} {}", self.subject, format_args!("\"{}\"", shown(name)));
            let section = Section::new(self.source, subject, table);
            sections.push((Placed { value: *name, span: span.clone() }, section));
        }
        Ok(sections)
    }

    pub(super) fn take_text(
        &mut self,
        key: &'static str,
        want: &'static str,
    ) -> Result<Option<Placed<&'t str>>, SystemError> {
        let Some((_, value)) = self.keys.remove(key) else { return Ok(None) };
        self.expect(key, value, want, DeValue::as_str).map(Some)
    }

    /// A list of texts. A single one is not a list: what is written twice in two ways is read in one.
    pub(super) fn take_texts(
        &mut self,
        key: &'static str,
        want: &'static str,
    ) -> Result<Vec<Placed<&'t str>>, SystemError> {
        let list = self.take_list(key, want)?;
        let mut texts: Vec<Placed<&'t str>> = Vec::with_capacity(list.len());
        for value in list {
            let text = self.expect(key, value, want, DeValue::as_str)?;
            if texts.iter().any(|other| other.value == text.value) {
                let name = shown(text.value);
                return Err(self.error(text.span, Problem::Twice { key, name }));
            }
            texts.push(text);
        }
        Ok(texts)
    }

    /// A list of anything; empty when the key is missing.
    pub(super) fn take_list(
        &mut self,
        key: &'static str,
        want: &'static str,
    ) -> Result<Vec<&'t Spanned<DeValue<'t>>>, SystemError> {
        let Some((_, value)) = self.keys.remove(key) else { return Ok(Vec::new()) };
        Ok(self.expect(key, value, want, DeValue::as_array)?.value.iter().collect())
    }

    /// A whole number from `from` to `to`. `what`: what errors call it.
    pub(super) fn take_number(
        &mut self,
        key: &'static str,
        from: u16,
        to: u16,
    ) -> Result<Option<Placed<u16>>, SystemError> {
        let Some((_, value)) = self.keys.remove(key) else { return Ok(None) };
        self.number(key, key, value, from, to).map(Some)
    }

    pub(super) fn number(
        &self,
        key: &str,
        what: &'static str,
        value: &'t Spanned<DeValue<'t>>,
        from: u16,
        to: u16,
    ) -> Result<Placed<u16>, SystemError> {
        let number = self.expect(key, value, "a whole number", DeValue::as_integer)?;
        let found = u16::from_str_radix(number.value.as_str(), number.value.radix()).ok();
        match found.filter(|found| (from..=to).contains(found)) {
            Some(value) => Ok(Placed { value, span: number.span }),
            None => {
                let found = shown(&number.value.to_string());
                Err(self.error(number.span, Problem::OutOfRange { what, found, from, to }))
            }
        }
    }

    /// Takes all that is left, as text: parameters.
    pub(super) fn take_parameters(&mut self) -> Result<BTreeMap<String, String>, SystemError> {
        let mut parameters = BTreeMap::new();
        for (key, (span, value)) in std::mem::take(&mut self.keys) {
            self.expect_word(&Placed { value: key, span })?;
            parameters.insert(key.to_owned(), self.parameter(key, value)?);
        }
        Ok(parameters)
    }

    fn parameter(&self, key: &str, value: &Spanned<DeValue<'t>>) -> Result<String, SystemError> {
        Ok(match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            // In decimal, however it was written; past 128 bits as written, for the kind to refuse.
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.to_string(), |number| number.to_string()),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(yes) => yes.to_string(),
            other => {
                return Err(self.error(
                    value.span(),
                    Problem::WrongType {
                        key: key.to_owned(),
                        found: other.type_str(),
                        want: "a string, a number, true or false",
                    },
                ));
            }
        })
    }

    /// What `pick` finds in a value, or an error that says what should be there.
    pub(super) fn expect<T>(
        &self,
        key: &str,
        value: &'t Spanned<DeValue<'t>>,
        want: &'static str,
        pick: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Result<Placed<T>, SystemError> {
        let found = value.get_ref().type_str();
        let span = value.span();
        match pick(value.get_ref()) {
            Some(value) => Ok(Placed { value, span }),
            None => {
                let key = shown(key);
                Err(self.error(span, Problem::WrongType { key, found, want }))
            }
        }
    }
}
