//! A box whose peer was killed in the middle of a burst, and stays away, sleeps between its timers: what it sends again it
//! sends ever more seldom, and a turn finds nothing to do but then.
//!
//! Nothing is measured in time: timeouts are awaited, which are a second apart at last, and turns and sleeps counted
//! beside them.

use crate::pair;
use crate::system::{System, until};

/// Commands that are under way when the peer is killed.
const BURST: usize = 2000;
/// Timeouts that are awaited: the first, which follow each other quickly, and then some.
const TIMEOUTS: [u64; 2] = [8, 3];
/// At a timeout there are some turns; beside it there are beats of other links.
const TURNS_MAX: u64 = 20;

/// `sleeps`: how often the box may go to sleep for each timeout.
fn check(system: System, [lives, dies]: [&'static str; 2], sleeps: u64) {
    let mut system = system.rewritten("idle = \"frugal\"", "idle = \"balanced\"");
    for name in ["controller", "a", "b"] {
        system.start_box_with(name, &["--metrics", "127.0.0.1:0"]);
    }
    system.await_service();
    let is_there = |key: &String| daedal::Point::of(key.as_str()).0 < 1 << 63;
    let there = (0..).map(|index| format!("key{index}")).find(is_there).unwrap();
    let mut client = system.client();
    let burst = vec![format!("SET {there} 1"); BURST].join("\r\n");
    client.say(&burst).unwrap();
    client.hear().unwrap();
    system.kill(dies);

    let counts = || {
        let metrics = system.metrics(lives);
        ["packets_repeated_total", "turns_busy_total", "parks_total"]
            .map(|it| metrics.sample(it, 0))
    };
    let pass = |count| {
        let (mut seen, mut repeats) = (0, counts()[0]);
        until("packets to be sent again", || {
            let before = std::mem::replace(&mut repeats, counts()[0]);
            seen += u64::from(repeats > before);
            seen >= count
        });
    };
    pass(TIMEOUTS[0]);
    let before = counts();
    pass(TIMEOUTS[1]);
    let after = counts();
    let [turns, parks] = [1, 2].map(|it| after[it] - before[it]);
    assert!(turns <= TIMEOUTS[1] * TURNS_MAX, "{turns} turns found something");
    assert!((1..=TIMEOUTS[1] * sleeps).contains(&parks), "{parks} sleeps, {turns} turns");
}

const TIMERS: u64 = 20;

#[test]
fn who_sends_to_one_that_was_killed_by_the_kernel_sleeps_between_its_timers() {
    check(System::stated().by("kernel"), ["a", "b"], TIMERS);
}

#[test]
fn so_it_is_by_shared_memory() {
    check(System::stated().by("shm"), ["a", "b"], TIMERS);
}

#[test]
fn so_it_is_past_the_kernel() {
    let Some(lab) = pair("xdp") else { return };
    check(System::stated_between(lab).by("xdp"), ["a", "b"], TIMERS);
}

/// It looks at its port every 200 µs, and timeouts are a second apart.
#[cfg(feature = "dpdk")]
#[test]
fn so_it_is_by_dpdk() {
    let Some(lab) = pair("dpdk") else { return };
    check(crate::by_af_packet(System::stated_between(lab)), ["b", "a"], 10_000);
}
