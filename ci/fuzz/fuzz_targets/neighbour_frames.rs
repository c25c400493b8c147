//! Fuzz target: see the body.
#![no_main]

#[path = "../bodies/neighbour_frames.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
