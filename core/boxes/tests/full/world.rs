//! Reactors that the agents run in, and turns that are taken until something is so.

use daedal_boxes::metrics::Counts;
use daedal_boxes::shim::Shim;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::Agent;
use daedal_model::control::{ToPort, port_path};
use daedal_model::encode::Encode;
use daedal_model::id::{ReactorAddress, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_model::port::Port;
use daedal_model::state::State;
use daedal_net::driver::sim::{SimDriver, SimNetwork};

use crate::agents::{ALLOWED, COPIES, HANDLED, Keeper, Ledger, NEIGHBOUR, PLAYED, TOLD, Teller};
use crate::network::{self, at, path};

pub const TURN_NS: u64 = 10_000;
/// Messages that an inbox keeps, and an outbox before its agent is pressed.
pub const MARK: u64 = 1024;

/// Two reactors, or one twice, on a network without faults.
pub struct World {
    reactors: Vec<ReactorAddress>,
    pub turns: Vec<Turn<SimDriver>>,
    pub now: u64,
    pub turn_ns: u64,
    /// Words to ports, counted.
    told: u64,
}

impl World {
    /// `agents`: by name, with which of the reactors runs it.
    pub fn new(reactors: &[ReactorAddress], agents: &[(&str, usize)]) -> World {
        let network = SimNetwork::perfect(5_000);
        let places: Vec<_> = agents.iter().map(|(name, index)| (*name, reactors[*index])).collect();
        let start = |me: &ReactorAddress| {
            let mut templates = Templates::new();
            templates.talks_to::<Keeper>().talks_to::<Port>();
            templates.agent("ledger", |_| Ok(Ledger::default()));
            network::turn(*me, &network, templates, &places)
        };
        let mut turns: Vec<_> = reactors.iter().map(start).collect();
        if reactors.iter().all(|it| it.agent_box == reactors[0].agent_box) {
            daedal_boxes::reactor::join(&mut turns);
        }
        [&HANDLED, &NEIGHBOUR, &PLAYED, &ALLOWED].into_iter().for_each(|count| count.set(0));
        COPIES.set(1);
        TOLD.take();
        World { reactors: reactors.to_vec(), turns, now: 0, turn_ns: TURN_NS, told: 0 }
    }

    pub fn host<A: Agent + State>(&mut self, index: usize, name: &str, agent: A) {
        self.host_in(index, name, space(name), agent);
    }

    pub fn host_in<A: Agent + State>(&mut self, index: usize, name: &str, space: Space, agent: A) {
        self.turns[index].host(Placed::alone(path(name), space), hosted(agent));
    }

    pub fn host_shim<S: Shim>(
        &mut self,
        index: usize,
        name: &str,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) where
        S::Reply: Encode<S::Reply>,
    {
        let placed = Placed::alone(path(name), space(name));
        network::host_shim(&mut self.turns[index], placed, make);
    }

    /// Runs the ports of all reactors.
    pub fn host_ports(&mut self) {
        for (index, at) in self.reactors.iter().enumerate() {
            let name = format!("b{}", at.agent_box.0);
            self.turns[index].host_port(&name, Space(8000 + index as u32));
        }
    }

    /// Tells a reactor's port something, in the controller's stead.
    pub fn tell_port(&mut self, index: usize, word: ToPort) {
        self.told += 1;
        let (name, port) =
            (format!("teller{}", self.told), port(self.reactors[index]).logical_id());
        self.host_shim(index, &name, move || Teller { port, word: Some(word.clone()) });
    }

    pub fn run(&mut self, turns: u64) {
        for _ in 0..turns {
            self.now += self.turn_ns;
            self.turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(self.now), true));
        }
    }

    /// Takes turns until something is so.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
        let limit = 2_000_000;
        for _ in 0..limit {
            if is_so(self) {
                return;
            }
            self.run(1);
        }
        panic!("{what}: not in {limit} turns, {} handled", HANDLED.get());
    }

    pub fn sum(&self, count: impl Fn(&Counts) -> u64) -> u64 {
        self.turns.iter().map(|turn| count(turn.counts())).sum()
    }

    /// What an agent that was captured says of itself.
    pub fn state<A: State>(&self, index: usize, name: &str) -> A {
        let captured = self.turns[index].capture(&path(name)).expect("it runs here");
        State::restore(captured.expect("it is no shim")).expect("it is of this kind")
    }
}

/// The path of a reactor's port.
pub fn port(at: ReactorAddress) -> AgentPath {
    port_path(&format!("b{}", at.agent_box.0), at.reactor).expect("it names a box")
}

fn space(name: &str) -> Space {
    Space(1 + name.bytes().map(u32::from).sum::<u32>())
}

/// All three ways: a neighbour, another reactor, another box.
pub const WAYS: [&[ReactorAddress]; 3] =
    [&[at(1, 0)], &[at(1, 0), at(1, 1)], &[at(1, 0), at(2, 0)]];
