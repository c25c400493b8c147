//! Replays the fuzzers' corpora on the stable toolchain: `cargo fuzz` needs nightly, this does not.

#[cfg(feature = "dpdk")]
#[path = "../../ci/fuzz/bodies/dpdk_frames.rs"]
mod dpdk_frames;
#[path = "../../ci/fuzz/bodies/ends.rs"]
mod ends;
#[path = "../../ci/fuzz/bodies/frame_records.rs"]
mod frame_records;
#[path = "../../ci/fuzz/bodies/kernel_datagrams.rs"]
mod kernel_datagrams;
#[path = "../../ci/fuzz/bodies/link_header.rs"]
mod link_header;
#[path = "../../ci/fuzz/bodies/message_header.rs"]
mod message_header;
#[path = "../../ci/fuzz/bodies/neighbour_frames.rs"]
mod neighbour_frames;
#[path = "../../ci/fuzz/bodies/received_frames.rs"]
mod received_frames;
#[path = "../../ci/fuzz/replay.rs"]
mod replay;
#[path = "../../ci/fuzz/bodies/sealed_frames.rs"]
mod sealed_frames;
#[path = "../../ci/fuzz/bodies/segments.rs"]
mod segments;
#[path = "../../ci/fuzz/bodies/sessions.rs"]
mod sessions;
#[path = "../../ci/fuzz/bodies/shm_greetings.rs"]
mod shm_greetings;
#[path = "../../ci/fuzz/bodies/shm_rings.rs"]
mod shm_rings;
#[path = "../../ci/fuzz/bodies/xdp_rings.rs"]
mod xdp_rings;

use replay::replay;

#[cfg(feature = "dpdk")]
#[test]
fn the_dpdk_frames_corpus_passes() {
    replay("dpdk_frames", dpdk_frames::run);
}

#[test]
fn the_sealed_frames_corpus_passes() {
    replay("sealed_frames", sealed_frames::run);
}

#[test]
fn the_kernel_datagrams_corpus_passes() {
    replay("kernel_datagrams", kernel_datagrams::run);
}

#[test]
fn the_link_header_corpus_passes() {
    replay("link_header", link_header::run);
}

#[test]
fn the_message_header_corpus_passes() {
    replay("message_header", message_header::run);
}

#[test]
fn the_frame_records_corpus_passes() {
    replay("frame_records", frame_records::run);
}

#[test]
fn the_neighbour_frames_corpus_passes() {
    replay("neighbour_frames", neighbour_frames::run);
}

#[test]
fn the_received_frames_corpus_passes() {
    replay("received_frames", received_frames::run);
}

#[test]
fn the_segments_corpus_passes() {
    replay("segments", segments::run);
}

#[test]
fn the_sessions_corpus_passes() {
    replay("sessions", sessions::run);
}

#[test]
fn the_shm_greetings_corpus_passes() {
    replay("shm_greetings", shm_greetings::run);
}

#[test]
fn the_shm_rings_corpus_passes() {
    replay("shm_rings", shm_rings::run);
}

#[test]
fn the_xdp_rings_corpus_passes() {
    replay("xdp_rings", xdp_rings::run);
}
