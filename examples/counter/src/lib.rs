//! A counter, the smallest agent. The next larger one is [`key_value`].

use daedal::prelude::*;

#[expect(missing_docs, reason = "as short as the figure in the paper")]
pub mod key_value;

/// Count on by so much, and answer with the new count.
#[message]
#[derive(Debug)]
pub struct Add(pub u64);

/// Counts.
#[state]
#[derive(Debug, Default)]
pub struct Counter {
    #[combine(sum)]
    count: u64,
}

impl Agent for Counter {
    type Message = Add;
    type Reply = u64;

    fn transition(&mut self, add: &Archived<Add>, context: &mut Context<'_, Self>) {
        self.count = self.count.wrapping_add(add.0.to_native());
        context.reply(&self.count);
    }
}
