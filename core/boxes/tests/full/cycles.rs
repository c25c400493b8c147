//! Agents that wait for each other go on; where they cannot, nobody else is concerned.

use daedal_model::agent::Refusal;
use daedal_model::id::AgentId;

use crate::agents::{
    ALLOWED, COPIES, HANDLED, Keeper, NEIGHBOUR, Neighbour, Outsider, PLAYED, Player, TOLD,
};
use crate::slow::writer;
use crate::world::{MARK, WAYS, World};

#[test]
fn a_cycle_of_agents_that_wait_for_each_other_goes_on() {
    for reactors in &WAYS[1..] {
        let mut world = World::new(reactors, &[("one", 0), ("other", 1), ("neighbour", 1)]);
        world.turns.iter_mut().for_each(|turn| turn.bound_inboxes(10));
        let serves = 4 * MARK;
        world.host(1, "other", Player::with("one", serves));
        world.host(0, "one", Player::with("other", serves));
        world.until("balls go on", |_| PLAYED.get() > 100 * serves);
        COPIES.set(0);
        world.until("nothing waits", |world| {
            world.turns.iter().all(|turn| turn.kept().messages == 0)
        });
        assert_eq!(world.sum(|counts| counts.refused), 0);
    }
}

/// Two that send each ball back twice, until they stand still.
fn multiply(world: &mut World) {
    COPIES.set(2);
    world.host(world.turns.len() - 1, "other", Player::with("one", 0));
    world.host(0, "one", Player::with("other", 1));
    world.until("the cycle is found", |world| world.sum(|counts| counts.cycles) > 0);
    world.until("it stands still", |world| {
        let played = PLAYED.get();
        world.run(5_000);
        PLAYED.get() == played
    });
}

#[test]
fn a_cycle_of_agents_that_multiplies_messages_is_found_and_bounded() {
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let agents = [("one", 0), ("other", last), ("keeper", last), ("neighbour", last)];
        let mut world = World::new(reactors, &agents);
        multiply(&mut world);
        let kept: usize = world.turns.iter().map(|turn| turn.kept().messages).sum();
        assert!(kept < 200_000, "{kept} messages are kept");
        // Nobody else is concerned.
        world.host(last, "neighbour", Neighbour::default());
        world.host(last, "keeper", Keeper::default());
        ALLOWED.set(u64::MAX);
        world.host(0, "writer", writer("keeper", 100, 1, false));
        world.until("others are served", |_| (HANDLED.get(), NEIGHBOUR.get()) == (100, 100));
    }
}

#[test]
fn what_comes_from_outside_does_not_wait_for_a_cycle_that_stands_still() {
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let agents = [("one", 0), ("other", last), ("third", 0), ("neighbour", last)];
        let mut world = World::new(reactors, &agents);
        world.host(last, "neighbour", Neighbour::default());
        // These wait in inboxes: players want no ticks.
        let to: &[&str] = &["one", "other", "neighbour"];
        world.host_shim(0, "early", move || Outsider { to, times: 50 });
        multiply(&mut world);
        // Who writes to them waits for them in the end, and is in no cycle.
        world.host(0, "third", Player::with("one", 2 * MARK));
        world.run(5_000);
        let to: &[&str] = &["one", "other", "third", "neighbour"];
        world.host_shim(0, "late", move || Outsider { to, times: 2000 });
        let stands_still = Some(Refusal::StandsStill);
        let expect = [("one", stands_still, 2050), ("other", stands_still, 2050)];
        let expect =
            expect.into_iter().chain([("third", stands_still, 2000), ("neighbour", None, 2050)]);
        let expect =
            expect.map(|(name, refusal, times)| ((AgentId::of(name), refusal), times)).collect();
        world.until("all are told", |_| TOLD.with_borrow(|told| *told == expect));
    }
}

#[test]
fn a_cycle_in_which_more_goes_round_than_inboxes_hold_goes_on() {
    for (reactors, serves) in WAYS[1..].iter().flat_map(|it| [(it, MARK), (it, 7680)]) {
        let mut world = World::new(reactors, &[("one", 0), ("other", 1), ("neighbour", 1)]);
        world.host(1, "other", Player { waits: true, ..Player::with("one", serves) });
        world.host(0, "one", Player { waits: true, ..Player::with("other", serves) });
        world.run(1000);
        assert_eq!(PLAYED.get(), 0);
        world.host(1, "neighbour", Neighbour::default());
        world.until("balls go on", |_| PLAYED.get() > 20 * serves);
    }
}

#[test]
fn who_waits_for_one_that_is_away_is_in_no_cycle() {
    for reactors in &WAYS[1..] {
        let agents = [("one", 0), ("other", 1), ("neighbour", 1), ("keeper", 0)];
        let mut world = World::new(reactors, &agents);
        world.turns.iter_mut().for_each(|turn| turn.bound_inboxes(10));
        world.run(100);
        // It waits for the keeper, which is not there, and has sent the other a few notes.
        let third = AgentId::of("other").0;
        world.host(0, "one", Player { third, notes: 40, ..Player::with("keeper", 2000) });
        world.host(1, "other", Player::with("one", 4 * MARK));
        world.run(1_000);
        let played = PLAYED.get();
        assert!(played <= 40, "{played}: more than the notes, before so many waited");
        world.run(10_000);
        assert_eq!((world.sum(|counts| counts.cycles), PLAYED.get()), (0, played));
    }
}

#[test]
fn a_cycle_is_found_whoever_else_its_agents_wait_for() {
    for (reactors, third) in WAYS[1..].iter().flat_map(|it| [(it, "zzzzzz"), (it, "a")]) {
        let agents = [("one", 0), ("other", 1), ("neighbour", 1), (third, 0), ("keeper", 0)];
        let mut world = World::new(reactors, &agents);
        world.turns.iter_mut().for_each(|turn| turn.bound_inboxes(10));
        // The third waits for the keeper, which is not there yet.
        world.host(0, third, Player::with("keeper", 2000));
        world.run(100);
        let serves = 4 * MARK;
        world.host(1, "other", Player::with("one", serves));
        let third = AgentId::of(third).0;
        world.host(0, "one", Player { third, notes: 40, ..Player::with("other", serves) });
        world.until("balls go on", |_| PLAYED.get() > 20 * serves);
    }
}
