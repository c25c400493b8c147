//! A fuzzer's corpus, replayed on the stable toolchain.

use std::path::Path;

/// Runs a target's body over all files of its corpus.
pub fn replay(target: &str, run: fn(&[u8])) {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let corpora = above.map(|it| it.join("ci/fuzz/corpus")).find(|it| it.is_dir());
    let corpus = corpora.expect("the corpora are checked in").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).expect("the corpus is checked in") {
        let path = entry.expect("a readable folder").path();
        run(&std::fs::read(path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}
