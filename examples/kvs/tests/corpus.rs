//! The fuzzer's inputs, by hand and kept, replayed without a fuzzer.

#[path = "../../../ci/fuzz/bodies/resp.rs"]
mod body;

#[test]
fn the_corpus_is_answered_the_same_however_it_is_cut() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ci/fuzz/corpus/resp");
    let mut inputs = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        body::run(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 7, "only {inputs} files in {corpus}");
}
