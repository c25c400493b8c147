// Any bytes as a Redis client's: answered alike however they are cut, and never with a panic. Included by
// the fuzz target and by the stable test that replays its corpus.

/// One run of the target.
pub fn run(bytes: &[u8]) {
    const NOW_NS: u64 = 1_800_000_000_000_000_000;
    let mut whole = kvs::local::Local::new(3);
    let expect = whole.say(bytes, NOW_NS);
    for length in [1, 7] {
        let mut cut = kvs::local::Local::new(3);
        let got: Vec<u8> = bytes.chunks(length).flat_map(|piece| cut.say(piece, NOW_NS)).collect();
        assert!(got == expect, "cut into {length}: {}", String::from_utf8_lossy(&got));
        assert_eq!(cut.is_finished(), whole.is_finished());
    }
}
