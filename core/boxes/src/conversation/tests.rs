//! Messages to several, some of whom have them.

use super::*;
use crate::conversations::Conversations;
use crate::record::{Draft, finish};

const AT: ConversationIndex = ConversationIndex(0);
const LEAVES: [AgentId; 3] = [AgentId(11), AgentId(12), AgentId(13)];

fn conversations() -> Conversations {
    let mut conversations = Conversations::default();
    conversations.add(SlotIndex(0), AgentId(1), RouteIndex(0));
    conversations
}

fn record(number: Number) -> Vec<u8> {
    let mut draft = Draft::default();
    draft.header.number = number.0.into();
    let mut bytes = vec![0; draft.bytes()];
    draft.write(&mut bytes);
    finish(&mut bytes, draft.bytes(), 0);
    bytes
}

/// It would overtake, by new ways, what left by the old ones.
#[test]
fn a_message_that_some_of_its_leaves_have_is_waited_for_before_new_ways_are_taken() {
    let mut conversations = conversations();
    let it = &mut conversations[AT];
    it.in_order_by = Some(0);
    let number = it.number();
    it.fan_out(number, 2);
    it.sent_to(number, 0, LEAVES[0], 1);
    it.put_back(number, record(number));
    assert!(!it.may_leave(1));
    it.done(number);
    assert!(it.may_leave(1));
}

/// Lane 0 and the lane of a leaf share a line, whose places are told apart within one window.
#[test]
fn two_lanes_in_order_have_no_more_outstanding_than_one_line_tells_apart() {
    let mut conversations = conversations();
    let lane = conversations.in_lane(AT, 1);
    let mut outstanding = 0;
    for at in [AT, lane] {
        let it = &mut conversations[at];
        it.in_order_by = Some(0);
        while !it.is_full() {
            it.number();
            outstanding += 1;
        }
    }
    assert_eq!(outstanding, WINDOW);
}
