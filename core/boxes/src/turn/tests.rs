//! What becomes of messages that are refused or come back, and of asks whose answers come by several ways.

use daedal_model::done::WINDOW;
use daedal_model::message::Schema;

use super::*;
use crate::alone::NoNetwork;
use crate::ordered::NO_PLACE;

const SENDER: SlotIndex = SlotIndex(0);
const THERE: AgentId = AgentId::of("there");
const LEAVES: [AgentId; 3] = [AgentId(11), AgentId(12), AgentId(13)];

/// A reactor whose port has sent so many messages, which wait for a route.
fn turn_after(messages: u64) -> (Turn<NoNetwork>, ConversationIndex) {
    let mut turn = Turn::alone(Arc::new(Templates::new()));
    turn.host_port("here", Space(7));
    for _ in 0..messages {
        turn.plane.post(SENDER, THERE, Schema(1), &[]);
    }
    let at = turn.plane.conversations.find(SENDER, THERE).expect("it was written to");
    (turn, at)
}

/// The first message goes to three, and has left for so many.
fn fan_out(turn: &mut Turn<NoNetwork>, at: ConversationIndex, sent: usize) -> Vec<u8> {
    let it = &mut turn.plane.conversations[at];
    let (number, record) = it.next_sendable().expect("it waits");
    it.fan_out(number, LEAVES.len());
    for (index, leaf) in LEAVES.into_iter().enumerate().take(sent) {
        it.sent_to(number, index, leaf, NO_PLACE);
    }
    record
}

const REFUSED: Fate = Fate::Refused(Refusal::WrongSchema);

#[test]
fn a_message_that_one_of_several_refuses_goes_to_nobody_else() {
    let (mut turn, at) = turn_after(1);
    let record = fan_out(&mut turn, at, 1);
    turn.came_back(at, (LEAVES[0], Via::Nowhere), &record, REFUSED);
    assert_eq!(turn.plane.conversations[at].floor(), Number(1));
}

#[test]
fn a_message_that_was_refused_counts_until_all_who_have_it_are_through_with_it() {
    let (mut turn, at) = turn_after(1);
    let record = fan_out(&mut turn, at, 3);
    turn.came_back(at, (LEAVES[0], Via::Nowhere), &record, REFUSED);
    turn.plane.conversations.done(at, Number(0));
    assert_eq!(turn.plane.conversations[at].floor(), Number(0));
    turn.came_back(at, (LEAVES[2], Via::Nowhere), &record, Fate::Returned);
    assert_eq!(turn.plane.conversations[at].floor(), Number(1));
    assert_eq!(turn.plane.conversations[at].kept_count(), 0);
}

#[test]
fn more_messages_than_a_window_can_be_refused() {
    let (mut turn, at) = turn_after(WINDOW + 10);
    let (first, _) = turn.plane.conversations[at].next_sendable().expect("it waits");
    let source = turn.plane.senders[0].path.to_string();
    turn.refuse_waiting(THERE, &source, Refusal::UnknownAgent);
    // They are beyond what the first, which is under way, lets be told apart.
    assert_eq!(turn.plane.conversations[at].kept_count(), 10);
    turn.plane.conversations.done(at, first);
    turn.refuse_waiting(THERE, &source, Refusal::UnknownAgent);
    assert_eq!(turn.plane.conversations[at].floor(), Number(WINDOW + 10));
}
