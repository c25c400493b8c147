//! Bugs that the simulator puts in, to see that they are found. Without the feature `planted` there are
//! none: `is` is `false`, and what it guards is not compiled.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A sender says that everything before a message is done.
    FloorOverstated,
    /// A frame counts as done when it is read, whatever became of its messages.
    DoneOnReceipt,
    /// A reply is told twice.
    AnsweredTwice,
    /// Every fourth timer is lost.
    TimersLost,
    /// A transition does not wake what waits for it.
    WakeLost,
    /// A message that came back is not sent again.
    ReturnedLost,
    /// The answer to a part of a broadcast is taken for the whole.
    PartForWhole,
    /// A message that came back by ring counts as done.
    RingReturnedLost,
    /// What comes before its turn is processed at once.
    EarlyTaken,
    /// A message that leaves again takes a new place in its line.
    PlaceAnew,
    /// What stays in order changes to a new way while messages are under way by the old one.
    OldWayKept,
    /// The space of an agent that has ended is retired while its messages are under way.
    RetiredEarly,
    /// A message to one of several copies goes to all of them.
    CopiesAllAsked,
    /// Who goes on from a life does not know what that has done.
    DoneBoxLeft,
    /// Nor what it would have sent itself.
    TimersLeft,
    /// Nor what time it was for it.
    StampLeft,
    /// What a life leaves is taken over twice.
    PartTwice,
    /// A life that has said what it was goes on.
    LifeGoesOn,
    /// What goes back from a life that ends stays written down as done.
    GoneBackDone,
    /// What is for a part of a life's points reaches all that it has.
    PartReachesAll,
    /// A message that was handed back for want of room counts as done.
    FullIsDone,
    /// What is handed back for want of room stays written down as done.
    FullStaysDone,
    /// Those behind it in its line do not wait for it.
    FullPasses,
    /// Who takes no more for now is never tried again.
    FullStaysFull,
    /// A life that waits for answers too long says that it has ended, and goes on.
    LateGoesOn,
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Puts a bug into every turn of this thread; `None` takes it out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether a bug is in.
#[inline(always)]
pub(crate) fn is(bug: Bug) -> bool {
    #[cfg(feature = "planted")]
    return PLANTED.get() == Some(bug);
    #[cfg(not(feature = "planted"))]
    {
        let _ = bug;
        false
    }
}
