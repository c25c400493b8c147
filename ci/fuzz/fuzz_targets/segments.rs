//! Fuzz target: see the body.
#![no_main]

#[path = "../bodies/segments.rs"]
mod body;
#[allow(dead_code, reason = "each target uses its part")]
#[path = "../bodies/ends.rs"]
mod ends;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
