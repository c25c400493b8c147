//! Any bytes as a system file.
#![no_main]

#[path = "../bodies/system_file.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
