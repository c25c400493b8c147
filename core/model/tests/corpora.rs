//! Replays the fuzzers' corpora on the stable toolchain: `cargo fuzz` needs nightly, this does not.

#[path = "../../../ci/fuzz/bodies/message_body.rs"]
mod message_body;
#[path = "../../../ci/fuzz/bodies/paths.rs"]
mod paths;
#[path = "../../../ci/fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn the_message_body_corpus_passes() {
    replay("message_body", message_body::run);
}

#[test]
fn the_path_corpus_passes() {
    replay("paths", paths::run);
}
