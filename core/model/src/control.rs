//! The messages of the control plane: what controller, box managers and reactors' ports tell each other.
//!
//! They travel like every other message, so they hold plain integers and text; whoever receives one reads
//! ids, paths and actions out of it, and what cannot be read is refused or left out.
//! Sources: Ovid §6.1 (box managers), §6.3 (controller).

#![expect(missing_docs, reason = "rkyv documents no fields of a variant's resolver; ours all are")]

mod failure;
mod name;
mod read;
mod standing;

use crate::agent::Refusal;
use crate::message;
use crate::state::StateError;

pub use failure::Failure;
pub use name::{BOOTSTRAP_SPACES, BoxNameError, bootstrap_space, manager_path, port_path};
pub use read::Learned;
pub use standing::{BoxState, ProcessState, Standing};

/// One life of a physical agent: what a box must know to run it, and what it reports when it does.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosting {
    /// Path with incarnation.
    pub path: String,
    /// The code, by the name under which boxes know it.
    pub template: String,
    /// What the code is started with.
    pub parameters: String,
    /// Path of the agent that its messages come from, as their destinations see it.
    pub source: String,
    /// The space of its messages.
    pub space: u32,
    /// Epoch of the route to it.
    pub epoch: u32,
    /// The reactor that it is pinned to, or runs in.
    pub reactor: Option<u8>,
    /// The first point that it owns.
    pub first: u64,
    /// The last point that it owns.
    pub last: u64,
    /// How its parent was cut when it began.
    pub cut: Cut,
}

/// How a virtual agent is cut: into how many children, and by which change of that.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// An epoch, higher with each change; 0: it is cut as it was stated.
    pub since: u32,
    /// How many children; 0 where nobody may change that.
    pub children: u32,
}

/// A life that was ended so that others go on from where it was. Its reactor keeps what they need.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wedged {
    /// Which life.
    pub hosting: Hosting,
    /// How its parent is cut from then on.
    pub into: Cut,
    /// What its constant fields were, which must be the same in all lives that one goes on from.
    pub constants: Vec<ConstantEntry>,
}

/// A field of which all parts of an agent have the same.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConstantEntry {
    /// Its name.
    pub field: String,
    /// A hash of its value.
    pub hash: u64,
}

/// Where something of a life is kept that was ended.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// The life's path, with incarnation.
    pub path: String,
    /// Path of the port of the reactor that it ran in.
    pub port: String,
    /// The way to that port. The next controller could not be asked for it: it waits to hear what runs, and a box
    /// says that once all that it was told to start runs.
    pub way: Knowledge,
}

/// What the controller is told and asked.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToController {
    /// A box is there. Answered by `Registered`, or refused.
    Register {
        /// Its name.
        name: String,
        /// How it is reached.
        address: String,
        /// How many reactors it has.
        reactors: u8,
        /// Of this process; no other has the same.
        incarnation: u64,
        /// The id that it had under an earlier controller; 0: none.
        agent_box: u16,
    },
    /// What a box runs. Answered by `Reported`. From here on it starts only what this controller says.
    Report {
        /// Its name.
        name: String,
        /// Of this process.
        incarnation: u64,
        /// Of `Registered`: which controller it answers.
        term: u32,
        /// What runs.
        running: Vec<Hosting>,
        /// What was ended for others, who may not have fetched all of it.
        wedged: Vec<Wedged>,
    },
    /// A box ends, and what it runs with it. Answered by `Reported`.
    Gone {
        /// Its name.
        name: String,
        /// Of this process.
        incarnation: u64,
    },
    /// A box is there. What matters is that it is sent: a controller that has restarted is noticed by it.
    /// Answered by `Reported`.
    Here,
    /// Where messages for `destination` go. Answered by `Learned`, or refused.
    Lookup {
        /// Logical id of the agent that was sent to.
        destination: u64,
        /// Path of the sender, as destinations see it.
        source: String,
    },
    /// Adds an agent of the top level. Answered by `Created` once it runs, or refused.
    Create {
        /// Its path.
        path: String,
        /// What it is, by a template of the system.
        template: String,
        /// What it is started with; empty: what the template says.
        parameters: String,
        /// The box that it must run in.
        agent_box: Option<String>,
        /// The reactor that it must run in.
        reactor: Option<u8>,
    },
    /// Ends an agent of the top level. Answered by `Stopped` once it has ended, or refused.
    Stop {
        /// Its path.
        path: String,
    },
    /// Cuts an agent into so many shards from now on, while it runs. Answered by `Resharded`, or refused.
    Reshard {
        /// Its path.
        path: String,
        /// How many shards.
        shards: u32,
    },
    /// Answered by `Text`.
    Describe(View),
    /// Which boxes there are. Answered by `Boxes`.
    Boxes,
    /// From itself: it is time to start again what did not start. Not answered.
    Retry,
}

