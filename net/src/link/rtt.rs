//! How long to wait before a packet is sent again: RFC 6298, with both ends of the range as
//! settings. Does not know packets. A repeated packet gives no sample (Karn).

/// Estimate of the round trip, nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Rtt {
    smoothed: Option<u64>,
    variation: u64,
    first: u64,
    min: u64,
    max: u64,
}

impl Rtt {
    pub(super) fn new(first: u64, min: u64, max: u64) -> Rtt {
        Rtt { smoothed: None, variation: 0, first, min, max }
    }

    /// RFC 6298 §2.2, §2.3.
    pub(super) fn sample(&mut self, round_trip: u64) {
        match self.smoothed {
            None => {
                self.smoothed = Some(round_trip);
                self.variation = round_trip / 2;
            }
            Some(smoothed) => {
                let error = smoothed.abs_diff(round_trip);
                self.variation = self.variation - self.variation / 4 + error / 4;
                self.smoothed = Some(smoothed - smoothed / 8 + round_trip / 8);
            }
        }
    }

    /// Wait before the repeat that follows `repeats` others: doubles each time, within the range.
    pub(super) fn timeout(&self, repeats: u32) -> u64 {
        let once = match self.smoothed {
            None => self.first,
            Some(smoothed) => smoothed.saturating_add(self.variation.saturating_mul(4)),
        };
        let doubled = once.max(self.min).saturating_mul(1 << repeats.min(32));
        doubled.min(self.max)
    }

    /// Smoothed round trip; `None` before the first sample.
    pub(super) fn smoothed(&self) -> Option<u64> {
        self.smoothed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_round_trip_within_its_range_and_doubles() {
        let mut rtt = Rtt::new(50, 10, 1000);
        assert_eq!(rtt.timeout(0), 50);
        rtt.sample(100);
        assert_eq!(rtt.timeout(0), 100 + 4 * 50);
        for _ in 0..100 {
            rtt.sample(8);
        }
        assert!(rtt.timeout(0) < 50);
        assert_eq!(rtt.timeout(20), 1000);
        assert_eq!(rtt.timeout(u32::MAX), 1000);
        rtt.sample(u64::MAX);
        assert_eq!(rtt.timeout(0), 1000);
    }
}
