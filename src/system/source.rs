//! The text that is read: from a span of its bytes to an error that shows the line. Judges nothing.

use std::ops::Range;

use super::error::{Problem, SystemError};

/// Most characters of an offending line that are shown.
const SHOWN_MAX: usize = 100;

/// The text that is read, and its name.
pub(super) struct Source<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
}

impl Source<'_> {
    /// An error about the file as a whole.
    pub(super) fn whole(&self, problem: Problem) -> SystemError {
        SystemError {
            file: self.file.to_owned(),
            line: None,
            subject: String::new(),
            problem: Box::new(problem),
            excerpt: String::new(),
        }
    }

    /// An error about the bytes of `span`, which belong to `subject`.
    pub(super) fn at(&self, span: Range<usize>, subject: &str, problem: Problem) -> SystemError {
        let line = self.line_of(span.start);
        SystemError {
            line: Some(line),
            subject: subject.to_owned(),
            excerpt: self.excerpt(span, line),
            ..self.whole(problem)
        }
    }

    /// The line, counted from 1, of a byte. Past the end: the last.
    pub(super) fn line_of(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// The line where `span` starts, and marks under as much of `span` as is in it.
    fn excerpt(&self, span: Range<usize>, line: usize) -> String {
        let bytes = self.text.as_bytes();
        let at = span.start.min(bytes.len());
        let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // Bytes, not characters: a position may be in the middle of a character.
        let rest = String::from_utf8_lossy(&bytes[start..]);
        let text = rest.lines().next().unwrap_or("");
        let column = String::from_utf8_lossy(&bytes[start..at]).chars().count();
        let marked = bytes.get(at..span.end.min(bytes.len())).unwrap_or(b"");
        let marks = String::from_utf8_lossy(marked).lines().next().map_or(0, |l| l.chars().count());

        // A window around the mark, so that a line of a megabyte is not printed whole.
        let first = if column < SHOWN_MAX { 0 } else { column - SHOWN_MAX / 2 };
        let window = text.chars().skip(first).take(SHOWN_MAX);
        // What could move a terminal's cursor is shown as a space; so are tabs, to keep marks in line.
        let shown: String = window.map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = column - first;
        let marks = marks.clamp(1, (SHOWN_MAX - indent.min(SHOWN_MAX - 1)).max(1));
        format!(
            "{line:>5} | {}\n      | {}{}",
            shown.trim_end(),
            " ".repeat(indent),
            "^".repeat(marks)
        )
    }
}
