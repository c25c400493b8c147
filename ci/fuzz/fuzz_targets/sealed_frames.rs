//! Fuzz target: see the body.
#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
#[path = "../bodies/ends.rs"]
mod ends;
#[path = "../bodies/sealed_frames.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
