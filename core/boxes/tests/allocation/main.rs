//! Once they have done it before, reactors allocate nothing for messages, and copy none: in a reactor, over a ring, over
//! a link; told and asked, to and fro; in order or not. A transition reads its message where the sender's transition
//! wrote it: in the local queue, or in the frame that a driver has sent and received. With real drivers it writes to a frame that is sent, and reads in one that came ([`drivers`]); where those lie is shown in
//! net/tests/drivers/zero_copy.rs.
//!
//! Copied are, all the same:
//! - what crosses a ring between reactors, into the ring, where it is read; once more, if it goes round the ring's end;
//! - what waits in an inbox, at both ends: its sender keeps a copy until it hears what became of it;
//! - what is sealed: what is kept to be repeated stays as it is, and a copy of it is encrypted;
//! - what is larger than a frame, by a link: into segments, and out of them;
//! - what goes to all points of several shards (a broadcast), for each; not what goes to `Each` of several agents, which
//!   is written for each of them.

mod drivers;
mod pipe;
mod players;
mod system;

use daedal_allocations::allocations;
use daedal_boxes::turn::Turn;
use daedal_net::link::Secret;

use pipe::{Pipe, pipe};
use players::{How, Seen, seen};
use system::{at, counts, take};

/// Where the partner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Local,
    Ring,
    Link,
    Sealed,
}

fn pair(place: Place, how: How) -> Vec<Turn<Pipe>> {
    let [a, b] = pipe();
    let mut seats = vec![(at(1, 0), a)];
    match place {
        Place::Local => {}
        Place::Ring => seats.push((at(1, 1), b)),
        Place::Link | Place::Sealed => seats.push((at(2, 0), b)),
    }
    system::pair(seats, how, (place == Place::Sealed).then_some(Secret([7; 32])))
}

/// What went on while all was warm.
#[derive(Debug)]
struct Went {
    allocations: u64,
    handled: u64,
    /// Of these: in inboxes.
    waited: u64,
    seen: Seen,
}

fn play(place: Place, how: How) -> Went {
    let mut turns = pair(place, how);
    let mut now = 0;
    // Within a reactor, messages go to and fro until its turn is over.
    let is_quick = place == Place::Local && how != How::Parked;
    let warm_up = if is_quick { 8 } else { 400 };
    take(&mut turns, &mut now, warm_up);
    let before = counts(&turns);
    seen();
    let (count, ()) = allocations(|| take(&mut turns, &mut now, warm_up / 4));
    let [handled, waited] = [0, 1].map(|it| counts(&turns)[it] - before[it]);
    let went = Went { allocations: count as u64, handled, waited, seen: seen() };
    assert!(went.handled > 50, "{place:?}, {how:?}: {went:?}");
    assert_eq!(how == How::Parked, went.waited > 50, "{place:?}, {how:?}: {went:?}");
    went
}

const PROMPT: [How; 4] = [How::Tell, How::Ask, How::TellInOrder, How::AskInOrder];

/// Nothing is allocated; all, or none, are read where they were written.
fn check(place: Place, is_copied: bool) {
    for how in PROMPT {
        let went = play(place, how);
        let moved = if is_copied { went.seen.read } else { 0 };
        assert_eq!((went.allocations, went.seen.moved), (0, moved), "{place:?}, {how:?}: {went:?}");
    }
}

#[test]
fn messages_within_a_reactor_allocate_nothing_and_are_read_where_they_were_written() {
    check(Place::Local, false);
}

#[test]
fn messages_over_a_ring_allocate_nothing() {
    check(Place::Ring, true);
}

#[test]
fn messages_over_a_link_allocate_nothing_and_are_read_where_they_were_written() {
    check(Place::Link, false);
}

#[test]
fn messages_that_are_sealed_are_copied_and_allocate_nothing() {
    check(Place::Sealed, true);
}

/// Also those that are merged. Each of the three is asked by a message that was written for it.
#[test]
fn what_is_asked_of_several_allocates_nothing_and_is_read_where_it_was_written_for_each() {
    for place in [Place::Local, Place::Link] {
        let went = play(place, How::AskEach);
        assert_eq!((went.allocations, went.seen.moved), (0, 0), "{place:?}: {went:?}");
    }
    let went = play(Place::Ring, How::AskEach);
    assert_eq!(went.allocations, 0, "{went:?}");
}

/// What is larger than a frame is written on the heap, and read there by all reactors of the box; a link cuts it into
/// frames, and puts it together.
#[test]
fn what_is_larger_than_a_frame_is_copied_by_links_alone() {
    for place in [Place::Local, Place::Ring, Place::Link] {
        let went = play(place, How::TellLong);
        let copied = if place == Place::Link { went.handled } else { 0 };
        assert_eq!(went.seen.moved, copied, "{place:?}: {went:?}");
        let most = if place == Place::Local { 0 } else { 6 * went.handled };
        assert!(went.allocations <= most, "{place:?}: {went:?}");
    }
}

/// At its receiver, and at its sender, who does not know the place that a link or ring wants it in again.
#[test]
fn only_a_message_that_waits_is_copied_and_allocates_for_its_copies() {
    for place in [Place::Local, Place::Ring, Place::Link] {
        let went = play(place, How::Parked);
        let most = went.waited * if place == Place::Local { 1 } else { 5 };
        assert!(went.allocations <= most, "{place:?}: {went:?}");
        let moved = if place == Place::Ring { went.seen.read } else { went.waited };
        assert_eq!(went.seen.moved, moved, "{place:?}: {went:?}");
    }
}
