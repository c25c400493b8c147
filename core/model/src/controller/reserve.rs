//! Spaces and epochs that the controller may give: only those that its journal has synced as given.
//! Source: protocol 9.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::{Asked, Controller};
use crate::context::Context;
use crate::control::{Raise, Raised, ToController};
use crate::id::{AgentId, Epoch, Space, Stamp};
use crate::latt::JOURNAL;

/// How many of each are asked for at once: a restart of the controller wastes fewer than this.
pub const BLOCK: u32 = 1024;

/// More are asked for when fewer than this are left.
const LOW: u32 = BLOCK / 4;

/// How long after a journal that could not be written it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Numbers that are synced and not given.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserve {
    spaces: VecDeque<Range<u32>>,
    epochs: VecDeque<Range<u32>>,
    /// The first epoch that this controller was given; none before that.
    pub(super) term: Option<u32>,
    /// Whether no controller was before this one.
    pub(super) is_first: bool,
    is_asking: bool,
    /// The journal cannot be written; it is asked again then.
    pub(super) again: Option<Stamp>,
}

impl Reserve {
    pub(super) fn wants_more(&self) -> bool {
        let left = |ranges: &VecDeque<Range<u32>>| -> u32 { ranges.iter().map(span).sum() };
        let may_ask = !self.is_asking && self.again.is_none();
        may_ask && left(&self.spaces).min(left(&self.epochs)) < LOW
    }

    pub(super) fn take_epoch(&mut self) -> Option<Epoch> {
        take(&mut self.epochs).map(Epoch)
    }

    pub(super) fn take_both(&mut self) -> Option<(Space, Epoch)> {
        if self.spaces.is_empty() || self.epochs.is_empty() {
            return None;
        }
        Some((Space(take(&mut self.spaces)?), self.take_epoch()?))
    }

    fn add(&mut self, raised: Raised) {
        // Number 0 is nobody's: it stands for what has not been given yet.
        let block = |high: u32| high.saturating_sub(BLOCK).max(1)..high;
        let spaces = block(raised.space);
        let epochs = block(raised.epoch);
        if self.term.is_none() {
            self.is_first = raised.epoch == BLOCK;
            self.term = Some(epochs.start);
        }
        self.spaces.push_back(spaces);
        self.epochs.push_back(epochs);
    }
}

fn span(range: &Range<u32>) -> u32 {
    range.end.saturating_sub(range.start)
}

fn take(ranges: &mut VecDeque<Range<u32>>) -> Option<u32> {
    let first = ranges.front_mut()?;
    let number = first.next();
    if first.start >= first.end {
        ranges.pop_front();
    }
    number
}

impl Controller {
    pub(super) fn raise(&mut self, context: &mut Context<'_, Controller>) {
        self.reserve.is_asking = true;
        let number = context.ask(JOURNAL, &Raise { spaces: BLOCK, epochs: BLOCK });
        self.asked.insert((AgentId::of(JOURNAL), number), Asked::Raise);
    }

    /// The journal has answered, or it is not known whether it has: then numbers are wasted, not given
    /// twice.
    pub(super) fn raised(&mut self, raised: Option<Raised>, context: &mut Context<'_, Controller>) {
        self.reserve.is_asking = false;
        let Some(raised) = raised else { return };
        if raised == Raised::NOTHING {
            self.reserve.again =
                Some(Stamp(context.now().0.saturating_add(AGAIN.as_nanos() as u64)));
            context.after(AGAIN, &ToController::Retry);
            return;
        }
        let is_news = self.reserve.term.is_none();
        self.reserve.add(raised);
        if is_news {
            self.begin(context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::BOOTSTRAP_SPACES;

    #[test]
    fn when_all_numbers_are_given_none_is_given_twice() {
        let last = Raised { space: BOOTSTRAP_SPACES - BLOCK, epoch: u32::MAX - 2 * BLOCK };
        let (mut high, mut reserve) = (last, Reserve::default());
        while let Some(raised) = high.beyond(BLOCK, BLOCK) {
            high = raised;
            reserve.add(raised);
        }
        assert_eq!(high, Raised { space: BOOTSTRAP_SPACES, epoch: u32::MAX - BLOCK });
        let mut given = Vec::new();
        while let Some((space, epoch)) = reserve.take_both() {
            given.push((space.0, epoch.0));
        }
        assert_eq!(given.len(), BLOCK as usize);
        assert!(given.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1));
        assert!(reserve.take_both().is_none());
    }
}
