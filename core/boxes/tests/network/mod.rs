//! Boxes of one reactor each on a simulated network, without a controller: who is where is told.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use daedal_boxes::links::Links;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_model::id::{BoxId, ReactorAddress};
use daedal_model::path::AgentPath;
use daedal_net::driver::sim::{Config, SimDriver, SimNetwork};

thread_local! {
    /// Each reactor that starts has another.
    static NONCE: Cell<u64> = const { Cell::new(77) };
}

pub fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a path")
}

fn address(agent_box: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, agent_box as u8], 7000))
}

/// A reactor that knows in which boxes these agents are.
pub fn turn(
    agent_box: u16,
    network: &SimNetwork,
    templates: Templates,
    places: &[(&str, u16)],
) -> Turn<SimDriver> {
    let templates = Arc::new(templates);
    let me = ReactorAddress { agent_box: BoxId(agent_box), reactor: 0 };
    let driver = SimDriver::start(network, Config::new(address(agent_box)), 0);
    let driver = driver.expect("a free address");
    let nonce = NONCE.replace(NONCE.get() + 77);
    let links = Links::new(me, driver, templates.kinds(), Default::default(), nonce);
    let mut turn = Turn::new(me, templates, links);
    for (name, at) in places {
        turn.put_box(BoxId(*at), address(*at));
        turn.fix_route(path(name), ReactorAddress { agent_box: BoxId(*at), reactor: 0 });
    }
    turn
}
