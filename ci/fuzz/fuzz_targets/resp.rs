//! Any bytes as a Redis client's.
#![no_main]

#[path = "../bodies/resp.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
