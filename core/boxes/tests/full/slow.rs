//! A slow agent, or one that waits for something else, costs its reactor its mark, and its neighbours nothing.

use std::collections::BTreeSet;

use daedal_allocations::held_bytes;
use daedal_model::id::{AgentId, ReactorAddress, Space};

use crate::agents::{
    ALLOWED, HANDLED, HEAVY_BYTES, Hauler, Keeper, Lister, NEIGHBOUR, Neighbour, Numbered, Opener,
    Prober, Slow, TOOK, Waiter, Writer,
};
use crate::world::{MARK, WAYS, World};

pub fn writer(to: &str, burst: u64, ticks: u64, in_order: bool) -> Writer {
    Writer { to: AgentId::of(to).0, burst, ticks, written: 0, in_order }
}

#[test]
fn an_agent_that_wants_nothing_keeps_no_more_than_its_mark_and_delays_nobody() {
    for (reactors, in_order) in WAYS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let last = reactors.len() - 1;
        let mut world =
            World::new(reactors, &[("keeper", last), ("neighbour", last), ("writer", 0)]);
        world.host(last, "keeper", Keeper::default());
        world.host(last, "neighbour", Neighbour::default());
        world.host(0, "writer", writer("keeper", 4096, 1, in_order));
        world.run(100);
        assert_eq!((HANDLED.get(), NEIGHBOUR.get()), (0, 4096));
        let copied = world.sum(|counts| counts.copied_out);
        assert!(copied <= MARK, "{copied} of 4096 wait at the agent");
        world.run(3_000);
        assert_eq!(world.sum(|counts| counts.copied_out), copied, "it keeps more after a while");
        // What it wants gets through.
        world.host(0, "opener", Opener::default());
        world.until("all is handled", |_| HANDLED.get() == 4096);
        world.run(3_000);
        let seen = world.state::<Keeper>(last, "keeper").seen;
        let expect: Vec<u64> = (0..4096).collect();
        match in_order {
            true => assert_eq!(seen, expect),
            false => assert!(seen.iter().copied().collect::<BTreeSet<_>>().into_iter().eq(expect)),
        }
        assert_eq!(seen.len(), 4096, "something was handled twice");
    }
}

/// Of a thousand that few would be too many of: what waits is bounded in bytes, too, at both ends.
#[test]
fn who_sends_large_messages_to_an_agent_that_wants_none_is_held_by_their_bytes() {
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let mut world = World::new(reactors, &[("keeper", last), ("hauler", 0)]);
        world.host(last, "keeper", Keeper::default());
        world.host(0, "hauler", Hauler { left: 500 });
        world.run(2_000);
        let sent = 500 - world.state::<Hauler>(0, "hauler").left;
        let at_one_end = (4 << 20) / HEAVY_BYTES as u64;
        assert!((at_one_end..4 * at_one_end).contains(&sent), "{reactors:?}: {sent} of 500");
        ALLOWED.set(u64::MAX);
        world.host(0, "opener", Opener::default());
        world.until("all is handled", |_| HANDLED.get() == 500);
    }
}

