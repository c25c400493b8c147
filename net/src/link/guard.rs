//! What a link's frames are sealed with, when both boxes know a secret: nobody else reads them, changes them,
//! or says them again in another session.
//!
//! The link header stays readable and is covered; records are encrypted where they lie in a copy of the frame,
//! so that the packet that is kept, and repeated, is never written again: a repeat is the same bytes. Greetings
//! carry the nonces that keys are made of; they are not encrypted, and bear a code that shows the secret.
//!
//! Each session has its own keys, of the secret and both fresh nonces, one for each direction, lane and
//! [`KEY_PACKETS`] packet numbers; so a packet's number says which key it is sealed with, and is its nonce
//! (RFC 8446 §5.3 and §7.1: how nonces are made, and keys follow from secrets; RFC 9001 §6.6: how long one may
//! be used).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;

use super::send::TAIL_BYTES;
use super::session::Session;
use crate::error::DropReason;
use crate::frame::Frame;
use crate::limits::{KEY_PACKETS, SEAL_FRAMES};
use crate::pool::Pool;
use crate::wire::link::{CONTROL, LinkHeader};

/// What sealing adds to a frame, behind its records.
pub(super) const SEAL_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// What all boxes of a system know, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; KEY_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// Seals what a link says, and opens what it hears.
#[derive(Debug)]
pub(super) struct Guard {
    pool: Pool,
    /// Frames to seal into while the pool is empty.
    reserve: Vec<Frame>,
    greetings: hmac::Key,
    secret: Secret,
    session: Option<Keys>,
}

/// Of one session: for each end those of its packets, and of its control lane.
struct Keys {
    own: [Lane; 2],
    peer: [Lane; 2],
}

/// The keys of one lane of one end: those before, now, and next.
struct Lane {
    secret: Prk,
    /// Of the key in the middle.
    phase: u64,
    keys: [LessSafeKey; 3],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Keys(…)")
    }
}

impl Guard {
    pub(super) fn new(secret: &Secret, pool: &Pool) -> Guard {
        let prk = Salt::new(HKDF_SHA256, b"daedal 1 greetings").extract(&secret.0);
        let greetings = hmac::Key::new(hmac::HMAC_SHA256, &expand(&prk, &[]));
        let (reserve, session) = (Vec::with_capacity(SEAL_FRAMES), None);
        let mut guard =
            Guard { pool: pool.clone(), reserve, greetings, secret: secret.clone(), session };
        guard.refill();
        guard
    }

    /// From here on frames are of this session. `own_first`: which end's nonce comes first.
    pub(super) fn begin(&mut self, session: Session, own_first: bool) {
        let Session { own, peer } = session;
        let (first, second) = if own_first { (own, peer) } else { (peer, own) };
        let nonces = [first.to_le_bytes(), second.to_le_bytes()].concat();
        let prk = Salt::new(HKDF_SHA256, &nonces).extract(&self.secret.0);
        let lanes = |end: &[u8]| {
            [&b"packets"[..], b"control"].map(|lane| Lane::new(&expand(&prk, &[end, lane])))
        };
        let (first, second) = (lanes(b"first "), lanes(b"second "));
        let (own, peer) = if own_first { (first, second) } else { (second, first) };
        self.session = Some(Keys { own, peer });
    }

