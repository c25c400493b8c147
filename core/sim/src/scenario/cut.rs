//! What is taken away from what a seed has: bounds on each part of it, `None` where it is as drawn.
//!
//! Its text is the options of `daedal sim` that say the same.

use std::collections::BTreeSet;
use std::fmt;

use crate::fault::Kind;

/// Bounds on what a seed has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Only these kinds of faults, of those that the seed has.
    pub kinds: Option<BTreeSet<Kind>>,
    /// Only these outages, of those that are left, numbered in the order in which they begin.
    pub outages: Option<BTreeSet<usize>>,
    /// Faults are over by then, in virtual nanoseconds.
    pub until_ns: Option<u64>,
    /// Most boxes, the controller's included; at least 3.
    pub boxes: Option<usize>,
    /// Most clients at a time.
    pub clients: Option<usize>,
    /// Most that a client and those that follow it issue.
    pub requests: Option<u32>,
    /// Most requests that a client has outstanding.
    pub window: Option<u32>,
}

/// Parts of lists stand apart by commas; an empty list is `none`.
fn list<T: ToString>(items: &BTreeSet<T>) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// Each with a space before it.
impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { kinds, outages, until_ns, boxes, clients, requests, window } = self;
        let kinds = kinds
            .as_ref()
            .map(|kinds| list(&kinds.iter().map(|kind| format!("{kind:?}")).collect()));
        let options = [
            ("kinds", kinds),
            ("outages", outages.as_ref().map(list)),
            ("until-ns", until_ns.map(|it| it.to_string())),
            ("boxes", boxes.map(|it| it.to_string())),
            ("clients", clients.map(|it| it.to_string())),
            ("requests", requests.map(|it| it.to_string())),
            ("window", window.map(|it| it.to_string())),
        ];
        let options = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
        options.into_iter().try_for_each(|(name, value)| write!(out, " --{name} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_written_as_the_options_that_make_it() {
        assert_eq!(Cut::default().to_string(), "");
        let cut = Cut {
            kinds: Some([Kind::Crash, Kind::Drop].into()),
            outages: Some(BTreeSet::new()),
            requests: Some(3),
            ..Cut::default()
        };
        assert_eq!(cut.to_string(), " --kinds Crash,Drop --outages none --requests 3");
    }
}
