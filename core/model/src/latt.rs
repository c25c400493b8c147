//! The Logical Agent Transformation Tree (LATT): every agent of the system, from the system agent, whose
//! path is empty, through virtual agents, which were transformed, to the physical ones, which run.
//!
//! Knows what there is, not where or whether it runs. Invariant: no two nodes have one logical id; each
//! node but the root has its parent in the tree.
//! Source: Ovid §3.3.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use thiserror::Error;

use crate::id::AgentId;
use crate::path::AgentPath;
use crate::place::Wish;
use crate::point::PointRange;
use crate::refine::{Child, Qualities, RefineError, Transformation};

/// Path of the controller, which is not placed but started with its box.
pub const CONTROLLER: &str = "controller";
/// Path of the agent that keeps what the controller must not forget.
pub const JOURNAL: &str = "controller-journal";
/// How the paths of box managers and reactors' ports begin: `box-NAME`, `box-NAME-K`.
pub const BOX_PREFIX: &str = "box-";

/// Most agents of a tree, virtual ones included.
pub const AGENTS_MAX: usize = 65_536;

/// An agent and what it must become.
#[derive(Clone, Debug, Default)]
pub struct Specification {
    /// The code that runs, by the name under which boxes know it.
    pub template: String,
    /// What the code is started with, in its own words.
    pub parameters: String,
    /// What the code is.
    pub qualities: Qualities,
    /// What it becomes, outermost first.
    pub transforms: Vec<Rc<dyn Transformation>>,
    /// What single parts of it become instead, by path.
    pub parts: BTreeMap<AgentPath, Vec<Rc<dyn Transformation>>>,
    /// Where its parts are wished to run.
    pub wish: Wish,
}

/// The tree.
#[derive(Clone, Debug, Default)]
pub struct Latt {
    nodes: BTreeMap<AgentId, Node>,
    top: Vec<AgentId>,
    /// By agent of the top level.
    specs: BTreeMap<AgentId, Specification>,
}

/// An agent of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its path, without incarnation.
    pub path: AgentPath,
    /// The points that it owns.
    pub range: PointRange,
    /// Whether it runs, or others for it.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// It was transformed.
    Virtual {
        /// Into what.
        transformation: Rc<dyn Transformation>,
        /// The agents that it became.
        children: Vec<Child>,
    },
    /// It runs.
    Physical(Leaf),
}

/// A physical agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The code.
    pub template: String,
    /// What it is started with.
    pub parameters: String,
    /// Path of the agent that its messages come from, as their destinations see it.
    pub source: AgentPath,
    /// Where it is wished to run.
    pub wish: Wish,
}

/// An agent that cannot be added.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LattError {
    /// Another agent has its id.
    #[error("{path} has the same id as {taken}, which is in the tree: choose another name")]
    Taken {
        /// The path.
        path: AgentPath,
        /// Who has the id.
        taken: AgentPath,
    },
    /// A name that is kept for the system's own agents.
    #[error(
        "{path}: `controller`, `controller-journal` and names with `box-` before them are the system's own: choose another name"
    )]
    Reserved {
        /// The path.
        path: AgentPath,
    },
    /// Not a name of the top level.
    #[error(
        "{path} lies inside of another agent, whose parts come from its transformations: write one name, without `/`"
    )]
    NotTop {
        /// The path.
        path: AgentPath,
    },
    /// More than [`AGENTS_MAX`] agents.
    #[error("{path}: the tree has {AGENTS_MAX} agents already, which is its bound: transform less")]
    Full {
        /// The path.
        path: AgentPath,
    },
    /// A transformation that does not fit.
    #[error(transparent)]
    Refine(#[from] RefineError),
}

impl Latt {
    /// Adds an agent of the top level with all that it becomes.
    /// # Errors
    /// [`LattError`]; nothing was added then.
    pub fn add(&mut self, path: &AgentPath, spec: &Specification) -> Result<(), LattError> {
        if path.depth() != 1 {
            return Err(LattError::NotTop { path: path.clone() });
        }
        if is_reserved(path) {
            return Err(LattError::Reserved { path: path.clone() });
        }
        let mut added = BTreeMap::new();
        let root = Child { path: path.with_incarnation(1), range: PointRange::ALL };
        self.grow(&mut added, &root, spec, &spec.transforms, path)?;
        self.nodes.append(&mut added);
        self.top.push(root.id());
        self.specs.insert(root.id(), spec.clone());
        Ok(())
    }

