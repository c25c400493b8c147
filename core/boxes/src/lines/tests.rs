//! Who may leave for which leaf, and in which order.

use daedal_model::id::Point;

use super::*;
use crate::conversation::RouteIndex;
use crate::conversations::Conversations;
use crate::record::Draft;
use crate::slot::SlotIndex;

const BASE: ConversationIndex = ConversationIndex(0);
const ONE: AgentId = AgentId(11);
const TWO: AgentId = AgentId(12);
const THREE: AgentId = AgentId(13);
const LOW: PointRange = PointRange { first: Point(0), last: Point(99) };
const MIDDLE: PointRange = PointRange { first: Point(50), last: Point(149) };
const HIGH: PointRange = PointRange { first: Point(100), last: Point(u64::MAX) };

fn conversations() -> Conversations {
    let mut conversations = Conversations::default();
    conversations.add(SlotIndex(0), AgentId(1), RouteIndex(0), 0);
    conversations
}

fn record(number: Number) -> Vec<u8> {
    let mut draft = Draft { place: Some(NO_PLACE), ..Draft::default() };
    draft.header.number = number.0.into();
    draft.header.destination = 1.into();
    draft.with(&[])
}

/// A message in this lane that leaves for a leaf.
fn sent(
    conversations: &mut Conversations,
    lane: u16,
    leaf: AgentId,
) -> (ConversationIndex, Number) {
    let (at, number) = waits(conversations, lane);
    let ticket = conversations.ticket(at, number).expect("it has its ticket");
    conversations.take_place((at, ticket), leaf, None);
    conversations.leave(at, number, leaf);
    (at, number)
}

/// A message in this lane that has its ticket.
fn waits(conversations: &mut Conversations, lane: u16) -> (ConversationIndex, Number) {
    let at = conversations.in_lane(BASE, lane);
    let number = conversations[at].number();
    let _ = conversations.line_up(at, number, None);
    (at, number)
}

fn follow(conversations: &mut Conversations, ways: u32, leaves: &[(AgentId, Option<PointRange>)]) {
    let lines = conversations.lines_of(BASE);
    conversations.lines(lines).follow(ways, leaves, true);
}

#[test]
fn who_takes_points_over_is_waited_for_and_nobody_else() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    let (at, number) = sent(&mut conversations, 1, ONE);
    follow(&mut conversations, 1, &[(THREE, Some(LOW)), (TWO, Some(HIGH))]);
    assert!(!conversations.is_open(BASE, 1, THREE), "the old owner has something");
    assert!(conversations.is_open(BASE, 1, TWO), "its points were nobody else's");
    assert!(!conversations.is_open(BASE, 0, TWO), "the ways were others then");
    conversations.done(at, number);
    assert!(conversations.is_open(BASE, 1, THREE));
}

/// The ways are told before the lives: for a while they give one that is ending the points of the next.
#[test]
fn a_life_that_is_ending_keeps_its_points_whatever_the_ways_say() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    let (at, number) = sent(&mut conversations, 1, TWO);
    let end = PointRange { first: Point(150), last: HIGH.last };
    follow(&mut conversations, 1, &[(TWO, Some(MIDDLE)), (THREE, Some(end))]);
    assert!(!conversations.is_open(BASE, 1, THREE), "the ways lead to its old owner for others");
    assert!(conversations.is_open(BASE, 1, TWO));
    follow(&mut conversations, 2, &[(THREE, Some(end))]);
    assert!(!conversations.is_open(BASE, 2, THREE), "they lead there no more");
    follow(&mut conversations, 3, &[(TWO, Some(MIDDLE)), (THREE, Some(end))]);
    conversations.done(at, number);
    assert!(conversations.is_open(BASE, 3, THREE));
    let _ = sent(&mut conversations, 1, TWO);
    assert!(conversations.is_open(BASE, 3, THREE), "what leaves now is for these points");
}

#[test]
fn an_owner_of_points_of_two_waits_for_both() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    let under_way = [sent(&mut conversations, 1, ONE), sent(&mut conversations, 2, TWO)];
    follow(&mut conversations, 1, &[(THREE, Some(MIDDLE))]);
    for (at, number) in under_way {
        assert!(!conversations.is_open(BASE, 1, THREE));
        conversations.done(at, number);
    }
    assert!(conversations.is_open(BASE, 1, THREE));
}

#[test]
fn copies_do_not_wait_for_each_other() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, None), (TWO, None)]);
    sent(&mut conversations, 1, ONE);
    follow(&mut conversations, 1, &[(TWO, None), (THREE, None)]);
    assert!(conversations.is_open(BASE, 1, TWO) && conversations.is_open(BASE, 1, THREE));
}

