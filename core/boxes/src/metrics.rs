//! What a reactor counts. Plain numbers of one thread; the cold path copies them out.

/// Counters of one reactor, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Turns that found something to do.
    pub turns_busy: u64,
    /// Visits of links and shims that found something.
    pub visits_found: u64,
    /// Messages handed to agents.
    pub delivered: u64,
    /// Messages copied out of frames or queues, because their agent could not take them at once.
    pub copied_out: u64,
    /// Messages that came before others which they must be processed after.
    pub held_back: u64,
    /// Messages that waited in an outbox.
    pub kept: u64,
    /// Messages that came twice.
    pub duplicates: u64,
    /// Messages refused, here or by their receiver.
    pub refused: u64,
    /// Messages that came back, because their agent was not there.
    pub returned: u64,
    /// Messages handed back to their senders, because their agent's inbox was full.
    pub handed_back: u64,
    /// Agents that were found to wait for themselves.
    pub cycles: u64,
    /// Messages of types that this process does not know.
    pub unknown_schema: u64,
    /// Messages whose bytes are no message of the type that they claim.
    pub invalid: u64,
    /// Answers for agents that are gone.
    pub stray_answers: u64,
    /// Reactors of this box that were sent something since the last flush, a bit each.
    pub(crate) rung: u64,
}
