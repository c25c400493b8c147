//! What a transformation is: one value with six parts, in the order of [`Transformation`]'s methods.
//!
//! A transformation replaces an agent by agents that together behave like it; the agent becomes virtual.
//! Its parts are functions of their arguments, so the controller, a box and a checker ask the same value.
//! Does not know places or epochs; does not touch messages.
//! Sources: Ovid §3.2, §5; Escher §2.2.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use thiserror::Error;

use crate::done::NumberSet;
use crate::id::{AgentId, Name, Point, Space};
use crate::merge::MergeFunction;
use crate::path::AgentPath;
use crate::point::PointRange;
use crate::route::Action;
use crate::state::{Captured, StateError};

/// Replaces an agent by agents that together behave like it.
pub trait Transformation: fmt::Debug {
    /// As it is written in a system file, such as `shard = 4`.
    fn label(&self) -> String;

    /// What the agent must be, for this to be a refinement of it.
    fn requires(&self) -> &'static [Requirement];

    /// 1. The agents that replace the one at `path`, which owns `range`: in the order of their ranges.
    /// # Errors
    /// [`RefineError`] when there are none, or more than the agent can be cut into.
    fn expand(&self, path: &AgentPath, range: PointRange) -> Result<Vec<Child>, RefineError>;

    /// 2. What clients' tables say for the agent.
    fn routes(&self, children: &[Child]) -> Action;

    /// 3. How receivers turn the children's messages into the agent's.
    fn merge(&self, children: &[Child]) -> MergeFunction;

    /// 4. Whether the agent has processed a message (of this point; without one, of all points), given
    ///    which children have.
    fn done(&self, children: &[Child], point: Option<Point>, done: &[bool]) -> bool;

    /// 5. The agent's state, from as few of the children's as suffice; `None` for one that is away.
    /// # Errors
    /// [`RefineError`] names a child that is missing, or says why states do not join.
    fn get_state(
        &self,
        children: &[Child],
        states: Vec<Option<AgentState>>,
    ) -> Result<AgentState, RefineError>;

    /// 5, back. The children's states, in their order.
    /// # Errors
    /// [`RefineError`] when the state does not split.
    fn init_state(
        &self,
        children: &[Child],
        state: AgentState,
    ) -> Result<Vec<AgentState>, RefineError>;

    /// 6. The stages that it puts between a client and the children, outermost first.
    fn stages(&self) -> Vec<String>;

    /// The same with so many children, where their number may change while they run.
    fn recut(&self, _children: usize) -> Option<Rc<dyn Transformation>> {
        None
    }
}

/// One of the agents that replace an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its path.
    pub path: AgentPath,
    /// The points that it owns.
    pub range: PointRange,
}

impl Child {
    /// Its logical id.
    pub fn id(&self) -> AgentId {
        self.path.logical_id()
    }
}

/// The state of an agent, physical or virtual: Ovid §3.1's tuple, without identity and functions.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentState {
    /// SV.
    pub variables: Captured,
    /// IM: names of what waits to be processed, with their points.
    pub inbox: BTreeMap<Name, Option<Point>>,
    /// PM, the done box: by source and space.
    pub done: BTreeMap<(AgentId, Space), NumberSet>,
    /// OM: names of what was sent and is not done, by destination.
    pub outbox: BTreeSet<(AgentId, Name)>,
    /// WB.
    pub wedged: bool,
}

impl AgentState {
    /// That of an agent that has not seen or sent any message.
    pub fn new(variables: Captured) -> AgentState {
        AgentState {
            variables,
            inbox: BTreeMap::new(),
            done: BTreeMap::new(),
            outbox: BTreeSet::new(),
            wedged: false,
        }
    }

