//! How many packets of a session the network has, and whether it takes more.
//!
//! Segments of large messages have a window of their own, of half the size: neither they nor what is
//! small keep the other from being sent. What was lost goes before what is new.

use super::packet::{Content, Packet, Whereabouts};
use super::rate::Rate;

#[derive(Debug)]
pub(super) struct UnderWay {
    /// Of packets of both sorts.
    all: u64,
    segments: u64,
    /// Packets that wait to be sent again.
    lost: u64,
    pub(super) rate: Rate,
}

impl UnderWay {
    pub(super) fn new(rate: Rate) -> UnderWay {
        UnderWay { all: 0, segments: 0, lost: 0, rate }
    }

    /// Whether the network takes one more packet, beside `filling` that will be sealed before it.
    pub(super) fn has_room(&self, filling: u64) -> bool {
        self.all - self.segments + self.lost + filling < self.rate.window()
    }

    pub(super) fn has_room_for_segment(&self) -> bool {
        2 * (self.segments + self.lost) < self.rate.window()
    }

    pub(super) fn has_room_for_repeat(&self) -> bool {
        self.all < self.rate.window()
    }

    pub(super) fn all(&self) -> u64 {
        self.all
    }

    pub(super) fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// A packet is new.
    pub(super) fn enter(&mut self, content: Content) {
        self.all += 1;
        self.segments += u64::from(content.is_segment());
    }

    /// More is known of a packet than before.
    #[inline]
    pub(super) fn put(&mut self, packet: &mut Packet, at: Whereabouts) {
        match std::mem::replace(&mut packet.whereabouts, at) {
            Whereabouts::UnderWay => {
                self.all -= 1;
                self.segments -= u64::from(packet.content.is_segment());
            }
            Whereabouts::Lost => self.lost -= 1,
            Whereabouts::Received => {}
        }
        match at {
            Whereabouts::UnderWay => self.enter(packet.content),
            Whereabouts::Lost => {
                self.lost += 1;
                self.rate.lose();
            }
            Whereabouts::Received => {}
        }
    }
}
