//! Any bytes as what a process says when it hands over a ring of shared memory: refused, or it reads the same when it is
//! written again, and is of a ring that there can be.

use daedal_net::driver::shm::hello::{BYTES, Hello};

/// One input.
pub fn run(data: &[u8]) {
    let Ok(hello) = Hello::parse(data) else { return };
    assert_eq!(data.len(), BYTES);
    assert_eq!(hello.emit()[..], *data);
    assert!(hello.from.port() != 0 && !hello.from.ip().is_unspecified());
    let sizes = hello.sizes;
    assert!(sizes.slots().is_power_of_two() && sizes.payload_bytes() < sizes.stride() as usize);
    assert!(sizes.bytes() > sizes.slots() as usize * sizes.stride() as usize);
}
