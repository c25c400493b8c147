//! Why a command is refused, in Redis's words.

use std::borrow::Cow;

use crate::resp::parse::Arguments;

/// An error answer: code, space, text. May hold any bytes of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(Cow<'static, [u8]>);

/// How much of a client's words an error repeats.
const QUOTED_BYTES_MAX: usize = 128;

impl Refusal {
    pub(super) const SYNTAX: Refusal = Refusal::fixed("ERR syntax error");
    pub(super) const NOT_AN_INTEGER: Refusal =
        Refusal::fixed("ERR value is not an integer or out of range");
    pub(super) const DECREMENT_OVERFLOW: Refusal = Refusal::fixed("ERR decrement would overflow");
    pub(super) const INVALID_CURSOR: Refusal = Refusal::fixed("ERR invalid cursor");
    pub(super) const DATABASE: Refusal = Refusal::fixed("ERR DB index is out of range");
    pub(super) const CLIENT_NAME: Refusal =
        Refusal::fixed("ERR Client names cannot contain spaces, newlines or special characters.");
    pub(super) const PROTOCOL: Refusal = Refusal::fixed("NOPROTO unsupported protocol version");
    pub(super) const PROTOCOL_NOT_AN_INTEGER: Refusal =
        Refusal::fixed("ERR Protocol version is not an integer or out of range");
    pub(super) const PASSWORD: Refusal =
        Refusal::fixed("WRONGPASS invalid username-password pair or user is disabled.");
    pub(super) const GREATER_AND_LESS: Refusal =
        Refusal::fixed("ERR GT and LT options at the same time are not compatible");
    pub(super) const NONE_AND_OTHERS: Refusal =
        Refusal::fixed("ERR NX and XX, GT or LT options at the same time are not compatible");
    pub(super) const KEY_TOO_LONG: Refusal = Refusal::fixed("ERR key exceeds 32768 bytes");
    pub(super) const PATTERN_TOO_LONG: Refusal = Refusal::fixed("ERR pattern exceeds 1024 bytes");

    const fn fixed(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text.as_bytes()))
    }

    fn built(parts: &[&[u8]]) -> Refusal {
        Refusal(Cow::Owned(parts.concat()))
    }

    /// `name`: of the command, or `command|subcommand`.
    pub(super) fn arity(name: &str) -> Refusal {
        Refusal::built(&[b"ERR wrong number of arguments for '", name.as_bytes(), b"' command"])
    }

    pub(super) fn expire_time(name: &str) -> Refusal {
        Refusal::built(&[b"ERR invalid expire time in '", name.as_bytes(), b"' command"])
    }

    pub(super) fn expire_option(option: &[u8]) -> Refusal {
        Refusal::built(&[b"ERR Unsupported option ", option])
    }

    pub(super) fn hello_option(option: &[u8]) -> Refusal {
        Refusal::built(&[b"ERR Syntax error in HELLO option '", option, b"'"])
    }

    /// `command` in capitals.
    pub(super) fn subcommand(command: &str, word: &[u8]) -> Refusal {
        let word = quote(word, QUOTED_BYTES_MAX);
        let command = command.as_bytes();
        Refusal::built(&[b"ERR unknown subcommand '", word, b"'. Try ", command, b" HELP."])
    }

    pub(super) fn unknown_command(arguments: Arguments<'_>) -> Refusal {
        let name = arguments.at(0);
        let mut quoted = Vec::new();
        for argument in arguments.iter().skip(1) {
            if quoted.len() >= QUOTED_BYTES_MAX {
                break;
            }
            let argument = quote(argument, QUOTED_BYTES_MAX - quoted.len());
            quoted.extend([b"'", argument, b"' "].concat());
        }
        let name = quote(name, QUOTED_BYTES_MAX);
        Refusal::built(&[b"ERR unknown command '", name, b"', with args beginning with: ", &quoted])
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.0
    }
}

/// The start of a client's word, as C would print it: up to a zero byte.
fn quote(word: &[u8], bytes_max: usize) -> &[u8] {
    let end = word.iter().take(bytes_max).position(|&byte| byte == 0);
    &word[..end.unwrap_or(word.len().min(bytes_max))]
}
