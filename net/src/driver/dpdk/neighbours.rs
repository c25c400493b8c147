//! Where our port's neighbours are: what was heard, and who has to be asked. All reactors of a port have one table, as
//! any of them may hear the answer.
//!
//! Believes who answers (ARP has nothing to check), but learns only of those that it asked after, or that asked it: the
//! rest of a network is none of its business. What was not heard of for [`FRESH_NS`] is asked after while it is still
//! used, and forgotten when nobody answers.

use std::net::IpAddr;

use hashbrown::HashMap;

use crate::driver::headers::Mac;
use crate::driver::neighbour::{self, Letter, Word};

/// How long one is believed to be where he was, in nanoseconds: as RFC 4861's REACHABLE_TIME.
const FRESH_NS: u64 = 30_000_000_000;
/// Between questions, in nanoseconds: RFC 4861's RETRANS_TIMER, RFC 1122 §2.3.2.1.
const ASK_NS: u64 = 1_000_000_000;
/// Questions without an answer before one that was there is not.
const ASKS_MAX: u32 = 3;
/// Neighbours that are remembered: some more than a box has peers. When there are more all are forgotten.
const NEIGHBOURS_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, Default)]
struct Neighbour {
    mac: Option<Mac>,
    heard: u64,
    asked: Option<u64>,
    asks: u32,
}

/// The neighbours of one address.
pub(super) struct Neighbours {
    here: (IpAddr, Mac),
    fixed: Box<[(IpAddr, Mac)]>,
    table: HashMap<IpAddr, Neighbour, foldhash::fast::FixedState>,
}

/// What is known of one.
pub(super) struct Known {
    pub mac: Option<Mac>,
    /// To be sent, so that more is known.
    pub question: Option<Letter>,
}

/// What follows from a word.
#[derive(Default)]
pub(super) struct Heard {
    pub answer: Option<Letter>,
    /// Somebody is where he was not known to be.
    pub is_news: bool,
}

impl Neighbours {
    pub(super) fn new(here: (IpAddr, Mac), fixed: Vec<(IpAddr, Mac)>) -> Neighbours {
        Neighbours { here, fixed: fixed.into(), table: HashMap::default() }
    }

    /// Where somebody is, as far as is known.
    pub(super) fn find(&mut self, ip: IpAddr, now: u64) -> Known {
        if let Some((_, mac)) = self.fixed.iter().find(|it| it.0 == ip) {
            return Known { mac: Some(*mac), question: None };
        }
        if self.table.len() >= NEIGHBOURS_MAX && !self.table.contains_key(&ip) {
            self.table.clear();
        }
        let it = self.table.entry(ip).or_default();
        let is_fresh = it.mac.is_some() && now.saturating_sub(it.heard) < FRESH_NS;
        let is_due = it.asked.is_none_or(|asked| now.saturating_sub(asked) >= ASK_NS);
        let mut question = None;
        if !is_fresh && is_due {
            if it.asks >= ASKS_MAX {
                it.mac = None;
            }
            it.asks = it.asks.saturating_add(1);
            it.asked = Some(now);
            question = neighbour::question(self.here, ip);
        }
        Known { mac: it.mac, question }
    }

    /// Takes in what somebody said.
    pub(super) fn hear(&mut self, word: Word, now: u64) -> Heard {
        match word {
            Word::Asks { from, mac, about } if about == self.here.0 => {
                let is_somebody = !from.is_unspecified() && from != self.here.0;
                let is_news = is_somebody && self.learn(from, mac, now, true);
                Heard { answer: neighbour::answer(self.here, (from, mac)), is_news }
            }
            Word::Tells { who, mac } if who != self.here.0 => {
                Heard { answer: None, is_news: self.learn(who, mac, now, false) }
            }
            _ => Heard::default(),
        }
    }

    fn learn(&mut self, ip: IpAddr, mac: Mac, now: u64, is_new: bool) -> bool {
        if is_new && self.table.len() < NEIGHBOURS_MAX {
            self.table.entry(ip).or_default();
        }
        let Some(it) = self.table.get_mut(&ip) else { return false };
        let is_news = it.mac != Some(mac);
        *it = Neighbour { mac: Some(mac), heard: now, asked: None, asks: 0 };
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: (IpAddr, Mac) =
        (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), [2, 0, 0, 0, 0, 1]);
    const THERE: (IpAddr, Mac) =
        (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), [2, 0, 0, 0, 0, 2]);
    const SECOND: u64 = 1_000_000_000;

    fn check(neighbours: &mut Neighbours, now: u64, mac: Option<Mac>, asks: bool) {
        let known = neighbours.find(THERE.0, now);
        assert_eq!((known.mac, known.question.is_some()), (mac, asks), "at {now}");
    }

    #[test]
    fn who_is_not_known_is_asked_after_once_a_second_and_used_until_he_is_gone() {
        let mut it = Neighbours::new(HERE, Vec::new());
        check(&mut it, 0, None, true);
        check(&mut it, SECOND - 1, None, false);
        check(&mut it, SECOND, None, true);
        let tells = Word::Tells { who: THERE.0, mac: THERE.1 };
        assert!(it.hear(tells, SECOND).is_news);
        assert!(!it.hear(tells, SECOND).is_news);
        check(&mut it, 30 * SECOND, Some(THERE.1), false);
        for second in 31..34 {
            check(&mut it, second * SECOND, Some(THERE.1), true);
        }
        check(&mut it, 34 * SECOND - 1, Some(THERE.1), false);
        check(&mut it, 34 * SECOND, None, true);
        assert!(it.hear(tells, 35 * SECOND).is_news);
    }

    #[test]
    fn who_asks_for_us_is_answered_and_known_and_others_are_not() {
        let mut it = Neighbours::new(HERE, Vec::new());
        let asks = |from, about| Word::Asks { from, mac: THERE.1, about };
        assert!(it.hear(Word::Tells { who: THERE.0, mac: THERE.1 }, 0).answer.is_none());
        assert!(it.hear(asks(THERE.0, [10, 0, 0, 3].into()), 0).answer.is_none());
        assert!(it.table.is_empty());
        let heard = it.hear(asks(THERE.0, HERE.0), 0);
        let told = neighbour::parse(&heard.answer.unwrap());
        assert_eq!(told, Some(Word::Tells { who: HERE.0, mac: HERE.1 }));
        assert!(heard.is_news);
        check(&mut it, 0, Some(THERE.1), false);
        // Who has no address yet is answered, and not known.
        assert!(it.hear(asks([0, 0, 0, 0].into(), HERE.0), 0).answer.is_some());
        // Who says that he is us is not.
        assert!(!it.hear(Word::Tells { who: HERE.0, mac: THERE.1 }, 0).is_news);
        assert_eq!(it.table.len(), 1);
    }

    #[test]
    fn who_is_fixed_is_never_asked_after_and_many_are_not_too_many() {
        let mut it = Neighbours::new(HERE, vec![THERE]);
        assert!(!it.hear(Word::Tells { who: THERE.0, mac: [2; 6] }, 0).is_news);
        check(&mut it, 100 * SECOND, Some(THERE.1), false);
        for number in 0..10_000u16 {
            let [a, b] = number.to_be_bytes();
            it.find([10, 1, a, b].into(), 0);
            assert!(it.table.len() <= NEIGHBOURS_MAX);
        }
    }
}