/// The 99th of a hundred answers of a neighbour, by how long they take, in virtual nanoseconds: while another agent
/// beside it is sent so many notes.
pub fn p99_beside(world: &mut World, to: &str, notes: u64) -> u64 {
    world.host(world.turns.len() - 1, "neighbour", Neighbour::default());
    world.host(0, "prober", Prober::default());
    world.run(100);
    TOOK.take();
    for flood in 0..8 {
        let written = flood * notes / 8;
        let writer = Writer { written, ..writer(to, notes / 8, 1, false) };
        world.host(0, &format!("writer{flood}"), writer);
    }
    world.run(5_000);
    let mut took = TOOK.take();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

#[test]
fn neighbours_of_an_agent_that_wants_nothing_answer_as_soon_as_without_it() {
    for reactors in WAYS {
        let of = |notes| {
            let last = reactors.len() - 1;
            let mut world = World::new(reactors, &[("keeper", last), ("neighbour", last)]);
            world.host(last, "keeper", Keeper::default());
            p99_beside(&mut world, "keeper", notes)
        };
        let (alone, beside) = (of(0), of(4096));
        assert!(2 * beside <= 3 * alone, "{reactors:?}: {beside} ns beside it, {alone} ns alone");
    }
}

/// A waiter in the last of these reactors, with few messages in its inbox at most.
fn with_waiter(reactors: &[ReactorAddress]) -> World {
    let last = reactors.len() - 1;
    let mut world = World::new(reactors, &[("waiter", last), ("neighbour", last)]);
    world.turns.iter_mut().for_each(|turn| turn.bound_inboxes(10));
    world.host(last, "waiter", Waiter::default());
    world.host(last, "neighbour", Neighbour::default());
    world
}

#[test]
fn a_filter_that_waits_for_one_number_gets_it_whatever_fills_its_inbox() {
    for reactors in WAYS {
        let mut world = with_waiter(reactors);
        // The first writer's notes are those that come last, so its inbox is full of them.
        let mut late = writer("waiter", 600, 1, false);
        late.written = 600;
        world.host(0, "late", late);
        world.run(200);
        assert_eq!(HANDLED.get(), 0);
        world.host(0, "early", writer("waiter", 600, 1, false));
        world.until("all are handled", |_| HANDLED.get() == 1200);
    }
}

#[test]
fn a_writer_that_is_ten_times_as_fast_is_held_back_and_memory_stays_as_it_is() {
    const TURNS: u64 = 6_000;
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let mut world = World::new(reactors, &[("slow", last), ("neighbour", last)]);
        // They take a minute. A few messages wait, for all are offered again after each that was handled.
        world.turn_ns = 10_000_000;
        world.turns.iter_mut().for_each(|turn| turn.bound_inboxes(64));
        world.host(last, "slow", Slow { each_ns: world.turn_ns, is_busy: false });
        world.host(last, "neighbour", Neighbour::default());
        // Each turn it writes ten notes, and one is handled.
        world.host(0, "writer", writer("slow", 10, u64::MAX, false));
        let (mut kept_most, mut held_most) = (0, [0; 2]);
        for tick in 0..TURNS {
            world.run(1);
            let kept = world.turns.iter().map(|turn| turn.kept().messages).max();
            kept_most = kept.max(Some(kept_most)).unwrap_or_default();
            let so_far = &mut held_most[usize::from(tick >= TURNS / 2)];
            *so_far = held_bytes().max(*so_far);
        }
        assert!(kept_most <= 3 * MARK as usize, "{kept_most} messages were kept");
        let [first, later] = held_most;
        // The nodes of trees come and go.
        assert!(later < first + 32_768, "{later} bytes in the second half, {first} in the first");
        // Its reactor hears of room in time.
        assert!(HANDLED.get() > TURNS / 10 * 9, "{} were handled", HANDLED.get());
    }
}

#[test]
fn nor_does_it_matter_whose_note_it_waits_for_and_where_in_the_outbox_that_is() {
    for reactors in WAYS {
        let mut world = with_waiter(reactors);
        world.host(0, "late", Lister { notes: (300..600).collect() });
        world.run(200);
        world.host(0, "early", Lister { notes: (0..300).rev().collect() });
        world.until("all are handled", |_| HANDLED.get() == 600);
    }
}

#[test]
fn a_filter_is_found_what_it_waits_for_among_many_writers() {
    const WRITERS: u64 = 200;
    for reactors in WAYS {
        let mut world = with_waiter(reactors);
        for writer in (0..WRITERS).rev() {
            let notes = vec![WRITERS + writer, writer];
            world.host_in(
                0,
                &format!("writer{writer}"),
                Space(5000 + writer as u32),
                Lister { notes },
            );
            world.run(3);
        }
        world.until("all are handled", |_| HANDLED.get() == 2 * WRITERS);
    }
}

#[test]
fn the_message_of_a_timer_stays_where_it_is() {
    let mut world = World::new(WAYS[0], &[("waiter", 0), ("neighbour", 0)]);
    world.turns[0].bound_inboxes(10);
    world.host(0, "waiter", Numbered::default());
    world.run(10);
    world.host(0, "writer", Lister { notes: (0..Numbered::LAST).rev().collect() });
    world.until("all are handled", |_| HANDLED.get() == Numbered::LAST + 1);
}
