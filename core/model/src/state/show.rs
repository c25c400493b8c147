//! A captured state for a person: every field, the first few of its keys, long values shortened.

use std::fmt;

use super::{Captured, Part, Value};

/// Entries of a keyed field, or of a list, that are shown.
const ENTRIES_SHOWN: usize = 4;
/// Characters of a text, and bytes of other bytes, that are shown.
const TEXT_SHOWN: usize = 32;
const BYTES_SHOWN: usize = 8;
/// Levels of lists and maps that are shown.
const DEPTH_SHOWN: usize = 3;

impl fmt::Display for Captured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} v{}", self.name, self.version)?;
        for (name, part) in &self.fields {
            write!(out, "\n  {name}: ")?;
            match part {
                Part::Whole { rule, value } => {
                    write(out, value, DEPTH_SHOWN)?;
                    write!(out, " ({})", rule.word())?;
                }
                Part::Keyed(pieces) => {
                    write!(
                        out,
                        "{} {}",
                        pieces.len(),
                        if pieces.len() == 1 { "key" } else { "keys" }
                    )?;
                    let pairs = pieces.iter().map(|piece| (&piece.key, &piece.value));
                    if !pieces.is_empty() {
                        out.write_str(": ")?;
                    }
                    write_pairs(out, pairs, DEPTH_SHOWN)?;
                }
            }
        }
        Ok(())
    }
}

/// A value in few words, for an error's text.
pub(super) fn short(value: &Value) -> String {
    struct Short<'a>(&'a Value);
    impl fmt::Display for Short<'_> {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(out, self.0, 1)
        }
    }
    Short(value).to_string()
}

fn write(out: &mut fmt::Formatter<'_>, value: &Value, depth: usize) -> fmt::Result {
    match value {
        Value::Integer(number) => write!(out, "{}", i128::from(*number)),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Float(number) => write!(out, "{number}"),
        Value::Null => out.write_str("null"),
        Value::Text(text) => write_text(out, text),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::Array(list) => {
            out.write_str("[")?;
            write_list(out, list.iter(), depth, |out, value| write(out, value, depth - 1))?;
            out.write_str("]")
        }
        Value::Map(pairs) => {
            out.write_str("{")?;
            write_pairs(out, pairs.iter().map(|(key, value)| (key, value)), depth)?;
            out.write_str("}")
        }
        _ => out.write_str("…"),
    }
}

fn write_pairs<'v>(
    out: &mut fmt::Formatter<'_>,
    pairs: impl ExactSizeIterator<Item = (&'v Value, &'v Value)>,
    depth: usize,
) -> fmt::Result {
    write_list(out, pairs, depth, |out, (key, value)| {
        write_key(out, key, depth - 1)?;
        out.write_str(" = ")?;
        write(out, value, depth - 1)
    })
}

fn write_list<T>(
    out: &mut fmt::Formatter<'_>,
    list: impl ExactSizeIterator<Item = T>,
    depth: usize,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    let shown = if depth == 0 { 0 } else { ENTRIES_SHOWN };
    let more = list.len().saturating_sub(shown);
    for (index, entry) in list.take(shown).enumerate() {
        out.write_str(if index == 0 { "" } else { ", " })?;
        write(out, entry)?;
    }
    match more {
        0 => Ok(()),
        _ if shown == 0 => write!(out, "… {more}"),
        _ => write!(out, ", … {more} more"),
    }
}

/// A key that is one plain word goes without quotes.
fn write_key(out: &mut fmt::Formatter<'_>, key: &Value, depth: usize) -> fmt::Result {
    let text = match key {
        Value::Text(text) => Some(text.as_str()),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    let plain = |text: &&str| {
        let fits = (1..=TEXT_SHOWN).contains(&text.len());
        fits && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=,{}".contains(&byte))
    };
    match text.filter(plain) {
        Some(text) => out.write_str(text),
        None => write(out, key, depth),
    }
}

fn write_text(out: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    match text.char_indices().nth(TEXT_SHOWN) {
        None => write!(out, "{text:?}"),
        Some((end, _)) => write!(out, "{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

fn write_bytes(out: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(|character| !character.is_control())
    {
        return write_text(out, text);
    }
    out.write_str("0x")?;
    bytes.iter().take(BYTES_SHOWN).try_for_each(|byte| write!(out, "{byte:02x}"))?;
    if bytes.len() > BYTES_SHOWN { write!(out, "… ({} bytes)", bytes.len()) } else { Ok(()) }
}
