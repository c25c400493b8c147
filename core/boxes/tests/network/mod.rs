//! Reactors on a simulated network, without a controller: who is where is told.

#![allow(dead_code, reason = "each test uses its part")]

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use daedal_boxes::Placed;
use daedal_boxes::links::Links;
use daedal_boxes::shim::Shim;
use daedal_boxes::template::{Parameters, Templates};
use daedal_boxes::turn::Turn;
use daedal_model::encode::Encode;
use daedal_model::id::{BoxId, Epoch, Point, ReactorAddress};
use daedal_model::path::AgentPath;
use daedal_model::route::{Action, PickBy, Route, Share};
use daedal_net::driver::sim::{Config, SimDriver, SimNetwork};

thread_local! {
    /// Each reactor that starts has another.
    static NONCE: Cell<u64> = const { Cell::new(77) };
}

pub fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a path")
}

pub const fn at(agent_box: u16, reactor: u8) -> ReactorAddress {
    ReactorAddress { agent_box: BoxId(agent_box), reactor }
}

pub fn address(at: ReactorAddress) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, at.agent_box.0 as u8], 7000 + u16::from(at.reactor)))
}

/// A reactor that knows where these agents are.
pub fn turn(
    me: ReactorAddress,
    network: &SimNetwork,
    templates: Templates,
    places: &[(&str, ReactorAddress)],
) -> Turn<SimDriver> {
    turn_at((me, address(me), 1024), network, templates, places)
}

/// The same at this address, as guests have one each, with so many frames.
pub fn turn_at(
    (me, at, frames): (ReactorAddress, SocketAddr, usize),
    network: &SimNetwork,
    templates: Templates,
    places: &[(&str, ReactorAddress)],
) -> Turn<SimDriver> {
    let templates = Arc::new(templates);
    let config = Config { frames, ..Config::new(at) };
    let driver = SimDriver::start(network, config, 0);
    let driver = driver.expect("a free address");
    let nonce = NONCE.replace(NONCE.get() + 77);
    let links = Links::new(me, driver, templates.kinds(), Default::default(), nonce);
    let mut turn = Turn::new(me, templates, links);
    for (name, place) in places {
        turn.put_box(place.agent_box, address(ReactorAddress { reactor: 0, ..*place }));
        turn.fix_route(path(name), *place);
    }
    turn
}

pub fn host_shim<S: Shim>(
    turn: &mut Turn<SimDriver>,
    placed: Placed,
    make: impl Fn() -> S + Send + Sync + 'static,
) where
    S::Reply: Encode<S::Reply>,
{
    let mut templates = Templates::new();
    templates.shim("shim", move |_| Ok(make()));
    let shim = templates.make("shim", &Parameters::new()).expect("it is made of nothing");
    turn.host(placed, shim);
}

/// Tells a reactor that an agent is these children by now, each up to a point.
pub fn learn<'a>(
    turn: &mut Turn<SimDriver>,
    (agent, epoch): (&str, u32),
    by: PickBy,
    children: impl IntoIterator<Item = (&'a str, Point)>,
) {
    let share = |(child, last)| Share { last, child: path(child).logical_id() };
    let action = Action::Pick { by, among: children.into_iter().map(share).collect() };
    turn.learn_route(path(agent), Route { epoch: Epoch(epoch), action });
    turn.settle_routes();
}