    /// The state of the agent that these are disjoint parts of: unions, and the `and` of the wedged bits
    /// (Ovid §3.2's mapping for sharding). Variables of the first are taken where `keep_first` says so,
    /// and are otherwise joined.
    /// # Errors
    /// When there is no part, or their variables do not join.
    pub fn union(parts: Vec<AgentState>, keep_first: bool) -> Result<AgentState, RefineError> {
        let mut variables = Vec::new();
        let mut whole: Option<AgentState> = None;
        for part in parts {
            variables.push(part.variables.clone());
            let Some(whole) = &mut whole else {
                whole = Some(part);
                continue;
            };
            whole.inbox.extend(part.inbox);
            whole.outbox.extend(part.outbox);
            whole.wedged &= part.wedged;
            for (space, done) in part.done {
                whole.done.entry(space).or_default().union(&done);
            }
        }
        let mut whole = whole.ok_or(StateError::Nothing)?;
        if !keep_first {
            whole.variables = Captured::join(variables)?;
        }
        Ok(whole)
    }

    /// Parts with these variables: what waits goes to the owner of its point, or to the first; each part
    /// inherits the done box; what was sent stays with the first, the keeper of its space.
    pub fn part(self, variables: Vec<Captured>, ranges: &[PointRange]) -> Vec<AgentState> {
        let owner = |point: &Option<Point>| {
            let owner = point.and_then(|point| ranges.iter().position(|own| own.contains(point)));
            owner.unwrap_or(0)
        };
        let mut parts: Vec<AgentState> = variables.into_iter().map(AgentState::new).collect();
        for part in &mut parts {
            part.done = self.done.clone();
            part.wedged = self.wedged;
        }
        for (name, point) in self.inbox {
            parts[owner(&point)].inbox.insert(name, point);
        }
        if let Some(first) = parts.first_mut() {
            first.outbox = self.outbox;
        }
        parts
    }
}

/// Something that a transformation may require of the agent that it transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// State that splits by point, and messages that have one or go to everybody.
    Keyed,
    /// No state.
    Stateless,
    /// A function of its inputs: no outside service or socket.
    Deterministic,
}

/// What an agent is, as whoever offers its template says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Qualities {
    /// See [`Requirement::Keyed`].
    pub keyed: bool,
    /// See [`Requirement::Stateless`].
    pub stateless: bool,
    /// See [`Requirement::Deterministic`].
    pub deterministic: bool,
}

impl Qualities {
    /// Whether a transformation may be applied to such an agent.
    /// # Errors
    /// [`RefineError::Requires`] names the first thing that the agent is not.
    pub fn check(self, change: &dyn Transformation, path: &AgentPath) -> Result<(), RefineError> {
        let is = |requirement: &Requirement| match requirement {
            Requirement::Keyed => self.keyed,
            Requirement::Stateless => self.stateless,
            Requirement::Deterministic => self.deterministic,
        };
        match change.requires().iter().find(|requirement| !is(requirement)) {
            None => Ok(()),
            Some(requirement) => Err(RefineError::Requires {
                agent: path.clone(),
                change: change.label(),
                requirement: *requirement,
            }),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Requirement::Keyed => {
                "requires a keyed agent: mark its state's maps #[keyed], and give every message a \
                 #[point] or #[broadcast]"
            }
            Requirement::Stateless => {
                "requires an agent without state: shard or replicate this one instead"
            }
            Requirement::Deterministic => {
                "requires a deterministic agent: a shim cannot be run twice, put an agent before it"
            }
        })
    }
}

/// A transformation that is not a refinement of what it was applied to, or of what it found.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum RefineError {
    /// The agent is not as the transformation needs it.
    #[error("{agent}: `{change}` {requirement}")]
    Requires {
        /// Who.
        agent: AgentPath,
        /// The transformation.
        change: String,
        /// What it needs.
        requirement: Requirement,
    },
    /// Too few children, or too many.
    #[error("{agent}: `{change}` makes {given} children; it may make 1 to {max}")]
    Count {
        /// Who.
        agent: AgentPath,
        /// The transformation.
        change: String,
        /// How many.
        given: usize,
        /// How many it may make.
        max: usize,
    },
    /// A child's path would be none.
    #[error(transparent)]
    Path(#[from] crate::path::PathError),
    /// A child whose state is needed is away.
    #[error(
        "the state of {child} is needed, and it is away: try again when `daedal tree` shows it running"
    )]
    Away {
        /// Which.
        child: AgentPath,
    },
    /// States that do not split or join.
    #[error(transparent)]
    State(#[from] StateError),
}
