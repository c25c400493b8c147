//! Requests out of a byte stream: arrays of bulk strings, and inline commands as typed by hand.
//!
//! Copies nothing: arguments are spans of the input, except of an inline command, whose quotes have
//! to be undone. Resumes where it stopped: bytes that were looked at are not looked at again, but
//! for one length line. Reads what Redis 7.0 reads, byte for byte, and refuses with its words.

use std::fmt;

use crate::limits::{ARGUMENTS_MAX, COMMAND_BYTES_MAX, LINE_BYTES_MAX, VALUE_BYTES_MAX};
use crate::number::parse_i64;

#[cfg(test)]
mod tests;

/// What breaks a connection: no later byte could be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The count behind `*` is no number, or over [`ARGUMENTS_MAX`].
    InvalidMultibulkLength,
    /// The length behind `$` is no number, negative, or over [`VALUE_BYTES_MAX`].
    InvalidBulkLength,
    /// An argument starts with this byte.
    ExpectedDollar(u8),
    /// A quote of an inline command is not closed, or something follows it without a space.
    UnbalancedQuotes,
    /// No end of line within [`LINE_BYTES_MAX`] of an inline command.
    InlineTooBig,
    /// No end of line within [`LINE_BYTES_MAX`] of `*`.
    MultibulkCountTooBig,
    /// No end of line within [`LINE_BYTES_MAX`] of where an argument starts.
    BulkCountTooBig,
    /// The command is longer than [`COMMAND_BYTES_MAX`].
    CommandTooBig,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ERR Protocol error: ")?;
        match self {
            ProtocolError::InvalidMultibulkLength => out.write_str("invalid multibulk length"),
            ProtocolError::InvalidBulkLength => out.write_str("invalid bulk length"),
            ProtocolError::ExpectedDollar(got) => {
                write!(out, "expected '$', got '{}'", char::from(*got))
            }
            ProtocolError::UnbalancedQuotes => out.write_str("unbalanced quotes in request"),
            ProtocolError::InlineTooBig => out.write_str("too big inline request"),
            ProtocolError::MultibulkCountTooBig => out.write_str("too big mbulk count string"),
            ProtocolError::BulkCountTooBig => out.write_str("too big bulk count string"),
            ProtocolError::CommandTooBig => {
                write!(out, "command exceeds {COMMAND_BYTES_MAX} bytes")
            }
        }
    }
}

/// The arguments of one command; the first is its name.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

/// From, to: [`COMMAND_BYTES_MAX`] fits.
type Span = (u32, u32);

const _: () = assert!(COMMAND_BYTES_MAX <= u32::MAX as usize);

impl<'a> Arguments<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether the command is empty, which clients may send.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// One of them.
    /// # Panics
    /// When there is none at `index`.
    pub fn at(&self, index: usize) -> &'a [u8] {
        let (from, to) = self.spans[index];
        &self.bytes[from as usize..to as usize]
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |&(from, to)| &bytes[from as usize..to as usize])
    }
}

/// Reads one command at a time. Between two calls the input may grow at its end and move in memory,
/// but still starts where the command starts.
#[derive(Debug, Default)]
pub struct Parser {
    spans: Vec<Span>,
    /// How many arguments of an array are still to come.
    left: usize,
    /// Where the next of them starts.
    at: usize,
    /// No end of line stands before this, if the line is not complete.
    searched: usize,
    /// An inline command without its quotes.
    line: Vec<u8>,
    inline: bool,
}

/// Spans that are kept from command to command.
const SPANS_KEPT: usize = 1024;

