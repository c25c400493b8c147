//! The `daedal` command, for the key-value store that it demonstrates.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut templates = daedal::Templates::new();
    kvs::templates(&mut templates);
    daedal_cli::run(templates)
}