/// What the controller can describe.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The tree, and where its leaves run.
    Tree,
    /// What it tells clients.
    Routes,
}

/// What the controller answers.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromController {
    /// The box is part of the system, and is now asked for a `Report`.
    Registered {
        /// Its id.
        agent_box: u16,
        /// Which controller this is; later ones have higher numbers.
        term: u32,
    },
    /// A report, or an end, was heard.
    Reported,
    /// It was not done.
    Refused(Reason, String),
    /// All that is needed to reach an agent.
    Learned(Knowledge),
    /// It runs.
    Created,
    /// It has ended.
    Stopped,
    /// It is cut as was asked for, and all its parts run.
    Resharded {
        /// How long it took, in nanoseconds.
        took_ns: u64,
        /// For how long of that some part did not run, in nanoseconds.
        paused_ns: u64,
    },
    /// A description.
    Text(String),
    /// The boxes, by name; those that have not come are last.
    Boxes(Vec<BoxState>),
}

/// Why a look-up or another request was refused; the text beside it says more.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such agent.
    UnknownAgent,
    /// The sibling rule forbids it.
    NotASibling,
    /// Too much is asked.
    Overloaded,
    /// What was written does not fit.
    Invalid,
    /// It may be done later, if it is asked for again just so.
    NotNow,
}

impl Reason {
    /// As an agent is told that sent a message.
    pub fn refusal(self) -> Refusal {
        match self {
            Reason::UnknownAgent | Reason::Invalid => Refusal::UnknownAgent,
            Reason::NotASibling => Refusal::NotASibling,
            Reason::Overloaded | Reason::NotNow => Refusal::Overloaded,
        }
    }
}

/// Routes, places and boxes, as the controller tells them.
#[message(crate = crate)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// What tables say, by logical id: the agent that was asked for first, then its parts.
    pub routes: Vec<RouteEntry>,
    /// Where physical agents run.
    pub places: Vec<PlaceEntry>,
    /// How the boxes of those places are reached.
    pub boxes: Vec<BoxEntry>,
}

/// One route.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Logical path of the destination: its hash is the table's key, and the sibling rule is judged by it.
    pub path: String,
    /// Version of the entry.
    pub epoch: u32,
    /// What is done.
    pub action: ActionEntry,
}

/// [`Action`](crate::route::Action), in plain integers.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionEntry {
    /// To a physical id.
    To(u64),
    /// By point: last point and child of each share.
    PickPoint(Vec<(u64, u64)>),
    /// In turn.
    PickRoundRobin(Vec<(u64, u64)>),
    /// To the one with the fewest messages outstanding.
    PickLeastOutstanding(Vec<(u64, u64)>),
    /// To all; so many of their replies must say the same.
    Each(Vec<u64>, u32),
    /// Through stages, then to a logical id.
    Through(Vec<u64>, u64),
    /// It waits.
    Hold,
    /// Nobody.
    Unknown,
}

/// One place.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceEntry {
    /// Physical id of the agent.
    pub physical: u64,
    /// The box that it runs in.
    pub agent_box: u16,
    /// The reactor that it runs in.
    pub reactor: u8,
}

