//! The agent: a count for each name. Knows nothing of HTTP, shards or boxes.

#![expect(missing_docs, reason = "rkyv documents no fields of a variant's resolver; ours all are")]

use std::collections::BTreeMap;

use daedal::prelude::*;

/// What it is asked.
#[message]
#[derive(Clone, Debug)]
pub enum Request {
    /// Count on by so much. Answered by the new count, which stays at the largest number there is.
    Add {
        /// What is counted.
        #[point]
        name: String,
        /// By how much.
        by: u64,
    },
    /// How far it is. Answered by the count, 0 if nothing was counted.
    Get {
        /// What is counted.
        #[point]
        name: String,
    },
    /// How far all are together, to all shards.
    #[broadcast]
    Sum,
}

/// Counts.
#[state]
#[derive(Debug, Default)]
pub struct Counts {
    #[keyed]
    counts: BTreeMap<String, u64>,
}

impl Agent for Counts {
    type Message = Request;
    type Reply = u64;

    fn transition(&mut self, request: &Archived<Request>, context: &mut Context<'_, Self>) {
        match request {
            ArchivedRequest::Add { name, by } => {
                let count = self.counts.entry(name.to_string()).or_default();
                *count = count.saturating_add(by.to_native());
                context.reply(count);
            }
            ArchivedRequest::Get { name } => {
                context.reply(&self.counts.get(name.as_str()).copied().unwrap_or(0));
            }
            ArchivedRequest::Sum => {
                let sum = self.counts.values().fold(0u64, |sum, count| sum.saturating_add(*count));
                context.reply(&sum);
            }
        }
    }

    /// The answers of all shards become one.
    fn merge(_: &Archived<Request>, sums: &[&Archived<u64>]) -> u64 {
        sums.iter().fold(0, |sum, part| sum.saturating_add(part.to_native()))
    }
}
