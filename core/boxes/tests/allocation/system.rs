//! Reactors with the two players, over any driver.

use std::net::SocketAddr;
use std::sync::Arc;

use daedal_boxes::links::Links;
use daedal_boxes::reactor::join;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::id::{BoxId, Epoch, ReactorAddress, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::route::{Action, Route};
use daedal_net::driver::Driver;
use daedal_net::link::Secret;

use crate::players::{How, PARTNERS, Partner, Player};

/// A reactor of a box, and its driver.
pub type Seat<D> = (ReactorAddress, D);

pub fn at(agent_box: u16, reactor: u8) -> ReactorAddress {
    ReactorAddress { agent_box: BoxId(agent_box), reactor }
}

fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a path")
}

/// The player in the first reactor, the partner in the last. Those of one box are joined by rings, boxes by links.
pub fn pair<D: Driver>(seats: Vec<Seat<D>>, how: How, secret: Option<Secret>) -> Vec<Turn<D>> {
    let ends = [&seats[0], &seats[seats.len() - 1]].map(|(at, driver)| (*at, driver.address()));
    let is_one_box = ends[0].0.agent_box == ends[1].0.agent_box;
    let make = |(at, driver)| reactor(at, driver, ends, secret.clone());
    let mut turns: Vec<_> = seats.into_iter().map(make).collect();
    if is_one_box {
        join(&mut turns);
    }
    if how == How::AskEach {
        host_copies(&mut turns, ends[1].0, how);
    } else if let Some(last) = turns.last_mut() {
        let partner = hosted(Partner { who: PARTNERS.start, how, handled: 0 });
        last.host(Placed::alone(path("partner"), Space(2)), partner);
    }
    let player = hosted(Player { to: "partner", how });
    turns[0].host(Placed::alone(path("player"), Space(1)), player);
    turns
}

fn reactor<D: Driver>(
    me: ReactorAddress,
    driver: D,
    ends: [(ReactorAddress, SocketAddr); 2],
    secret: Option<Secret>,
) -> Turn<D> {
    let mut templates = Templates::new();
    templates.talks_to::<Player>();
    let templates = Arc::new(templates);
    let nonce = 1 + u64::from(me.agent_box.0);
    let mut links = Links::new(me, driver, templates.kinds(), Default::default(), nonce);
    if let Some(secret) = secret {
        links.seal_with(secret);
    }
    let mut turn = Turn::new(me, templates, links);
    for (name, (place, address)) in ["player", "partner"].into_iter().zip(ends) {
        turn.put_box(place.agent_box, address);
        turn.fix_route(path(name), place);
    }
    turn
}

/// Runs three partners as copies of one, each of which is asked.
fn host_copies<D: Driver>(turns: &mut [Turn<D>], there: ReactorAddress, how: How) {
    let parent = path("partner");
    let copies = ["one", "two", "three"].map(|name| parent.join(name).expect("a path"));
    let among = copies.iter().map(AgentPath::logical_id).collect::<Vec<_>>();
    for turn in turns.iter_mut() {
        let action = Action::Each { among: among.clone(), wait_for_matching: 2 };
        copies.iter().for_each(|copy| turn.fix_route(copy.clone(), there));
        turn.learn_route(parent.clone(), Route { epoch: Epoch(1), action });
        turn.settle_routes();
    }
    let last = turns.last_mut().expect("there is one at least");
    for (who, path) in PARTNERS.zip(copies) {
        let (space, range) = (Space(1 + who as u32), PointRange::ALL);
        let partner = hosted(Partner { who, how, handled: 0 });
        last.host(Placed { path, source: parent.clone(), space, range }, partner);
    }
}

/// What all have delivered and copied out so far.
pub fn counts<D: Driver>(turns: &[Turn<D>]) -> [u64; 2] {
    let sum = |count: fn(&Turn<D>) -> u64| turns.iter().map(count).sum();
    [sum(|it| it.counts().delivered), sum(|it| it.counts().copied_out)]
}

/// Takes so many turns of each.
pub fn take<D: Driver>(turns: &mut [Turn<D>], now: &mut u64, rounds: u64) {
    for _ in 0..rounds {
        *now += 5_000;
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(*now), true));
    }
}
