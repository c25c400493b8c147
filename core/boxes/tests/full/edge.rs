//! What comes from outside stays there while there is no room for it: it is not copied to wait, and each gets its share.

use daedal_model::id::ReactorAddress;

use crate::agents::{Feeder, Flood, HANDLED, Tally};
use crate::network::at;
use crate::world::{MARK, WAYS, World};

const FEEDERS: u64 = 32;

/// Several that feed one agent, more than the way there takes.
fn crowded(reactors: &[ReactorAddress]) -> World {
    let last = reactors.len() - 1;
    let mut world = World::new(reactors, &[("tally", last)]);
    world.host(last, "tally", Tally::default());
    for me in 0..FEEDERS {
        world.host_shim(0, &format!("feeder{me}"), move || Feeder::new(&["tally"], me));
    }
    world
}

#[test]
fn who_asks_before_each_message_has_few_copied_and_no_fewer_sent_than_others() {
    for reactors in WAYS {
        let mut world = crowded(reactors);
        // Until there is a session.
        world.run(20);
        let (kept, turns) = (world.sum(|counts| counts.kept), 64);
        world.run(turns);
        let (handled, kept) = (HANDLED.get(), world.sum(|counts| counts.kept) - kept);
        assert!(kept <= turns * FEEDERS, "{reactors:?}: {kept} of {handled} were kept");
        let of_each = world.state::<Tally>(reactors.len() - 1, "tally").of_each;
        let (least, most) = (of_each.iter().min().unwrap(), of_each.iter().max().unwrap());
        assert!(of_each.len() as u64 == FEEDERS && 2 * least >= *most, "{reactors:?}: {of_each:?}");
    }
}

#[test]
fn of_those_who_have_much_waiting_none_goes_before_all_others() {
    const FLOODS: u64 = 8;
    const EACH: u64 = 10_000;
    // Within a reactor all that is sent is there at once.
    for reactors in WAYS.into_iter().filter(|it| it.len() > 1) {
        let last = reactors.len() - 1;
        let mut world = World::new(reactors, &[("tally", last)]);
        world.host(last, "tally", Tally::default());
        for me in 0..FLOODS {
            world.host_shim(0, &format!("flood{me}"), move || Flood { count: EACH, me });
        }
        world.until("half of it is there", |_| HANDLED.get() > FLOODS * EACH / 2);
        let of_each = world.state::<Tally>(last, "tally").of_each;
        let least = of_each.iter().min().unwrap();
        assert!(of_each.len() as u64 == FLOODS && 4 * least >= EACH, "{reactors:?}: {of_each:?}");
        world.until("all of it is there", |_| HANDLED.get() == FLOODS * EACH);
    }
}

#[test]
fn what_goes_to_a_box_that_is_away_waits_and_keeps_nothing_else_outside() {
    let reactors = [at(1, 0), at(2, 0), at(3, 0)];
    let mut world = World::new(&reactors, &[("tally", 1), ("away", 2)]);
    world.host(1, "tally", Tally::default());
    world.turns.pop();
    world.host_shim(0, "feeder", || Feeder::new(&["away", "tally"], 0));
    world.run(2_000);
    assert_eq!(HANDLED.get(), MARK);
}
