//! What clients saw: operations, each with the moments at which it was invoked and returned.
//!
//! Recorded by simulated clients, and by checkers of real processes behind one lock. Judges nothing:
//! that is `linearizable`'s business.
//! Invariant: the order of the calls is the order of the events. Times are shown, never compared, so
//! that neither a coarse clock nor two events of one virtual instant can blur who came first.
//! Source: Herlihy and Wing, "Linearizability", §2.1.

use std::collections::BTreeMap;
use std::fmt;

/// Which operation of a history: its place among the invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u32);

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// Nothing was heard: it may have happened, may yet, or never will.
    Unknown,
    /// It happened, and gave this result.
    Returned(R),
    /// It certainly did not happen, and will not.
    Failed,
}

/// One operation of one client on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<K, O, R> {
    /// Who invoked it.
    pub client: u32,
    /// What it was about; histories of different keys are checked apart.
    pub key: K,
    /// What was asked for.
    pub action: O,
    /// What became of it.
    pub outcome: Outcome<R>,
    /// When it was invoked, in nanoseconds. For printing.
    pub invoked_at: u64,
    /// When it returned or failed, in nanoseconds. For printing.
    pub ended_at: Option<u64>,
    invoked: u32,
    ended: Option<u32>,
}

impl<K, O, R> Operation<K, O, R> {
    /// Place of its invocation among all events of the history.
    pub fn invoked(&self) -> u32 {
        self.invoked
    }

    /// Place of its end among all events of the history. `None`: it never ended.
    pub fn ended(&self) -> Option<u32> {
        self.ended
    }

    /// Whether it ended before `other` was invoked.
    pub fn precedes(&self, other: &Operation<K, O, R>) -> bool {
        self.ended.is_some_and(|ended| ended < other.invoked)
    }
}

/// A history holds as many operations as it may; nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the history is full with {operations} operations; check it and start another, or raise its bound"
)]
pub struct HistoryFull {
    /// How many it holds.
    pub operations: u32,
}

/// Operations of concurrent clients, in the order of their invocations; at most a stated number.
#[derive(Clone, Debug)]
pub struct History<K, O, R> {
    operations: Vec<Operation<K, O, R>>,
    operations_max: u32,
    events: u32,
}

impl<K, O, R> History<K, O, R> {
    /// An empty history that takes at most `operations_max` operations.
    /// # Panics
    /// From 2^31 operations on: two events each are counted in 32 bits.
    pub fn new(operations_max: u32) -> History<K, O, R> {
        assert!(operations_max < 1 << 31, "{operations_max} operations cannot be numbered");
        History { operations: Vec::new(), operations_max, events: 0 }
    }

    /// Records that a client asks for something, before it does. Its outcome is unknown from now on.
    /// `at`: nanoseconds.
    /// # Errors
    /// [`HistoryFull`] at the bound.
    pub fn invoke(
        &mut self,
        client: u32,
        at: u64,
        key: K,
        action: O,
    ) -> Result<OperationId, HistoryFull> {
        let operations = self.operations.len() as u32;
        if operations >= self.operations_max {
            return Err(HistoryFull { operations });
        }
        let invoked = self.next_event();
        self.operations.push(Operation {
            client,
            key,
            action,
            outcome: Outcome::Unknown,
            invoked_at: at,
            ended_at: None,
            invoked,
            ended: None,
        });
        Ok(OperationId(operations))
    }

    /// Records that an operation returned, after it did. `at`: nanoseconds.
    /// # Panics
    /// When it had ended already, or is not of this history.
    pub fn complete(&mut self, id: OperationId, at: u64, result: R) {
        self.end(id, at, Outcome::Returned(result));
    }

    /// Records that an operation certainly did not happen, and will not. A refusal is certain; a
    /// time-out is not, and is not recorded at all. `at`: nanoseconds.
    /// # Panics
    /// When it had ended already, or is not of this history.
    pub fn fail(&mut self, id: OperationId, at: u64) {
        self.end(id, at, Outcome::Failed);
    }

    /// All operations, by [`OperationId`].
    pub fn operations(&self) -> &[Operation<K, O, R>] {
        &self.operations
    }

