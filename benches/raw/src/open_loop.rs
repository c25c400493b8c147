//! Asks that are begun by a schedule, at equal distances, whatever became of those before.
//!
//! A time counts from when an ask was due, not from when it was sent: one that had to wait for its sender has waited
//! (Tene, "coordinated omission"). All that were due while it counts are waited for. What carries them loses none: at
//! most [`OUTSTANDING`] are under way, so few that they fit in a socket, and that AF_XDP sends them in one call.

use std::hint::spin_loop;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::{Figure, MEASURED, PATIENCE, WARM_UP, histogram};

/// How many are under way at most.
pub const OUTSTANDING: u64 = 32;

/// Bytes of an ask that say when it was due.
pub const DUE_BYTES: usize = size_of::<u64>();

/// What carries asks there, and answers back.
pub trait Carrier {
    /// Sends an ask that was due at `due_ns`: whether there was room.
    /// # Errors
    /// The carrier's.
    fn send(&mut self, due_ns: u64) -> io::Result<bool>;

    /// An answer, if there is one: when its ask was due.
    /// # Errors
    /// The carrier's.
    fn receive(&mut self) -> io::Result<Option<u64>>;
}

/// Asks `per_second` times a second; without a number, as often as there are answers.
/// # Errors
/// The carrier's; an answer that does not come.
pub fn load(per_second: Option<u64>, carrier: &mut impl Carrier) -> io::Result<Figure> {
    let (from_ns, to_ns) = (nanoseconds(WARM_UP), nanoseconds(WARM_UP + MEASURED));
    let start = Instant::now();
    let (mut sent, mut answered, mut heard_ns) = (0, 0, 0);
    let mut times = histogram();
    loop {
        let now_ns = nanoseconds(start.elapsed());
        let due_ns = per_second.map_or(now_ns, |rate| due_ns(sent, rate));
        let is_due = due_ns <= now_ns && due_ns < to_ns;
        if is_due && sent - answered < OUTSTANDING && carrier.send(due_ns)? {
            sent += 1;
        }
        if let Some(due_ns) = carrier.receive()? {
            (answered, heard_ns) = (answered + 1, nanoseconds(start.elapsed()));
            if due_ns >= from_ns {
                times.saturating_record(heard_ns.saturating_sub(due_ns));
            }
        } else if due_ns >= to_ns && answered == sent {
            let lasted = Duration::from_nanos(heard_ns.saturating_sub(from_ns));
            return Ok(Figure::Load(times.len() as f64 / lasted.as_secs_f64(), times));
        } else if sent > answered && now_ns > heard_ns + nanoseconds(PATIENCE) {
            return Err(io::Error::new(ErrorKind::TimedOut, "an answer was lost"));
        } else {
            spin_loop();
        }
    }
}

/// When ask `index` is due, in nanoseconds after the first.
fn due_ns(index: u64, per_second: u64) -> u64 {
    (u128::from(index) * 1_000_000_000 / u128::from(per_second)) as u64
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
