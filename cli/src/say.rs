//! What commands print. Who reads it may have had enough (`daedal tree | head -1`): then the command ends as
//! one that the signal of a closed pipe had ended, and says nothing about it.
//!
//! Knows nothing of the command `box`, which goes on though nobody listens.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Error, Result};

/// As shells tell it of a program that SIGPIPE ended: 128 and the signal's number.
const UNREAD: u8 = 128 + 13;

/// Nobody reads what is printed.
#[derive(Debug)]
struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("nobody reads what is printed")
    }
}

impl std::error::Error for Unread {}

/// Prints to standard output, as `print!`.
/// # Errors
/// When it cannot be written; [`end`] knows whether for want of a reader.
pub fn print(text: fmt::Arguments<'_>) -> Result<()> {
    let mut output = io::stdout().lock();
    match output.write_fmt(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Unread.into()),
        written => Ok(written?),
    }
}

/// Prints a line, as `println!`, and returns what [`print`] does.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::say::print(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Says something on standard error, as `eprintln!`, to whoever wants to know.
macro_rules! note {
    ($($text:tt)*) => {
        $crate::say::print_aside(format_args!($($text)*))
    };
}

pub(crate) use {note, say};

/// Says a line on standard error.
pub fn print_aside(line: fmt::Arguments<'_>) {
    // Who closed it does not want to know.
    let _ = writeln!(io::stderr(), "{line}");
}

/// How a command ends that failed: with its reason on standard error, if there is one to tell.
pub fn end(error: &Error) -> ExitCode {
    if error.is::<Unread>() {
        return UNREAD.into();
    }
    note!("daedal: {error:#}");
    ExitCode::FAILURE
}