/// The simulator found it: what was named before the way was known came back later than what was named
/// after it in another lane, and was overtaken.
#[test]
fn what_came_back_leaves_in_the_order_of_sending_whichever_lane_it_is_in() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(PointRange::ALL))]);
    let sent: Vec<_> = [0, 1, 0, 1].map(|lane| sent(&mut conversations, lane, ONE)).into();
    follow(&mut conversations, 1, &[(TWO, Some(PointRange::ALL))]);
    for (at, number) in [1, 3, 2, 0].map(|index| sent[index]) {
        assert!(!conversations.is_open(BASE, 1, TWO));
        conversations.put_back(at, number, record(number));
    }
    let lines = conversations.lines_of(BASE);
    let mut sorted = Vec::new();
    while let Some(((ticket, at, number), record)) = conversations.lines(lines).next_unsorted() {
        conversations.lines(lines).sort(Some(TWO), (ticket, at, number), record);
        sorted.push((at, number));
    }
    assert_eq!(sorted, sent);
    assert!(!conversations.is_open(BASE, 1, TWO), "others wait for it");
    let line = conversations.lines(lines).to_leave()[0];
    for it in sent {
        let ((_, at, number), record) =
            conversations.lines(lines).next_to_leave(line).expect("it waits");
        assert_eq!((at, number), it);
        conversations.took_from_line(at, number, &record);
        conversations.leave(at, number, TWO);
    }
    assert!(conversations.is_open(BASE, 1, TWO));
}

/// It would overtake, by new ways, what left by the old ones.
#[test]
fn a_message_that_some_of_its_leaves_have_is_waited_for_before_new_ways_are_taken() {
    let mut conversations = conversations();
    let all = Some(PointRange::ALL);
    follow(&mut conversations, 0, &[(ONE, all), (TWO, all)]);
    let (at, number) = sent(&mut conversations, 0, ONE);
    conversations[at].fan_out(number, 2);
    conversations[at].sent_to(number, 0, ONE, 1);
    conversations.put_back(at, number, record(number));
    follow(&mut conversations, 1, &[(THREE, all)]);
    let line = |conversations: &mut Conversations| {
        let lines = conversations.lines_of(BASE);
        if let Some((waits, record)) = conversations.lines(lines).next_unsorted() {
            conversations.lines(lines).sort(Some(THREE), waits, record);
        }
        conversations.lines(lines).to_leave().len()
    };
    assert_eq!(line(&mut conversations), 0);
    conversations.done(at, number);
    assert_eq!(line(&mut conversations), 1);
}

/// A leaf tells apart a window of places, whichever lanes its messages are in.
#[test]
fn a_line_has_half_a_window_under_way() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW))]);
    let mut sent_first = None;
    for index in 0..UNDER_WAY_MAX {
        assert!(conversations.is_open(BASE, 0, ONE));
        let it = sent(&mut conversations, (index % 3) as u16, ONE);
        sent_first.get_or_insert(it);
    }
    assert!(!conversations.is_open(BASE, 0, ONE));
    let (at, number) = sent_first.expect("one was sent");
    conversations.done(at, number);
    assert!(conversations.is_open(BASE, 0, ONE));
}

/// What is given up while it waits holds nobody up.
#[test]
fn what_is_given_up_waits_no_longer() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW))]);
    let (at, number) = waits(&mut conversations, 1);
    conversations.put_back(at, number, record(number));
    assert_eq!(conversations[at].kept_count(), 1);
    assert!(!conversations.is_open(BASE, 0, ONE));
    conversations.give_up(at, number);
    assert_eq!(conversations[at].kept_count(), 0);
    assert!(conversations.is_open(BASE, 0, ONE));
}

#[test]
fn lines_to_leaves_that_are_over_go_when_nothing_is_under_way_in_them() {
    let mut conversations = conversations();
    let leaf = |life: u64| AgentId(100 + life);
    let mut first = None;
    for life in 0..50 {
        follow(&mut conversations, life as u32, &[(leaf(life), Some(LOW))]);
        let sent = sent(&mut conversations, 1, leaf(life));
        match first {
            None => first = Some(sent),
            Some(_) => conversations.done(sent.0, sent.1),
        }
        assert!(conversations.line_count() <= 3, "the first, the last, and this one");
    }
    assert!(!conversations.is_open(BASE, 49, leaf(49)), "the first has something");
    let (at, number) = first.expect("it was sent");
    conversations.done(at, number);
    assert!(conversations.is_open(BASE, 49, leaf(49)));
    follow(&mut conversations, 50, &[(leaf(50), Some(LOW))]);
    assert_eq!(conversations.line_count(), 1);
}

