//! Drivers allocate nothing after their start, in either direction, trains included; one of shared memory nothing once
//! its peers are there.

use std::collections::VecDeque;
use std::net::SocketAddr;

use daedal_allocations::allocations;
use daedal_net::driver::kernel::{self, Kernel};
use daedal_net::driver::shm::{self, Options, Shm};
use daedal_net::driver::{Driver, Outgoing, Received};

/// Sends a hundred frames from `a` to `b` a hundred times: how many allocations that takes.
fn count<D: Driver>([a, b]: &mut [D; 2]) -> usize {
    let mut queue: VecDeque<Outgoing> = VecDeque::with_capacity(256);
    let mut into: Vec<Received> = Vec::with_capacity(256);
    let mut received = 0;
    let (count, ()) = allocations(|| {
        for round in 0..100 {
            for index in 0..100 {
                let mut frame = a.pool().take().expect("frames come back when they are sent");
                frame.truncate(64 + 16 * ((round + index / 10) % 3));
                queue.push_back(Outgoing { frame, to: b.address() });
            }
            a.transmit(0, &mut queue);
            assert!(queue.is_empty());
            for _ in 0..32 {
                received += b.receive(0, 32, &mut into);
                into.clear();
            }
        }
    });
    assert_eq!(received, 10_000);
    count
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[test]
fn nothing_is_allocated_after_start() {
    let start = || {
        let config =
            kernel::Config { frames: 256, receive_buffers: 64, ..kernel::Config::new(any()) };
        Kernel::start(&config).expect("loopback is there")
    };
    assert_eq!(count(&mut [start(), start()]), 0);
}

#[test]
fn with_shared_memory_nothing_is_allocated_once_a_peer_is_there() {
    for copy in [false, true] {
        let start = || {
            let options = Options { copy };
            let config = shm::Config { frames: 256, ..shm::Config::new(any(), options) };
            Shm::start(&config).expect("loopback is there")
        };
        let mut pair = [start(), start()];
        assert!(count(&mut pair) > 0);
        assert_eq!(count(&mut pair), 0);
    }
}
