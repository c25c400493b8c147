//! Every bound of the gateway and the store, with its reason.

use std::time::Duration;

/// Longest value. A message body holds 16 MiB and 64 KiB, which leaves room for a key.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Longest key: with the longest value it still fits one message.
pub const KEY_BYTES_MAX: usize = 32 << 10;
/// Longest pattern of KEYS and SCAN: matching costs pattern × key.
pub const PATTERN_BYTES_MAX: usize = 1 << 10;
/// Most arguments of one command, as in Redis.
pub const ARGUMENTS_MAX: usize = 1 << 20;
/// Longest inline command or length line, as in Redis.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Longest command: it has to be here whole before it runs.
pub const COMMAND_BYTES_MAX: usize = 64 << 20;
/// Longest answer that is put together from several, and longest list of keys.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Requests of one connection that may be under way at once.
pub const PIPELINE_MAX: usize = 1024;
/// No further command is parsed while more answer bytes than this wait to be written.
pub const OUTPUT_BYTES_MARK: usize = 1 << 20;
/// An empty buffer of a connection gives back memory above this.
pub const BUFFER_BYTES_KEPT: usize = 64 << 10;
/// Most entries that one SCAN looks at, whatever its COUNT: one turn's worth.
pub const SCAN_COUNT_MAX: u64 = 10_000;
/// A page of SCAN ends behind this many bytes of keys.
pub const SCAN_PAGE_BYTES: usize = 1 << 20;
/// Most bytes of keys that KEYS answers with: one message.
pub const KEYS_BYTES_MAX: usize = 8 << 20;
/// Keys with a deadline that one step of reclaiming looks at: some 100 µs.
pub const RECLAIM_KEYS: usize = 512;
/// How often there is such a step while keys have deadlines: below 1 % of a core.
pub const RECLAIM_EVERY: Duration = Duration::from_millis(20);

/// Most clients of one gateway, if its parameters do not say fewer.
pub const CLIENTS_MAX: usize = 16_384;
/// Most clients that one poll takes in.
pub const ACCEPTS_PER_POLL: usize = 128;
/// Most clients that one poll serves; the others are first next time.
pub const CLIENTS_PER_POLL: usize = 512;
/// Bytes that are read from a client at once.
pub const READ_BYTES: usize = 64 << 10;
/// No further request is sent while more than this are not answered.
pub const ASKS_MARK: usize = 64 << 10;
/// A client with more bytes of answers than this waiting is cut off: its next requests wait long before
/// that, so that only a pipeline of requests for huge values gets there.
pub const CLIENT_OUTPUT_BYTES_MAX: usize = 256 << 20;
/// When clients that had to wait for others' requests are looked at again, unless something happens
/// before; and when a listener that had no descriptors left tries again.
pub const RETRY_AFTER: Duration = Duration::from_millis(2);
/// After this long without a word a client is asked whether it is still there, as in Redis.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(300);
