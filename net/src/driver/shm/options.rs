//! How a driver is asked for, as text: `shm`, `shm:copy`.

use std::fmt;
use std::str::FromStr;

/// How frames are read. Parsed from, and shown as, what follows `shm:`; nothing at all is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether what comes is copied out of the memory that its sender can write, and read there. Else it is read where
    /// it lies.
    pub copy: bool,
}

/// What may be said, for errors.
pub const WORDS: &str = "copy";

impl FromStr for Options {
    type Err = String;

    fn from_str(text: &str) -> Result<Options, String> {
        match text {
            "" => Ok(Options { copy: false }),
            "copy" => Ok(Options { copy: true }),
            other => Err(format!("{other:?} is none of: {WORDS}")),
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.copy { "copy" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_shown_as_it_was_and_what_is_not_known_is_refused() {
        for text in ["", "copy"] {
            assert_eq!(text.parse::<Options>().unwrap().to_string(), text);
        }
        assert_eq!("fast".parse::<Options>().unwrap_err(), "\"fast\" is none of: copy");
    }
}
