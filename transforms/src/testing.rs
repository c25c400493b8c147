//! What the tests of all transformations start from.

use std::collections::BTreeSet;

use daedal_model::done::NumberSet;
use daedal_model::id::{AgentId, Name, Number, Point, Space};
use daedal_model::merge::Fragment;
use daedal_model::path::AgentPath;
use daedal_model::refine::AgentState;
use daedal_model::state::{Captured, Piece, Value};

pub fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("the tests' paths are paths")
}

fn name(number: u64) -> Name {
    Name { source: AgentId::of("client"), space: Space(7), number: Number(number) }
}

/// What a child says in its parent's name.
pub fn twin(child: AgentId, body: &str) -> Fragment<String> {
    Fragment { child, name: name(1), body: body.to_owned() }
}

/// A wedged agent with one piece of state, and one message that waits, at each of these points.
pub fn agent_state(points: &BTreeSet<u64>) -> AgentState {
    let piece = |point: &u64| Piece {
        point: Point(*point),
        key: Value::from(*point),
        value: Value::from(1),
    };
    let mut variables = Captured::new::<()>();
    variables.add_keyed("map", points.iter().map(piece).collect());
    let mut state = AgentState::new(variables);
    let inbox = points.iter().enumerate();
    state.inbox = inbox.map(|(n, point)| (name(100 + n as u64), Some(Point(*point)))).collect();
    state.done.insert((AgentId::of("client"), Space(7)), NumberSet::below(Number(100)));
    state.outbox.insert((AgentId::of("log"), name(3)));
    state.wedged = true;
    state
}
