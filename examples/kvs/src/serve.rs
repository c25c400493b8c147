//! The whole store in one thread: gateway and agent, or several shards of it, on one reactor by itself.
//! For first steps, tests and measurements; no box, no controller, no other process.

#![expect(clippy::disallowed_methods, reason = "this is the reactor: it reads the clock")]

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daedal::boxes::turn::Turn;
use daedal::{Parameters, Stamp, Templates};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::gateway::Gateway;
use crate::key_value::KeyValue;

/// Idle turns before the thread sleeps: a client that answers at once finds it awake.
const IDLE_TURNS: u32 = 16;
/// Longest sleep: how late the end is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// Serves clients as `parameters` say until `is_over`, which is asked now and then. The keys are one
/// agent's, or those of `shards` shards when there are several. `listens` is told the address.
/// # Errors
/// A text for people: what is wrong with the parameters, or with the address.
pub fn serve(
    parameters: &Parameters,
    shards: usize,
    listens: impl FnOnce(SocketAddr),
    is_over: impl Fn() -> bool,
) -> Result<(), String> {
    let (tell, address) = channel();
    let mut templates = Templates::new();
    templates.agent("KeyValue", |_| Ok(KeyValue::default()));
    templates.shim("Resp", move |parameters| {
        let gateway = Gateway::open(parameters)?;
        // The receiver stands in this function, which is still running.
        let _ = tell.send(gateway.address());
        Ok(gateway)
    });
    let templates = Arc::new(templates);
    let mut turn = Turn::alone(templates.clone());
    match shards {
        0 | 1 => turn.run("kvs", "KeyValue", &Parameters::new())?,
        _ => turn.run_sharded("kvs", shards, "KeyValue", &Parameters::new())?,
    }
    let gateway = templates.make("Resp", parameters)?;
    let mut bed = Bed::new(gateway.descriptor()).map_err(|error| error.to_string())?;
    turn.run_host("resp", gateway)?;
    if let Ok(Some(address)) = address.try_recv() {
        listens(address);
    }
    let mut idle_turns = 0;
    while !is_over() {
        let now = now();
        idle_turns = if turn.take(now, true) { 0 } else { idle_turns + 1 };
        if idle_turns > IDLE_TURNS {
            let due = turn.next_due().map(|due| Duration::from_nanos(due.0.saturating_sub(now.0)));
            bed.sleep(due.map_or(SLEEP_MAX, |due| due.min(SLEEP_MAX)));
        }
    }
    Ok(())
}

fn now() -> Stamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp(since_1970.as_nanos() as u64)
}

/// Where the thread sleeps: until the gateway's sockets have something to tell.
struct Bed {
    poll: Poll,
    events: Events,
}

impl Bed {
    fn new(descriptor: Option<RawFd>) -> std::io::Result<Bed> {
        let poll = Poll::new()?;
        if let Some(descriptor) = descriptor {
            let source = &mut SourceFd(&descriptor);
            poll.registry().register(source, Token(0), Interest::READABLE)?;
        }
        Ok(Bed { poll, events: Events::with_capacity(1) })
    }

    fn sleep(&mut self, long: Duration) {
        // Interrupted: then the next turn comes early.
        let _ = self.poll.poll(&mut self.events, Some(long));
    }
}