    /// Cuts the agent at `path` into another number of children.
    /// # Errors
    /// [`LattError`]; nothing was changed then. An agent that cannot be cut so stays as it is.
    pub fn recut(&mut self, path: &AgentPath, children: usize) -> Result<(), LattError> {
        let top = path.top();
        let Some(mut spec) = self.specs.get(&top.logical_id()).cloned() else { return Ok(()) };
        let mut own = spec.transforms_of(path);
        let Some(other) = own.first().and_then(|first| first.recut(children)) else {
            return Ok(());
        };
        own[0] = other;
        spec.parts.insert(path.logical(), own);
        let mut changed = self.clone();
        let index = changed.top.iter().position(|id| *id == top.logical_id());
        changed.remove(&top);
        changed.add(&top, &spec)?;
        if let (Some(index), Some(last)) = (index, changed.top.pop()) {
            changed.top.insert(index, last);
        }
        *self = changed;
        Ok(())
    }

    /// The agent whose number of children may change, nearest above this one, which need not be there.
    pub fn cut_above(&self, path: &AgentPath) -> Option<&Node> {
        let mut above = path.parent();
        while let Some(path) = above {
            let found = self.at(&path);
            if found.is_some_and(Node::may_be_recut) {
                return found;
            }
            above = path.parent();
        }
        None
    }

    /// Removes an agent of the top level with all that it became, and gives its physical agents.
    pub fn remove(&mut self, path: &AgentPath) -> Vec<AgentPath> {
        let id = path.logical_id();
        if path.depth() != 1 || !self.top.contains(&id) {
            return Vec::new();
        }
        let leaves = self.leaves_of(id).map(|(node, _)| node.path.clone()).collect();
        self.top.retain(|top| *top != id);
        self.specs.remove(&id);
        self.nodes.retain(|_, node| node.path.top().logical_id() != id);
        leaves
    }

