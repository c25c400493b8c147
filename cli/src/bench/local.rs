//! Two agents of one reactor, without a thread or a socket: a `Turn` by itself.

use std::sync::Arc;
use std::sync::mpsc::channel;

use daedal::Parameters;
use daedal::boxes::reactor::Clock;
use daedal::boxes::turn::Turn;

use super::agents::{ASKER, ECHO, SINK, TELLER, templates};
use super::figure::Found;

/// Messages handled a second, one word each.
pub fn tell() -> Found {
    measure([SINK, TELLER])
}

/// Round trips of one word, one outstanding.
pub fn ask() -> Found {
    measure([ECHO, ASKER])
}

fn measure(agents: [&str; 2]) -> Found {
    super::cpu::on(0, || {
        let (says, found) = channel();
        let mut turn = Turn::alone(Arc::new(templates(7u64, says)));
        for agent in agents {
            turn.run(agent, agent, &Parameters::new())?;
        }
        let clock = Clock::start();
        loop {
            turn.take(clock.now(), true);
            if let Ok(found) = found.try_recv() {
                return found;
            }
        }
    })
}