    /// One operation.
    /// # Panics
    /// When it is not of this history.
    pub fn operation(&self, id: OperationId) -> &Operation<K, O, R> {
        &self.operations[id.0 as usize]
    }

    /// The operations of each key, in the order of their invocations.
    pub fn by_key(&self) -> BTreeMap<&K, Vec<OperationId>>
    where
        K: Ord,
    {
        let mut keys: BTreeMap<&K, Vec<OperationId>> = BTreeMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            keys.entry(&operation.key).or_default().push(OperationId(index as u32));
        }
        keys
    }

    fn end(&mut self, id: OperationId, at: u64, outcome: Outcome<R>) {
        let ended = self.next_event();
        let operation = &mut self.operations[id.0 as usize];
        assert!(operation.ended.is_none(), "{id:?} had ended already");
        operation.outcome = outcome;
        operation.ended_at = Some(at);
        operation.ended = Some(ended);
    }

    fn next_event(&mut self) -> u32 {
        self.events += 1;
        self.events - 1
    }
}

/// One line: client, key, moments, action, outcome.
impl<K: fmt::Display, O: fmt::Display, R: fmt::Display> fmt::Display for Operation<K, O, R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "client {:<3} {:>12} .. ", self.client, self.invoked_at)?;
        match self.ended_at {
            Some(at) => write!(out, "{at:<12}")?,
            None => write!(out, "{:<12}", "never")?,
        }
        write!(out, " {} {} -> ", self.key, self.action)?;
        match &self.outcome {
            Outcome::Unknown => out.write_str("unknown"),
            Outcome::Returned(result) => result.fmt(out),
            Outcome::Failed => out.write_str("failed"),
        }
    }
}

/// One line an operation, in the order of their invocations.
impl<K: fmt::Display, O: fmt::Display, R: fmt::Display> fmt::Display for History<K, O, R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.iter().try_for_each(|operation| writeln!(out, "{operation}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = History<&'static str, &'static str, &'static str>;

    #[test]
    fn an_operation_precedes_what_was_invoked_after_its_end_even_at_the_same_instant() {
        let mut history = Words::new(8);
        let first = history.invoke(1, 10, "k", "set 1").unwrap();
        let beside = history.invoke(2, 10, "k", "get").unwrap();
        history.complete(first, 10, "ok");
        let second = history.invoke(1, 10, "k", "get").unwrap();
        let [first, beside, second] = [first, beside, second].map(|id| history.operation(id));
        assert!(first.precedes(second));
        assert!(!first.precedes(beside) && !beside.precedes(first));
        assert!(!beside.precedes(second));
    }

    #[test]
    fn a_full_history_refuses_and_keeps_what_it_has() {
        let mut history = Words::new(1);
        history.invoke(1, 0, "k", "get").unwrap();
        assert_eq!(history.invoke(2, 0, "k", "get"), Err(HistoryFull { operations: 1 }));
        assert_eq!(history.operations().len(), 1);
    }

    #[test]
    fn operations_are_told_apart_by_key_in_order() {
        let mut history = Words::new(8);
        for key in ["b", "a", "b"] {
            history.invoke(1, 0, key, "get").unwrap();
        }
        let keys = history.by_key();
        assert_eq!(keys[&"a"], [OperationId(1)]);
        assert_eq!(keys[&"b"], [OperationId(0), OperationId(2)]);
    }

    #[test]
    fn a_history_prints_one_line_an_operation() {
        let mut history = Words::new(8);
        let set = history.invoke(1, 100, "k", "set 1").unwrap();
        history.invoke(2, 150, "k", "get").unwrap();
        let refused = history.invoke(3, 160, "k", "delete").unwrap();
        history.fail(refused, 170);
        history.complete(set, 200, "ok");
        let text = "\
client 1            100 .. 200          k set 1 -> ok
client 2            150 .. never        k get -> unknown
client 3            160 .. 170          k delete -> failed
";
        assert_eq!(history.to_string(), text);
    }

    #[test]
    #[should_panic(expected = "had ended already")]
    fn an_operation_ends_once() {
        let mut history = Words::new(8);
        let id = history.invoke(1, 0, "k", "get").unwrap();
        history.complete(id, 1, "x");
        history.fail(id, 2);
    }
}
