//! Answers as bytes. Writes behind what is there; allocates only when the buffer grows.

use crate::number::{write_i64, write_u64};
use crate::request::ReplyRef;

/// Which protocol a client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// After HELLO 3: has maps, sets, and a nil of its own.
    Resp3,
}

/// Writes answers to one client.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Encoder<'a> {
    /// Writes behind what `out` holds.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Encoder<'a> {
        Encoder { out, protocol }
    }

    /// The answer of the agent.
    pub fn reply(&mut self, reply: &ReplyRef<'_>) {
        match reply {
            ReplyRef::Nil => self.nil(),
            ReplyRef::Ok => self.text("OK"),
            ReplyRef::Integer(number) => self.integer(*number),
            ReplyRef::Bulk(bytes) => self.bulk(bytes),
            ReplyRef::Text(text) => self.text(text),
            ReplyRef::Bulks(items) => self.bulks(items),
            ReplyRef::ScanPage { cursor, keys } => {
                self.array(2);
                let mut digits = Vec::with_capacity(20);
                write_u64(&mut digits, *cursor);
                self.bulk(&digits);
                self.bulks(keys);
            }
            ReplyRef::Error(text) => self.error(text.as_bytes()),
        }
    }

    /// Nothing there.
    pub fn nil(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// A word without CR or LF.
    pub fn text(&mut self, text: &str) {
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.end_line();
    }

    /// A refusal, code first. CR and LF become spaces, as in Redis.
    pub fn error(&mut self, text: &[u8]) {
        self.out.push(b'-');
        self.out.extend(text.iter().map(|&byte| match byte {
            b'\r' | b'\n' => b' ',
            byte => byte,
        }));
        self.end_line();
    }

    /// A number.
    pub fn integer(&mut self, number: i64) {
        self.out.push(b':');
        write_i64(self.out, number);
        self.end_line();
    }

    /// Any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.length(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.end_line();
    }

    /// Text for people: told apart from a value in RESP3 only.
    pub fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.length(b'=', "txt:".len() + text.len());
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.end_line();
            }
        }
    }

    /// Announces `count` values that the caller writes next.
    pub fn array(&mut self, count: usize) {
        self.length(b'*', count);
    }

    /// Announces `pairs` keys, each with its value: a flat array in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', 2 * pairs),
            Protocol::Resp3 => self.length(b'%', pairs),
        }
    }

    /// Announces `count` values without an order: an array in RESP2.
    pub fn set(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', count),
            Protocol::Resp3 => self.length(b'~', count),
        }
    }

    fn bulks(&mut self, items: &[Vec<u8>]) {
        self.array(items.len());
        for item in items {
            self.bulk(item);
        }
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.out.push(kind);
        write_u64(self.out, length as u64);
        self.end_line();
    }

    fn end_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Encoder<'_>), resp2: &str, resp3: &str) {
        for (protocol, expect) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut out = Vec::new();
            write(&mut Encoder::new(&mut out, protocol));
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
    }

    #[test]
    fn both_protocols_are_written_as_redis_writes_them() {
        check(|to| to.reply(&ReplyRef::Nil), "$-1\r\n", "_\r\n");
        check(|to| to.reply(&ReplyRef::Ok), "+OK\r\n", "+OK\r\n");
        check(|to| to.reply(&ReplyRef::Integer(-7)), ":-7\r\n", ":-7\r\n");
        check(|to| to.reply(&ReplyRef::Bulk(b"")), "$0\r\n\r\n", "$0\r\n\r\n");
        check(|to| to.reply(&ReplyRef::Text("none")), "+none\r\n", "+none\r\n");
        check(|to| to.verbatim("a"), "$1\r\na\r\n", "=5\r\ntxt:a\r\n");
        check(|to| to.map(2), "*4\r\n", "%2\r\n");
        check(|to| to.set(2), "*2\r\n", "~2\r\n");
        let keys = [b"a".to_vec(), b"bc".to_vec()];
        let page = ReplyRef::ScanPage { cursor: u64::MAX, keys: &keys };
        let bytes = "*2\r\n$20\r\n18446744073709551615\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n";
        check(|to| to.reply(&page), bytes, bytes);
    }

    #[test]
    fn an_error_stays_on_its_line() {
        check(|to| to.error(b"ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
    }
}
