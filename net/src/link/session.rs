//! How two ends agree on a session: each shows that it is there now by echoing the other's nonce.
//!
//! *Questions* (echo 0) are repeated by a timer until the session stands; *answers* are sent once
//! for each question heard, so nobody is answered with more than was asked. A session is replaced
//! only when a nonce that was never echoed before comes back, so a
//! delayed greeting of an earlier life changes nothing. Does not authenticate: that is the secured
//! session's.

use crate::error::DropReason;

/// A session that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) own: u64,
    pub(super) peer: u64,
}

impl Session {
    /// 4-byte id, the same on both sides, never 0. `own_first`: which nonce comes first.
    pub(super) fn id(self, own_first: bool) -> u32 {
        let (first, second) = if own_first { (self.own, self.peer) } else { (self.peer, self.own) };
        let mixed = mix(mix(first) ^ second);
        ((mixed >> 32) as u32 ^ mixed as u32).max(1)
    }
}

/// What a greeting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) nonce: u64,
    pub(super) echo: u64,
    pub(super) established: bool,
}

/// One end of the opening.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    seed: u64,
    drawn: u64,
    session: Option<Session>,
    /// Drawn, shown to the peer perhaps, and never echoed yet.
    fresh: Option<u64>,
    answer: Option<Greeting>,
    question: bool,
    /// The question is for a new session, though one stands.
    renews: bool,
}

impl Opening {
    /// `seed`: fresh and random for each life of a link.
    pub(super) fn new(seed: u64) -> Opening {
        let (session, fresh, answer) = (None, None, None);
        Opening { seed, drawn: 0, session, fresh, answer, question: true, renews: false }
    }

    pub(super) fn session(&self) -> Option<Session> {
        self.session
    }

    /// Asks the peer whether it still knows us.
    pub(super) fn ask(&mut self) {
        self.question = true;
    }

    /// Asks the peer for a new session.
    pub(super) fn renew(&mut self) {
        (self.question, self.renews) = (true, true);
    }

    /// Takes in a greeting. True: there is a new session.
    /// # Errors
    /// [`DropReason::StaleHello`]: it answers nothing that was asked.
    pub(super) fn hear(&mut self, heard: Greeting) -> Result<bool, DropReason> {
        let reply = |nonce, established| {
            Some(Greeting { nonce, echo: heard.nonce, established }).filter(|_| !heard.established)
        };
        if heard.echo != 0 && self.fresh == Some(heard.echo) {
            self.fresh = None;
            (self.question, self.renews) = (false, false);
            self.session = Some(Session { own: heard.echo, peer: heard.nonce });
            self.answer = reply(heard.echo, true);
            return Ok(true);
        }
        let is_question = heard.echo == 0;
        match self.session {
            Some(Session { own, peer }) if is_question || heard.echo == own => {
                if heard.nonce == peer {
                    self.answer = reply(own, true).or(self.answer);
                    return Ok(false);
                }
            }
            None if is_question => (),
            _ => return Err(DropReason::StaleHello),
        }
        let nonce = self.fresh();
        self.answer = Some(Greeting { nonce, echo: heard.nonce, established: false });
        Ok(false)
    }

    /// Whether there is anything to be said.
    pub(super) fn has_word(&self) -> bool {
        self.answer.is_some() || self.question
    }

    /// What is to be said now; each is said once.
    pub(super) fn next(&mut self) -> Option<Greeting> {
        if let Some(answer) = self.answer.take() {
            return Some(answer);
        }
        if !std::mem::take(&mut self.question) {
            return None;
        }
        let known = self.session.filter(|_| !self.renews);
        let nonce = known.map_or_else(|| self.fresh(), |session| session.own);
        Some(Greeting { nonce, echo: 0, established: false })
    }

    fn fresh(&mut self) -> u64 {
        if let Some(nonce) = self.fresh {
            return nonce;
        }
        self.drawn += 1;
        let nonce = mix(self.seed ^ mix(self.drawn)).max(1);
        self.fresh = Some(nonce);
        nonce
    }
}

/// SplitMix64's step: a bijection without visible structure.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(a: &mut Opening, b: &mut Opening) -> usize {
        for said in 0.. {
            match (a.next(), b.next()) {
                (None, None) => return said,
                (from_a, from_b) => {
                    from_a.map(|greeting| b.hear(greeting));
                    from_b.map(|greeting| a.hear(greeting));
                }
            }
        }
        unreachable!()
    }

    fn assert_joined(a: &Opening, b: &Opening) {
        let (a, b) = (a.session().unwrap(), b.session().unwrap());
        assert_eq!((a.own, a.peer), (b.peer, b.own));
        assert_eq!(a.id(true), b.id(false));
    }

    #[test]
    fn both_ends_open_at_once_and_then_keep_silent() {
        let (mut a, mut b) = (Opening::new(1), Opening::new(2));
        assert!(settle(&mut a, &mut b) <= 4);
        assert_joined(&a, &b);
    }

    #[test]
    fn a_greeting_of_an_earlier_life_changes_nothing() {
        let (mut a, mut b) = (Opening::new(1), Opening::new(2));
        let old_question = b.next().unwrap();
        a.hear(old_question).unwrap();
        let old_answer = a.next().unwrap();
        let mut b = Opening::new(3);
        settle(&mut a, &mut b);
        assert_joined(&a, &b);
        let session = a.session();
        assert_eq!(a.hear(old_question), Ok(false));
        assert_eq!(b.hear(old_answer), Err(DropReason::StaleHello));
        settle(&mut a, &mut b);
        assert_eq!(a.session(), session);
        assert_joined(&a, &b);
    }

    #[test]
    fn who_asks_for_a_new_session_gets_one_and_the_old_one_stands_until_then() {
        let (mut a, mut b) = (Opening::new(1), Opening::new(2));
        settle(&mut a, &mut b);
        let old = (a.session(), b.session());
        a.renew();
        b.hear(a.next().unwrap()).unwrap();
        b.next();
        assert_eq!((a.session(), b.session()), old, "the answer was lost");
        a.renew();
        b.renew();
        settle(&mut a, &mut b);
        assert_joined(&a, &b);
        assert!(a.session() != old.0 && b.session() != old.1);
    }

    #[test]
    fn ends_that_believe_in_different_sessions_find_each_other_when_one_asks() {
        let (mut a, mut b) = (Opening::new(1), Opening::new(2));
        settle(&mut a, &mut b);
        let mut b = Opening::new(3);
        b.next();
        a.ask();
        settle(&mut a, &mut b);
        b.ask();
        settle(&mut a, &mut b);
        assert_joined(&a, &b);
    }
}