impl Parser {
    /// Reads the command that `input` starts with: how many bytes it takes, or `None` when it is not
    /// all there. Cost: under 40 ns for `SET key value`.
    /// # Errors
    /// A [`ProtocolError`], after which the connection has to be closed.
    pub fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if self.left == 0 {
            self.spans.clear();
            self.spans.shrink_to(SPANS_KEPT);
            self.inline = false;
            match input.first() {
                None => return Ok(None),
                Some(b'*') => {}
                Some(_) => return self.parse_inline(input),
            }
            let Some((count, after)) = self.length::<b'*'>(input, 0)? else { return Ok(None) };
            if count <= 0 {
                return Ok(Some(after));
            }
            if count > ARGUMENTS_MAX as i64 {
                return Err(ProtocolError::InvalidMultibulkLength);
            }
            (self.left, self.at) = (count as usize, after);
        }
        while self.left > 0 {
            let Some((length, from)) = self.length::<b'$'>(input, self.at)? else {
                return Ok(None);
            };
            if !(0..=VALUE_BYTES_MAX as i64).contains(&length) {
                return Err(ProtocolError::InvalidBulkLength);
            }
            let to = from + length as usize;
            let next = to + 2; // whatever these two bytes are: Redis does not look either
            if next > COMMAND_BYTES_MAX {
                return Err(ProtocolError::CommandTooBig);
            }
            if input.len() < next {
                return Ok(None);
            }
            self.spans.push((from as u32, to as u32));
            (self.left, self.at) = (self.left - 1, next);
        }
        Ok(Some(self.at))
    }

    /// The arguments of the command that [`parse`](Parser::parse) read last, from the same input.
    pub fn arguments<'a>(&'a self, input: &'a [u8]) -> Arguments<'a> {
        Arguments { bytes: if self.inline { &self.line } else { input }, spans: &self.spans }
    }

    /// Reads `KIND`, a length and an end of line: the length and what comes behind it.
    #[inline]
    fn length<const KIND: u8>(
        &mut self,
        input: &[u8],
        at: usize,
    ) -> Result<Option<(i64, usize)>, ProtocolError> {
        // The usual case, read at once: up to eight digits, the first of them not 0.
        if let [kind, first @ b'1'..=b'9', rest @ ..] = &input[at..]
            && *kind == KIND
        {
            let mut length = i64::from(first - b'0');
            for (index, &byte) in rest.iter().take(8).enumerate() {
                match byte {
                    b'0'..=b'9' => length = length * 10 + i64::from(byte - b'0'),
                    b'\r' if rest.len() > index + 1 => {
                        self.searched = 0;
                        return Ok(Some((length, at + index + 4)));
                    }
                    _ => break,
                }
            }
        }
        self.length_slowly::<KIND>(input, at)
    }

    #[cold]
    fn length_slowly<const KIND: u8>(
        &mut self,
        input: &[u8],
        at: usize,
    ) -> Result<Option<(i64, usize)>, ProtocolError> {
        let (too_big, invalid) = match KIND {
            b'*' => (ProtocolError::MultibulkCountTooBig, ProtocolError::InvalidMultibulkLength),
            _ => (ProtocolError::BulkCountTooBig, ProtocolError::InvalidBulkLength),
        };
        let Some(end) = self.find(b'\r', input, at, too_big)? else { return Ok(None) };
        if input.len() < end + 2 {
            return Ok(None);
        }
        self.searched = 0;
        if input[at] != KIND {
            return Err(ProtocolError::ExpectedDollar(input[at]));
        }
        let length = parse_i64(&input[at + 1..end]).ok_or(invalid)?;
        Ok(Some((length, end + 2)))
    }

    /// Where `byte` first stands in the line that starts at `at`.
    fn find(
        &mut self,
        byte: u8,
        input: &[u8],
        at: usize,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let from = self.searched.max(at);
        let limit = input.len().min(at + LINE_BYTES_MAX + 1);
        match input[from..limit].iter().position(|&other| other == byte) {
            Some(distance) => {
                self.searched = from + distance;
                Ok(Some(self.searched))
            }
            None if input.len() - at > LINE_BYTES_MAX => Err(too_big),
            None => {
                self.searched = limit;
                Ok(None)
            }
        }
    }

    fn parse_inline(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let end = self.find(b'\n', input, 0, ProtocolError::InlineTooBig)?;
        let Some(end) = end else { return Ok(None) };
        self.searched = 0;
        self.inline = true;
        self.line.clear();
        let mut rest = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        loop {
            let Some(start) = rest.iter().position(|&byte| !is_space(byte) && byte != 0) else {
                return Ok(Some(end + 1));
            };
            rest = &rest[start..];
            let from = self.line.len();
            rest = unquote(rest, &mut self.line).ok_or(ProtocolError::UnbalancedQuotes)?;
            self.spans.push((from as u32, self.line.len() as u32));
        }
    }
}

/// Appends the argument that `text` starts with to `out`; what comes behind it, or `None` when its
/// quotes do not balance. The rules of Redis's `sdssplitargs`.
fn unquote<'a>(mut text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut quote = None;
    loop {
        text = match (quote, text) {
            (None, [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..]) => return Some(text),
            (None, [mark @ (b'"' | b'\''), rest @ ..]) => {
                quote = Some(*mark);
                rest
            }
            (Some(_), []) => return None,
            (Some(mark), [byte, rest @ ..]) if *byte == mark => {
                let ends = rest.first().is_none_or(|next| is_space(*next));
                return ends.then_some(rest);
            }
            (Some(b'"'), [b'\\', b'x', high, low, rest @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(hex(*high) << 4 | hex(*low));
                rest
            }
            (Some(b'"'), [b'\\', byte, rest @ ..]) => {
                out.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    byte => *byte,
                });
                rest
            }
            (Some(b'\''), [b'\\', b'\'', rest @ ..]) => {
                out.push(b'\'');
                rest
            }
            (_, [byte, rest @ ..]) => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// C's `isspace`: has the vertical tab, which `is_ascii_whitespace` has not.
fn is_space(byte: u8) -> bool {
    byte == 0x0b || byte.is_ascii_whitespace()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