    /// The agent of this logical id.
    pub fn get(&self, id: AgentId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The agent at this path, whichever version or incarnation it names.
    pub fn at(&self, path: &AgentPath) -> Option<&Node> {
        self.get(path.logical_id())
    }

    /// The agents of the top level, in the order in which they were added.
    pub fn top(&self) -> impl Iterator<Item = &Node> {
        self.top.iter().filter_map(|id| self.get(*id))
    }

    /// All physical agents, top level by top level.
    pub fn leaves(&self) -> impl Iterator<Item = (&Node, &Leaf)> {
        self.top.iter().flat_map(|id| self.leaves_of(*id))
    }

    /// The physical agents that the one with this logical id has become, or is.
    pub fn leaves_of(&self, id: AgentId) -> impl Iterator<Item = (&Node, &Leaf)> {
        self.below(id).into_iter().filter_map(|node| match &node.kind {
            Kind::Physical(leaf) => Some((node, leaf)),
            Kind::Virtual { .. } => None,
        })
    }

    /// An agent and all that it became: each before its children.
    pub fn below(&self, id: AgentId) -> Vec<&Node> {
        let mut left = vec![id];
        let mut nodes = Vec::new();
        while let Some(node) = left.pop().and_then(|id| self.get(id)) {
            nodes.push(node);
            if let Kind::Virtual { children, .. } = &node.kind {
                left.extend(children.iter().rev().map(Child::id));
            }
        }
        nodes
    }

    /// Draws the tree, with what `note` says about each agent at the end of its line.
    pub fn draw(&self, mut note: impl FnMut(&Node) -> String) -> String {
        let mut lines = vec![("system".to_owned(), String::new())];
        let count = self.top.len();
        for (index, id) in self.top.iter().enumerate() {
            self.draw_below(*id, "", index + 1 == count, &mut lines, &mut note);
        }
        let width = lines.iter().map(|(tree, _)| tree.chars().count()).max().unwrap_or(0);
        let line = |(tree, text): &(String, String)| format!("{tree:width$}  {text}");
        let lines = lines.iter().map(|parts| line(parts).trim_end().to_owned() + "\n");
        lines.collect()
    }

    fn draw_below(
        &self,
        id: AgentId,
        indent: &str,
        is_last: bool,
        lines: &mut Vec<(String, String)>,
        note: &mut dyn FnMut(&Node) -> String,
    ) {
        let Some(node) = self.get(id) else { return };
        let branch = if is_last { "└── " } else { "├── " };
        let segment = node.path.as_str().rsplit('/').next().unwrap_or_default();
        lines.push((format!("{indent}{branch}{segment}"), format!("{node}  {}", note(node))));
        if let Kind::Virtual { children, .. } = &node.kind {
            let indent = format!("{indent}{}", if is_last { "    " } else { "│   " });
            for (index, child) in children.iter().enumerate() {
                self.draw_below(child.id(), &indent, index + 1 == children.len(), lines, note);
            }
        }
    }

    /// Adds one agent, and its children by what is left of `transforms`. The depth of a path bounds the
    /// recursion.
    fn grow(
        &self,
        added: &mut BTreeMap<AgentId, Node>,
        child: &Child,
        spec: &Specification,
        transforms: &[Rc<dyn Transformation>],
        source: &AgentPath,
    ) -> Result<(), LattError> {
        let Child { path, range } = child;
        let own = spec.parts.get(&path.logical()).map_or(transforms, Vec::as_slice);
        if let Some(taken) = self.get(path.logical_id()).or(added.get(&path.logical_id())) {
            return Err(LattError::Taken { path: path.clone(), taken: taken.path.clone() });
        }
        if self.nodes.len() + added.len() >= AGENTS_MAX {
            return Err(LattError::Full { path: path.clone() });
        }
        let Some((transformation, inner)) = own.split_first() else {
            let (template, parameters) = (spec.template.clone(), spec.parameters.clone());
            let (source, wish) = (source.logical(), spec.wish.clone());
            let kind = Kind::Physical(Leaf { template, parameters, source, wish });
            let node = Node { path: path.clone(), range: *range, kind };
            added.insert(path.logical_id(), node);
            return Ok(());
        };
        spec.qualities.check(transformation.as_ref(), path)?;
        let children = transformation.expand(path, *range)?;
        let kind =
            Kind::Virtual { transformation: Rc::clone(transformation), children: children.clone() };
        added.insert(path.logical_id(), Node { path: path.clone(), range: *range, kind });
        children.iter().try_for_each(|child| self.grow(added, child, spec, inner, source))
    }
}

impl Specification {
    /// What the part at `path` becomes, outermost first.
    fn transforms_of(&self, path: &AgentPath) -> Vec<Rc<dyn Transformation>> {
        let inherited = match path.parent() {
            Some(parent) if path.depth() > 1 => {
                self.transforms_of(&parent).into_iter().skip(1).collect()
            }
            _ => self.transforms.clone(),
        };
        self.parts.get(&path.logical()).cloned().unwrap_or(inherited)
    }
}

impl Node {
    /// Whether the number of its children may change.
    pub fn may_be_recut(&self) -> bool {
        match &self.kind {
            Kind::Virtual { transformation, children } => {
                transformation.recut(children.len()).is_some()
            }
            Kind::Physical(_) => false,
        }
    }
}

fn is_reserved(path: &AgentPath) -> bool {
    path.last().is_some_and(|segment| {
        [CONTROLLER, JOURNAL].contains(&segment.name) || segment.name.starts_with(BOX_PREFIX)
    })
}

impl fmt::Display for Latt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.draw(|_| String::new()))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Virtual { transformation, .. } => write!(out, "{}", transformation.label()),
            Kind::Physical(leaf) => write!(out, "{}", leaf.template),
        }?;
        if self.range != PointRange::ALL {
            write!(out, " {}", self.range)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
