//! What test frames hold: bytes that are a function of a number, so that one that was altered is seen.

use std::net::SocketAddr;

use daedal_net::driver::Received;

pub fn fill(seed: u64, bytes: &mut [u8]) {
    bytes.fill(seed as u8);
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
}

pub fn assert_filled(received: &Received, from: SocketAddr, seed: u64, bytes: usize) {
    let mut expect = vec![0; bytes];
    fill(seed, &mut expect);
    assert_eq!(received.from, from);
    assert!(received.frame[..] == expect[..], "frame {seed} of {bytes} bytes was altered");
    assert_eq!(received.frame.as_ptr() as usize % 16, 42 % 16);
}