    /// A copy of a frame, sealed. `None`: there is no frame for it now; what is not sent is repeated.
    pub(super) fn seal(&mut self, plain: &Frame) -> Option<Frame> {
        self.refill();
        let mut taken = self.pool.take();
        let sealed = match &mut taken {
            Some(frame) => frame,
            None => self.reserve.iter_mut().find(|frame| frame.is_exclusive())?,
        };
        let end = plain.len() - TAIL_BYTES;
        let bytes = sealed.bytes_mut().expect("nobody else holds it");
        bytes[..end].copy_from_slice(&plain[..end]);
        let (head, rest) = bytes.split_at_mut(LinkHeader::BYTES);
        let (records, rest) = rest.split_at_mut(end - LinkHeader::BYTES);
        let header = LinkHeader::new_checked(head).expect("our own");
        let seal = if header.session.get() == 0 {
            code(&self.greetings, head, records)
        } else {
            let (lane, phase, nonce) = place(header);
            let lane = &mut self.session.as_mut()?.own[lane];
            lane.advance(phase);
            let key = lane.key(phase)?;
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*head), records);
            tag.expect("a frame is shorter than what may be sealed").as_ref().try_into().ok()?
        };
        rest[..SEAL_BYTES].copy_from_slice(&seal);
        rest[SEAL_BYTES..][..TAIL_BYTES].fill(0);
        Some(sealed.slice(0..end + SEAL_BYTES + TAIL_BYTES))
    }

    /// The frame as it was before it was sealed, in its own buffer unless somebody else holds that.
    /// # Errors
    /// [`DropReason::TooShort`], [`DropReason::BadSeal`], [`DropReason::NoFrame`].
    pub(super) fn open(&mut self, mut frame: Frame) -> Result<Frame, DropReason> {
        let end = frame.len().checked_sub(SEAL_BYTES + TAIL_BYTES);
        let end = end.filter(|end| *end >= LinkHeader::BYTES).ok_or(DropReason::TooShort)?;
        if !frame.is_exclusive() {
            let mut own = self.pool.take().ok_or(DropReason::NoFrame)?;
            let into = own.bytes_mut().and_then(|bytes| bytes.get_mut(..frame.len()));
            into.ok_or(DropReason::BadSeal)?.copy_from_slice(&frame);
            own.truncate(frame.len());
            frame = own;
        }
        let bytes = frame.bytes_mut().expect("nobody else holds it");
        let (head, rest) = bytes.split_at_mut(LinkHeader::BYTES);
        let header = LinkHeader::new_checked(head)?;
        let records = end - LinkHeader::BYTES;
        if header.session.get() == 0 {
            let (records, rest) = rest.split_at(records);
            let code = code(&self.greetings, head, records);
            aws_lc_rs::constant_time::verify_slices_are_equal(&code, &rest[..SEAL_BYTES])
                .map_err(|_| DropReason::BadSeal)?;
        } else {
            let (lane, phase, nonce) = place(header);
            let keys = self.session.as_mut().ok_or(DropReason::UnknownSession)?;
            let lane = &mut keys.peer[lane];
            let key = lane.key(phase).ok_or(DropReason::BadSeal)?;
            let sealed = &mut rest[..records + SEAL_BYTES];
            let opened = key.open_in_place(nonce, Aad::from(&*head), sealed);
            opened.map_err(|_| DropReason::BadSeal)?;
            lane.advance(phase);
        }
        rest[records..][..TAIL_BYTES].fill(0);
        frame.truncate(end + TAIL_BYTES);
        Ok(frame)
    }

    fn refill(&mut self) {
        while self.reserve.len() < SEAL_FRAMES
            && let Some(frame) = self.pool.take()
        {
            self.reserve.push(frame);
        }
    }
}

impl Lane {
    fn new(secret: &[u8; KEY_BYTES]) -> Lane {
        let secret = Prk::new_less_safe(HKDF_SHA256, secret);
        Lane { phase: 0, keys: keys(&secret, 0), secret }
    }

    /// The key of a phase; `None`: it is not about now.
    fn key(&self, phase: u64) -> Option<&LessSafeKey> {
        let at = (phase + 1).checked_sub(self.phase)?;
        self.keys.get(usize::try_from(at).ok()?)
    }

    /// A packet of the phase is sealed, or was opened: what was before the last one is over.
    fn advance(&mut self, phase: u64) {
        if phase > self.phase {
            (self.phase, self.keys) = (phase, keys(&self.secret, phase));
        }
    }
}

/// Keys of the phases around one.
fn keys(secret: &Prk, phase: u64) -> [LessSafeKey; 3] {
    [phase.saturating_sub(1), phase, phase + 1].map(|phase| {
        let key = expand(secret, &[&phase.to_le_bytes()]);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key of its length"))
    })
}

/// Which lane a frame is of, which of its keys the frame is sealed with, and its nonce.
fn place(header: &LinkHeader) -> (usize, u64, Nonce) {
    let number = header.packet.get();
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    let nonce = Nonce::assume_unique_for_key(nonce);
    (usize::from(header.has(CONTROL)), number / KEY_PACKETS, nonce)
}

/// Shows that who greets knows the secret.
fn code(key: &hmac::Key, head: &[u8], records: &[u8]) -> [u8; SEAL_BYTES] {
    let mut context = hmac::Context::with_key(key);
    context.update(head);
    context.update(records);
    context.sign().as_ref()[..SEAL_BYTES].try_into().expect("a code of 32 bytes")
}

/// A key's length of bytes that follow from a secret and what they are for.
fn expand(prk: &Prk, info: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let okm = prk.expand(info, HKDF_SHA256).expect("a short output");
    okm.fill(&mut key).expect("its length");
    key
}
