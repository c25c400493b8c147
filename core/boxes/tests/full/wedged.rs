//! An agent whose life has ended for others is handed nothing: what is for it waits with its senders, in nobody's
//! way, until they know who is next.

use daedal_model::control::{
    ActionEntry, BoxEntry, Hosting, Knowledge, Legacy, PlaceEntry, RouteEntry, ToPort,
};
use daedal_model::id::ReactorAddress;
use daedal_model::point::PointRange;

use crate::agents::{HANDLED, Ledger};
use crate::network::{address, path};
use crate::slow::p99_beside;
use crate::world::{WAYS, World, port};

/// That an agent is the life of this path, in this reactor.
fn knowledge(agent: &str, life: &str, epoch: u32, at: ReactorAddress) -> Knowledge {
    let physical = path(life).physical_id().0;
    let ReactorAddress { agent_box, reactor } = at;
    let route = RouteEntry { path: agent.to_owned(), epoch, action: ActionEntry::To(physical) };
    let place = PlaceEntry { physical, agent_box: agent_box.0, reactor };
    let first = ReactorAddress { reactor: 0, ..at };
    let (name, address) = (format!("b{}", agent_box.0), address(first).to_string());
    let entry = BoxEntry { agent_box: agent_box.0, name, address };
    Knowledge { routes: vec![route], places: vec![place], boxes: vec![entry] }
}

/// A world in which the last reactor runs a ledger, and all know it.
fn with_ledger(reactors: &[ReactorAddress]) -> World {
    let last = reactors.len() - 1;
    let mut world = World::new(reactors, &[("neighbour", last)]);
    world.host_ports();
    world.host(last, "ledger", Ledger::default());
    let learned = ToPort::Learn(knowledge("ledger", "ledger", 1, reactors[last]));
    (0..=last).for_each(|index| world.tell_port(index, learned.clone()));
    world.run(100);
    world
}

#[test]
fn what_is_for_an_agent_that_is_wedged_delays_nobody_and_goes_to_whoever_is_next() {
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let alone = p99_beside(&mut with_ledger(reactors), "ledger", 0);
        let mut world = with_ledger(reactors);
        let all = PointRange::ALL;
        let wedge = ToPort::Wedge { path: "ledger".to_owned(), parts: vec![all.into()] };
        world.tell_port(last, wedge);
        let beside = p99_beside(&mut world, "ledger", 4096);
        assert_eq!(HANDLED.get(), 0, "its life had ended");
        assert!(2 * beside <= 3 * alone, "{reactors:?}: {beside} ns beside it, {alone} ns alone");
        let hosting = Hosting {
            path: "ledger:2".to_owned(),
            template: "ledger".to_owned(),
            parameters: String::new(),
            source: "ledger".to_owned(),
            space: 7000,
            epoch: 2,
            reactor: Some(reactors[0].reactor),
            first: all.first.0,
            last: all.last.0,
            cut: Default::default(),
        };
        let kept_by = port(reactors[last]).to_string();
        let legacy = Legacy {
            path: "ledger".to_owned(),
            way: knowledge(&kept_by, &kept_by, 1, reactors[last]),
            port: kept_by,
        };
        world.tell_port(0, ToPort::Host(hosting, vec![legacy]));
        let learned = ToPort::Learn(knowledge("ledger", "ledger:2", 2, reactors[0]));
        (0..=last).for_each(|index| world.tell_port(index, learned.clone()));
        world.until("all is handled", |_| HANDLED.get() == 4096);
        world.run(3_000);
        let Ledger { count, sum } = world.state(0, "ledger:2");
        assert_eq!((count, sum), (4096, 4096 * 4095 / 2), "each was handled once");
    }
}
