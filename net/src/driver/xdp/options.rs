//! How a driver is asked for, as text: `xdp`, `xdp:generic`, `xdp:native,zero-copy,busy-poll=64,queue=4`.

use std::fmt;
use std::str::FromStr;

/// Where a program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// In the kernel's network stack: with any interface.
    Generic,
    /// In the interface's driver.
    Native,
}

/// How frames are taken from an interface. Parsed from, and shown as, what follows `xdp:`, words with commas between;
/// nothing at all is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where the program sits; `None`: natively, and if the interface's driver has no XDP of its own, generically.
    pub attach: Option<Attach>,
    /// Whether the card reads and writes frames in our buffers. Few drivers do.
    pub zero_copy: bool,
    /// Packets that one call has the interface's driver handle, in place of its interrupts.
    pub busy_poll: Option<u16>,
    /// The queue of the first reactor; the others follow.
    pub queue: u16,
}

/// What may be said, for errors.
pub const WORDS: &str = "native, generic, zero-copy, busy-poll, busy-poll=PACKETS, queue=NUMBER";

/// Packets of a busy poll, where nothing else is said: as many as the kernel does in one go.
const BUDGET: u16 = 64;

impl FromStr for Options {
    type Err = String;

    fn from_str(text: &str) -> Result<Options, String> {
        let mut options = Options::default();
        for word in text.split(',').filter(|_| !text.is_empty()) {
            let (name, value) =
                word.split_once('=').map_or((word, None), |(name, it)| (name, Some(it)));
            let number = |from| match value.map(str::parse::<u16>) {
                Some(Ok(number)) if number >= from => Ok(number),
                _ => {
                    Err(format!("{word}: a whole number from {from} to {} belongs there", u16::MAX))
                }
            };
            match (name, value) {
                ("native", None) => options.attach = Some(Attach::Native),
                ("generic", None) => options.attach = Some(Attach::Generic),
                ("zero-copy", None) => options.zero_copy = true,
                ("busy-poll", None) => options.busy_poll = Some(BUDGET),
                ("busy-poll", Some(_)) => options.busy_poll = Some(number(1)?),
                ("queue", Some(_)) => options.queue = number(0)?,
                _ => return Err(format!("{word:?} is none of: {WORDS}")),
            }
        }
        Ok(options)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attach = self.attach.map(|it| it.to_string());
        let zero_copy = self.zero_copy.then(|| "zero-copy".to_owned());
        let busy_poll = self.busy_poll.map(|budget| format!("busy-poll={budget}"));
        let queue = (self.queue > 0).then(|| format!("queue={}", self.queue));
        let words: Vec<_> = [attach, zero_copy, busy_poll, queue].into_iter().flatten().collect();
        out.write_str(&words.join(","))
    }
}

impl fmt::Display for Attach {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Attach::Generic => "generic",
            Attach::Native => "native",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_shown_as_it_was_and_read_again() {
        for text in ["", "native", "generic,busy-poll=8", "native,zero-copy,busy-poll=64,queue=4"] {
            assert_eq!(text.parse::<Options>().unwrap().to_string(), text);
        }
        assert_eq!("busy-poll".parse::<Options>().unwrap().busy_poll, Some(BUDGET));
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        for (text, expect) in [
            ("fast", "\"fast\" is none of: native, generic, zero-copy"),
            ("native,", "\"\" is none of"),
            ("native=1", "\"native=1\" is none of"),
            ("queue", "\"queue\" is none of"),
            ("queue=-1", "queue=-1: a whole number from 0 to 65535"),
            ("busy-poll=0", "busy-poll=0: a whole number from 1 to 65535"),
        ] {
            let error = text.parse::<Options>().unwrap_err();
            assert!(error.starts_with(expect), "{error}");
        }
    }
}
