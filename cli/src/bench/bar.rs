//! What a figure is to reach beside its baseline's. It is shown, and decides nothing: machines differ, and are shared.

use std::fmt::{self, Display, Formatter};

use serde::{Serialize, Serializer};

/// How far from the baseline's figure ours may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// So many times as much, at most.
    AtMost(f64),
    /// So many times as much, at least.
    AtLeast(f64),
    /// So many nanoseconds more, at most.
    PlusNs(f64),
}

impl Bar {
    /// Whether `ours` is where it is to be.
    pub fn is_reached(self, ours: f64, baseline: f64) -> bool {
        match self {
            Bar::AtMost(times) => ours <= times * baseline,
            Bar::AtLeast(times) => ours >= times * baseline,
            Bar::PlusNs(ns) => ours <= baseline + ns,
        }
    }
}

impl Display for Bar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Bar::AtMost(times) => write!(f, "≤ {times}"),
            Bar::AtLeast(times) => write!(f, "≥ {times}"),
            Bar::PlusNs(ns) => write!(f, "≤ +{ns} ns"),
        }
    }
}

impl Serialize for Bar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_reached_up_to_where_it_lies() {
        let check = |bar: Bar, ours: f64, expect: bool| {
            assert_eq!(bar.is_reached(ours, 100.0), expect, "{ours} {bar} of 100");
        };
        check(Bar::AtMost(1.5), 150.0, true);
        check(Bar::AtMost(1.5), 151.0, false);
        check(Bar::AtLeast(1.5), 150.0, true);
        check(Bar::AtLeast(1.5), 149.0, false);
        check(Bar::PlusNs(120.0), 220.0, true);
        check(Bar::PlusNs(120.0), 221.0, false);
    }
}
