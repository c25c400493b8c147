//! How the replies to one command become its answer.

use crate::command::Many;
use crate::limits::ANSWER_BYTES_MAX;
use crate::request::ReplyRef;
use crate::resp::encode::{Encoder, Protocol};

/// The replies that came so far.
#[derive(Debug)]
pub(super) enum Gather {
    /// The answer itself, encoded.
    One(Vec<u8>),
    /// MGET: encoded values as they came, and where each slot's lies.
    Array { bytes: Vec<u8>, spans: Vec<(u32, u32)> },
    /// MSET.
    AllOk,
    /// DEL, EXISTS.
    Sum(i64),
    /// The first refusal, encoded: it is the answer to the whole command.
    Failed(Vec<u8>),
}

const _: () = assert!(2 * ANSWER_BYTES_MAX <= u32::MAX as usize);

impl Gather {
    pub(super) fn one() -> Gather {
        Gather::One(Vec::new())
    }

    pub(super) fn many(many: Many, count: usize) -> Gather {
        match many {
            Many::Get => Gather::Array { bytes: Vec::new(), spans: vec![(0, 0); count] },
            Many::Set => Gather::AllOk,
            Many::Del | Many::Exists => Gather::Sum(0),
        }
    }

    /// Takes the reply for `slot`.
    pub(super) fn put(&mut self, slot: usize, reply: &ReplyRef<'_>, protocol: Protocol) {
        match (&mut *self, reply) {
            (Gather::Failed(_), _) => {}
            (Gather::One(answer), reply) => Encoder::new(answer, protocol).reply(reply),
            (Gather::Sum(sum), ReplyRef::Integer(number)) => *sum += number,
            (Gather::AllOk, ReplyRef::Ok) => {}
            (Gather::Array { bytes, .. }, ReplyRef::Bulk(_)) if bytes.len() > ANSWER_BYTES_MAX => {
                self.fail("ERR the values do not fit one answer", protocol);
            }
            (Gather::Array { bytes, spans }, ReplyRef::Bulk(_) | ReplyRef::Nil) => {
                let from = bytes.len();
                Encoder::new(bytes, protocol).reply(reply);
                if let Some(span) = spans.get_mut(slot) {
                    *span = (from as u32, bytes.len() as u32);
                }
            }
            (_, ReplyRef::Error(text)) => self.fail(text, protocol),
            _ => self.fail("ERR a shard gave an answer of another kind", protocol),
        }
    }

    /// How many bytes are held.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Gather::One(bytes) | Gather::Array { bytes, .. } | Gather::Failed(bytes) => bytes.len(),
            Gather::AllOk | Gather::Sum(_) => 0,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, protocol: Protocol) {
        match self {
            Gather::One(answer) | Gather::Failed(answer) => out.extend_from_slice(answer),
            Gather::AllOk => Encoder::new(out, protocol).text("OK"),
            Gather::Sum(sum) => Encoder::new(out, protocol).integer(*sum),
            Gather::Array { bytes, spans } => {
                Encoder::new(out, protocol).array(spans.len());
                for &(from, to) in spans {
                    out.extend_from_slice(&bytes[from as usize..to as usize]);
                }
            }
        }
    }

    fn fail(&mut self, text: &str, protocol: Protocol) {
        let mut answer = Vec::new();
        Encoder::new(&mut answer, protocol).error(text.as_bytes());
        *self = Gather::Failed(answer);
    }
}
