//! Fuzz target: see the body.
#![no_main]
#![deny(unsafe_code)]

#[path = "../bodies/dpdk_frames.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