/// One box.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxEntry {
    /// Its id.
    pub agent_box: u16,
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub address: String,
}

/// What a box manager is told.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToManager {
    /// Starts an agent. Answered by `Started`, `Stale`, or refused.
    Start {
        /// The agent's life.
        hosting: Hosting,
        /// The lives that it goes on from; none: it begins anew.
        legacies: Vec<Legacy>,
        /// Who says so.
        term: u32,
        /// Which process is meant.
        incarnation: u64,
    },
    /// Ends a life so that others go on from it. Answered by `Wedged`, `Stale`, or refused.
    Wedge {
        /// Its path, with incarnation.
        path: String,
        /// The points of those others.
        parts: Vec<PartEntry>,
        /// How its parent is cut then.
        into: Cut,
        /// Who says so.
        term: u32,
        /// Which process is meant.
        incarnation: u64,
    },
    /// What is kept of a life that was ended is needed no more. Answered by `Stopped` or `Stale`.
    Collect {
        /// Its path, with incarnation.
        path: String,
        /// Who says so.
        term: u32,
        /// Which process is meant.
        incarnation: u64,
    },
    /// Ends an agent. Answered by `Stopped`, `Stale`, or refused.
    Stop {
        /// Its path.
        path: String,
        /// Who says so.
        term: u32,
        /// Which process is meant.
        incarnation: u64,
    },
    /// From the box's own turn: the controller's process is another than before. Not answered.
    ControllerIsNew,
    /// From itself: time to be heard. Not answered.
    Beat,
}

/// What a box manager answers.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromManager {
    /// It runs; maybe it did before, as another life than the one asked for.
    Started(Hosting),
    /// It does not run.
    Stopped,
    /// It does not run any more, and its reactor keeps what others need.
    Wedged(Wedged),
    /// It was not done: it was meant for another process, or came from an earlier controller.
    Stale,
    /// It cannot be done.
    Refused(Failure),
}

/// What a reactor's port is told.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToPort {
    /// Runs an agent, which goes on from these lives, if there are any. Answered by `Done`, or refused.
    Host(Hosting, Vec<Legacy>),
    /// Ends an agent, and keeps a part of what it was for each of these ranges. Answered by `Ended`, or refused.
    Wedge {
        /// Its path, with incarnation.
        path: String,
        /// The ranges.
        parts: Vec<PartEntry>,
    },
    /// From another port: the first part that is kept of a life for these points. Answered by `Part`, or refused
    /// where nothing is.
    Fetch {
        /// The life's path, with incarnation.
        path: String,
        /// The points.
        range: PartEntry,
        /// From which byte on.
        from: u64,
    },
    /// From another port, which has all that it needs: what is kept of a life for these points is that port's
    /// from now on. Answered by `Done`, also where nothing is kept.
    Take {
        /// The life's path, with incarnation.
        path: String,
        /// The points.
        range: PartEntry,
    },
    /// From itself: a port that did not answer is asked again. Not answered.
    AskAgain {
        /// Path of the agent that needs it.
        path: String,
    },
    /// From the reactor's own turn: an agent was made of parts of earlier lives, and can run. Not answered.
    Made {
        /// Its path, with incarnation.
        path: String,
        /// Why it was not, if it was not.
        refused: Option<Failure>,
    },
    /// From the reactor's own turn: a life has ended so that others go on from it. Not answered.
    Ended {
        /// Its path, with incarnation.
        path: String,
        /// What its constant fields were.
        constants: Vec<ConstantEntry>,
    },
    /// Forgets what is kept of a life. Not answered.
    Collect {
        /// Its path, with incarnation.
        path: String,
    },
    /// Ends an agent. Answered by `Done`.
    Unhost {
        /// Its path, with incarnation.
        path: String,
    },
    /// Takes the state of an agent, between two of its transitions. Answered by `Captured`, or refused.
    Capture {
        /// Its path, with or without incarnation.
        path: String,
        /// Only if it has been held for who has this number, since that was answered.
        held_by: Option<u64>,
    },
    /// Holds an agent: it makes no transition until it is released, or for a second. Answered by `Done` once nothing
    /// changes it any more, or refused.
    Hold {
        /// Its path, with or without incarnation.
        path: String,
        /// A number of who wants that, and no other.
        by: u64,
    },
    /// Lets an agent go on. Answered by `Done`.
    Release {
        /// Its path, as it was written to hold it.
        path: String,
        /// The number by which it is held.
        by: u64,
    },
    /// From the reactor's own turn: an agent is held. Not answered.
    Held {
        /// The path that was named.
        path: String,
        /// Who holds it.
        by: u64,
        /// Why it is not, if it is not.
        refused: Option<Failure>,
    },
    /// How the reactor runs. Answered by `Described`.
    Describe,
    /// From the reactor's own turn: what it was asked to say of itself. Not answered.
    Described(String),
    /// From the controller: what was held or has changed. Not answered.
    Learn(Knowledge),
    /// From another box: a route of this epoch, or an older one, led to where nobody is. Not answered.
    Forget {
        /// Logical id of the destination, as the sender named it.
        destination: u64,
        /// Epoch of the route that was used.
        epoch: u32,
    },
    /// From the reactor's own turn: a message waits, for there is no route for it. Not answered.
    Miss {
        /// Logical id of the destination, as the sender named it.
        destination: u64,
        /// Path of the sender, as destinations see it.
        source: String,
    },
    /// From itself: it is time to look up what came too soon after an answer. Not answered.
    MissAgain {
        /// Logical id of the destination.
        destination: u64,
        /// Path of the sender.
        source: String,
    },
    /// From the reactor's own turn: a command was carried out. Not answered.
    Finished {
        /// The path that the command named.
        path: String,
        /// Why it failed, if it did.
        refused: Option<Failure>,
        /// The state, if it was to be captured.
        state: Option<Vec<u8>>,
    },
    /// From the box's own turn: the controller's process is another than before. Not answered.
    ControllerIsNew,
}

