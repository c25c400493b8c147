//! Replays a fuzzer's corpus on the stable toolchain: the control plane, with an agent that is cut in shards.

use std::path::Path;

#[path = "../../ci/fuzz/bodies/control_messages.rs"]
mod control_messages;

#[test]
fn the_control_messages_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/fuzz/corpus/control_messages");
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).expect("the corpus is checked in") {
        let path = entry.expect("a readable folder").path();
        control_messages::run(&std::fs::read(path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}
