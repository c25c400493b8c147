//! Agents of one reactor, without a thread or a socket: a `Turn` by itself.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use daedal::boxes::Placed;
use daedal::boxes::alone::NoNetwork;
use daedal::boxes::reactor::Clock;
use daedal::boxes::turn::Turn;
use daedal::model::id::{Epoch, Space};
use daedal::model::path::AgentPath;
use daedal::model::point::PointRange;
use daedal::model::route::{Action, Route};
use daedal::{AgentId, Parameters, Templates};

use super::agents::{ASKER, ECHO, SINK, TELLER, add_asker, templates};
use super::figure::Found;
use super::reactors::PATIENCE;

/// What is told and asked: one word.
pub const WORD: u64 = 7;
/// Paths of agents that do the same.
const ECHOES: [&str; 3] = ["echo1", "echo2", "echo3"];
/// How many of them must say the same.
const MATCHING: u32 = 2;

/// Messages handled a second, one word each.
pub fn tell() -> Found {
    measure(|says| alone(templates(WORD, says), &[(SINK, SINK), (TELLER, TELLER)]))
}

/// Round trips of one word, one outstanding.
pub fn ask() -> Found {
    measure(|says| alone(templates(WORD, says), &[(ECHO, ECHO), (ASKER, ASKER)]))
}

/// As [`ask`], of three that are copies of one, until two of them have said the same.
pub fn merged() -> Found {
    measure(|says| {
        let templates = Arc::new(templates(WORD, says));
        let mut turn = Turn::alone(templates.clone());
        let source = AgentPath::parse(ECHO).map_err(|error| error.to_string())?;
        let mut among = Vec::new();
        for (number, name) in (1..).zip(ECHOES) {
            let path = source.join(name).map_err(|error| error.to_string())?;
            let action = Action::To(path.physical_id());
            turn.learn_route(path.clone(), Route { epoch: Epoch(1), action });
            among.push(path.logical_id());
            let (space, range) = (Space(number), PointRange::ALL);
            let copy = templates.make(ECHO, &Parameters::new())?;
            turn.host(Placed { path, source: source.clone(), space, range }, copy);
        }
        let action = Action::Each { among, wait_for_matching: MATCHING };
        turn.learn_route(source, Route { epoch: Epoch(1), action });
        turn.settle_routes();
        run(&mut turn, &[(ASKER, ASKER)])?;
        Ok(turn)
    })
}

/// As [`ask`], of three at once, until all have answered.
pub fn three_asks() -> Found {
    measure(|says| {
        let mut templates = templates(WORD, says.clone());
        add_asker(&mut templates, WORD, ECHOES.map(AgentId::of), Duration::ZERO, says);
        let mut turn = alone(templates, &ECHOES.map(|path| (path, ECHO)))?;
        run(&mut turn, &[(ASKER, ASKER)])?;
        Ok(turn)
    })
}

fn alone(templates: Templates, agents: &[(&str, &str)]) -> Result<Turn<NoNetwork>, String> {
    let mut turn = Turn::alone(Arc::new(templates));
    run(&mut turn, agents)?;
    Ok(turn)
}

/// Runs agents there, each by its path and template.
fn run(turn: &mut Turn<NoNetwork>, agents: &[(&str, &str)]) -> Result<(), String> {
    agents.iter().try_for_each(|(path, kind)| turn.run(path, kind, &Parameters::new()))
}

fn measure(make: impl FnOnce(Sender<Found>) -> Result<Turn<NoNetwork>, String> + Send) -> Found {
    super::cpu::on(0, || {
        let (says, found) = channel();
        let mut turn = make(says)?;
        let clock = Clock::start();
        let until = clock.now().0 + PATIENCE.as_nanos() as u64;
        loop {
            let now = clock.now();
            turn.take(now, true);
            if let Ok(found) = found.try_recv() {
                return found;
            }
            if now.0 > until {
                return Err(format!("nothing was measured within {PATIENCE:?}"));
            }
        }
    })
}
