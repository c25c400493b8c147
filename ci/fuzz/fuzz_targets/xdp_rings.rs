//! Fuzz target: see the body.
#![no_main]

#[path = "../bodies/xdp_rings.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
