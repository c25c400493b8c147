//! [`KeyValue`] as an agent: requests in place, answers out of the state, expired keys removed by a timer.

use daedal::prelude::*;

use super::KeyValue;
use crate::limits::{RECLAIM_EVERY, RECLAIM_KEYS};
use crate::request::{ArchivedReply, ArchivedRequest, Reply, Request, RequestRef};

impl Agent for KeyValue {
    type Message = Request;
    type Reply = Reply;

    fn transition(&mut self, request: &ArchivedRequest, context: &mut Context<'_, Self>) {
        let now = context.now().0;
        match request.lend() {
            RequestRef::Reclaim { from } => {
                self.reclaims = self.reclaims.saturating_sub(1);
                let from = self.reclaim(from, now, RECLAIM_KEYS);
                self.reclaim_later(from, context);
            }
            request => {
                self.apply(&request, now, |reply| context.reply(reply));
                self.reclaim_later(0, context);
            }
        }
    }

    fn merge(_: &ArchivedRequest, replies: &[&ArchivedReply]) -> Reply {
        let mut replies = replies.iter().map(|reply| reply.read(|reply| reply.to_reply()));
        let first = replies.next().expect("there is a shard");
        replies.fold(first, |mut all, reply| {
            all.merge(reply);
            all
        })
    }
}

impl KeyValue {
    /// Sees to it that a timer is set while keys have deadlines.
    fn reclaim_later(&mut self, from: u64, context: &mut Context<'_, Self>) {
        if self.reclaims == 0 && !self.deadlines.is_empty() {
            self.reclaims = 1;
            context.after(RECLAIM_EVERY, &RequestRef::Reclaim { from });
        }
    }
}