/// What a reactor's port answers.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromPort {
    /// It is done.
    Done,
    /// A life has ended, and what it was is kept; what its constant fields were.
    Ended(Vec<ConstantEntry>),
    /// Some of what is kept of a life.
    Part(PartOf),
    /// A state: what [`Captured::from_bytes`](crate::state::Captured::from_bytes) reads.
    Captured(Vec<u8>),
    /// How the reactor runs, for people: its driver and mode, how it idles, where it is pinned.
    Described(String),
    /// It cannot be done.
    Refused(Failure),
}

/// A range of points.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartEntry {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

/// Some bytes of a part of what was a life.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The part's points.
    pub range: PartEntry,
    /// The bytes, from where they were asked for.
    pub bytes: Vec<u8>,
    /// How many bytes the part has.
    pub total: u64,
    /// Whether no part behind it is kept for points that were asked for.
    pub is_last: bool,
}

/// What the controller's journal is told.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// How many spaces more.
    pub spaces: u32,
    /// How many epochs more.
    pub epochs: u32,
}

/// What the journal answers, once it is synced: the numbers below, down to as many as were asked for, are
/// the asker's, and will never be anybody else's.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// One more than the highest space.
    pub space: u32,
    /// One more than the highest epoch.
    pub epoch: u32,
}

impl Raised {
    /// The answer where nothing was given, for it could not be written: the asker may ask again.
    pub const NOTHING: Raised = Raised { space: 0, epoch: 0 };

    /// So many more of each; `None`: there are not so many. Spaces end where those of processes begin that no
    /// controller gives.
    pub fn beyond(self, spaces: u32, epochs: u32) -> Option<Raised> {
        let space = self.space.checked_add(spaces).filter(|space| *space <= BOOTSTRAP_SPACES)?;
        Some(Raised { space, epoch: self.epoch.checked_add(epochs)? })
    }
}

/// The system's own agents do not move: what they know, they learn again.
pub(crate) fn not_restored<S>() -> Result<S, StateError> {
    Err(StateError::Forbidden("agents of the control plane learn their state again".to_owned()))
}
