//! The kernel driver allocates nothing after its start, in either direction, trains included.

use std::collections::VecDeque;
use std::net::SocketAddr;

use daedal_allocations::allocations;
use daedal_net::driver::kernel::{Config, Kernel};
use daedal_net::driver::{Driver, Outgoing, Received};

#[test]
fn nothing_is_allocated_after_start() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let start = || {
        let config = Config { frames: 256, receive_buffers: 64, ..Config::new(any) };
        Kernel::start(&config).expect("loopback is there")
    };
    let (mut a, mut b) = (start(), start());
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
    assert_eq!(count, 0);
}
