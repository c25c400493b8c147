//! Replays the fuzzers' corpora on the stable toolchain: `cargo fuzz` needs nightly, this does not.

use std::path::Path;

#[path = "../../../ci/fuzz/bodies/message_body.rs"]
mod message_body;
#[path = "../../../ci/fuzz/bodies/paths.rs"]
mod paths;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).expect("the corpus is checked in") {
        let path = entry.expect("a readable folder").path();
        run(&std::fs::read(path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn the_message_body_corpus_passes() {
    replay("message_body", message_body::run);
}

#[test]
fn the_path_corpus_passes() {
    replay("paths", paths::run);
}