#[test]
fn lines_to_leaves_that_may_come_again_stay() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW))]);
    let (at, number) = sent(&mut conversations, 1, ONE);
    conversations.done(at, number);
    let lines = conversations.lines_of(BASE);
    conversations.lines(lines).follow(1, &[], false);
    follow(&mut conversations, 2, &[(ONE, Some(LOW))]);
    assert_eq!(conversations.next_place((BASE, 2), ONE, None), 2, "places are counted on");
}

/// One of several copies was away, and had nothing; the first of what had left for it went to another.
#[test]
fn nobody_waits_for_what_went_to_another_copy() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, None), (TWO, None)]);
    let places = (1..4).map(|ticket| conversations.take_place((BASE, ticket), ONE, None));
    assert_eq!(places.collect::<Vec<_>>(), [1, 2, 3]);
    conversations.take_place((BASE, 1), TWO, None);
    conversations.give_up_place((BASE, 1), ONE, 1);
    let _ = sent(&mut conversations, 0, THREE);
    for (ticket, had, place) in [(2, Some(2), 1), (3, Some(3), 2), (4, None, 3), (5, None, 4)] {
        assert_eq!(conversations.next_place((BASE, ticket), ONE, had), place);
        assert_eq!(conversations.take_place((BASE, ticket), ONE, had), place);
    }
}

/// The simulator found it: what had left for a leaf came back, went to another by ways that were told late, came back
/// from there as well, and was given a new place by the first.
#[test]
fn who_comes_again_by_way_of_another_leaf_finds_its_place() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    let (at, number) = sent(&mut conversations, 1, ONE);
    let ticket = conversations.ticket(at, number).expect("it is not done");
    let _ = sent(&mut conversations, 1, ONE);
    conversations.give_up_place((at, ticket), ONE, 1);
    assert_eq!(conversations.next_place((BASE, 3), ONE, None), 3, "the second is not overtaken");
    assert_eq!(conversations.take_place((at, ticket), ONE, None), 1);
    assert_eq!(conversations.next_place((at, ticket), ONE, None), 3);
}

/// The last that left went to another leaf: those that come now have nobody to wait for there.
#[test]
fn the_last_place_that_is_given_up_is_the_next_one() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    let _ = [1, 1].map(|lane| sent(&mut conversations, lane, ONE));
    let (at, number) = sent(&mut conversations, 1, ONE);
    conversations.put_back(at, number, record(number));
    conversations.give_up_place((at, 3), ONE, 3);
    assert_eq!(conversations.next_place((BASE, 4), ONE, None), 3, "nobody is overtaken");
    // Two came back, and the second leaves again, in front of others.
    let mut conversations = self::conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    for (at, number) in [1, 1].map(|lane| sent(&mut conversations, lane, ONE)) {
        conversations.put_back(at, number, record(number));
    }
    conversations.give_up_place((BASE, 1), ONE, 1);
    assert_eq!(conversations.take_place((BASE, 2), ONE, Some(2)), 1);
    assert_eq!(conversations.next_place((BASE, 3), ONE, None), 2);
}

/// It was not for the leaf, which let those behind it pass: whoever has its place now has no turn there.
#[test]
fn nobody_leaves_behind_who_has_a_place_that_its_leaf_may_have_passed() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    let all = [1, 1].map(|lane| sent(&mut conversations, lane, ONE));
    conversations.put_back(all[0].0, all[0].1, record(all[0].1));
    conversations.give_up_place((BASE, 1), ONE, 1);
    conversations.give_up(all[0].0, all[0].1);
    conversations.done(all[1].0, all[1].1);
    assert!(conversations.is_open(BASE, 0, ONE));
    let (at, number) = sent(&mut conversations, 1, ONE);
    assert!(!conversations.is_open(BASE, 0, ONE), "it has the first place");
    conversations.done(at, number);
    let _ = sent(&mut conversations, 1, ONE);
    assert!(conversations.is_open(BASE, 0, ONE), "it has one that nobody had");
}

/// It went to its owner in the end.
#[test]
fn nobody_waits_for_what_went_to_another_leaf_when_nothing_else_is_under_way() {
    let mut conversations = conversations();
    follow(&mut conversations, 0, &[(ONE, Some(LOW)), (TWO, Some(HIGH))]);
    let (at, number) = sent(&mut conversations, 1, ONE);
    conversations.put_back(at, number, record(number));
    conversations.give_up_place((at, 1), ONE, 1);
    assert_eq!(conversations.next_place((BASE, 2), ONE, None), 1);
}
