//! Placement: which box each physical agent runs in, from what was wished for.
//!
//! What was placed stays (Ovid §6.2: placement is final); the rest is spread over the boxes by agents per
//! reactor. The search is exact for small systems and bounded for all: [`STEPS_MAX`].
//! Deliberately absent: load that was measured, live migration.
//! Invariant: same boxes, agents and earlier placement, same result.
//! Source: Ovid §6.2.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use crate::path::AgentPath;

/// Most tries of one search. A system of a thousand agents without contradictions needs a thousand.
pub const STEPS_MAX: usize = 100_000;

/// A box, as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// How many reactors it has.
    pub reactors: u8,
}

/// Where an agent is wished to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Names of the boxes that it may run in; empty: any.
    pub boxes: Vec<String>,
    /// The reactor that it must run in, counted from 0.
    pub reactor: Option<u8>,
    /// Children of one agent whose names begin with the same of these never share a box: Ovid's
    /// SameBoxImpossible, for `replica` between all of `replica1`, `replica2`, …
    pub apart: Vec<String>,
}

/// An agent to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its logical path.
    pub path: AgentPath,
    /// What is wished for it.
    pub wish: Wish,
}

/// A placement that there is not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// No box is there, or none of those that the agent may run in.
    #[error("{agent} may run in {}, and there is no such box; there are: {}", any_of(.wanted), list(.boxes))]
    NoBox {
        /// Who.
        agent: AgentPath,
        /// The boxes that it may run in.
        wanted: Vec<String>,
        /// The boxes that there are.
        boxes: Vec<String>,
    },
    /// None of the boxes that it may run in has the reactor that it is pinned to.
    #[error("{agent} is pinned to reactor {reactor}, and {} has fewer; reactors count from 0", list(.boxes))]
    NoReactor {
        /// Who.
        agent: AgentPath,
        /// The reactor.
        reactor: u8,
        /// The boxes that it may run in.
        boxes: Vec<String>,
    },
    /// In every box that it may run in is somebody that it must be apart from.
    #[error(
        "{agent} must not share a box with {} (apart = [{}]), and there is no other box for it; add a \
         box, or let them share one",
        conflicts(.with), quoted(.apart)
    )]
    SameBoxImpossible {
        /// Who.
        agent: AgentPath,
        /// Whom it would share a box with, and which.
        with: Vec<(AgentPath, String)>,
        /// The constraint.
        apart: Vec<String>,
    },
    /// The search was given up.
    #[error("found no place for {agent} in {STEPS_MAX} tries; pin some agents to boxes")]
    GaveUp {
        /// Who was the hardest to place.
        agent: AgentPath,
    },
}

fn list(names: &[String]) -> impl fmt::Display {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn any_of(names: &[String]) -> impl fmt::Display {
    if names.is_empty() { "any box".to_owned() } else { format!("box {}", names.join(", ")) }
}

fn quoted(names: &[String]) -> impl fmt::Display {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn conflicts(with: &[(AgentPath, String)]) -> impl fmt::Display {
    let conflict = |(path, site): &(AgentPath, String)| format!("{path} (box {site})");
    with.iter().map(conflict).collect::<Vec<_>>().join(", ")
}

/// Finds a box for each of `agents` that is not yet in `placed`.
/// # Errors
/// [`PlaceError`] names the agent that could be placed the least, and what forbids it.
pub fn place(
    sites: &[Site],
    agents: &[Candidate],
    placed: &BTreeMap<AgentPath, String>,
) -> Result<BTreeMap<AgentPath, String>, PlaceError> {
    let mut search = Search::new(sites, agents, placed)?;
    search.run()?;
    let name = |site: usize| sites[site].name.clone();
    let place = |(agent, site): (&Candidate, &Option<usize>)| {
        site.map(|site| (agent.path.clone(), name(site)))
    };
    Ok(agents.iter().zip(&search.chosen).filter_map(place).collect())
}

/// Whether two agents may never share a box: where their paths part, both names begin with one of
/// `apart`.
fn must_be_apart(one: &Candidate, other: &Candidate) -> bool {
    let mut pairs = one.path.segments().zip(other.path.segments()).enumerate();
    let parting = pairs.find(|(_, (left, right))| left.name != right.name);
    let Some((depth, (left, right))) = parting else { return false };
    let both = |prefix: &String| left.name.starts_with(prefix) && right.name.starts_with(prefix);
    depth > 0 && (one.wish.apart.iter().any(both) || other.wish.apart.iter().any(both))
}

struct Search<'a> {
    sites: &'a [Site],
    agents: &'a [Candidate],
    /// For each agent, the sites that it may run in, if nobody else did.
    allowed: Vec<Vec<usize>>,
    chosen: Vec<Option<usize>>,
    residents: Vec<Vec<usize>>,
    /// Whom to place, the least free first.
    order: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(
        sites: &'a [Site],
        agents: &'a [Candidate],
        placed: &BTreeMap<AgentPath, String>,
    ) -> Result<Search<'a>, PlaceError> {
        let mut residents = vec![Vec::new(); sites.len()];
        let (mut allowed, mut chosen) = (Vec::new(), Vec::new());
        for (index, agent) in agents.iter().enumerate() {
            let before = placed.get(&agent.path);
            let site = before.and_then(|name| sites.iter().position(|site| site.name == *name));
            site.inspect(|site| residents[*site].push(index));
            chosen.push(site);
            allowed.push(if site.is_some() { Vec::new() } else { allow(sites, agent)? });
        }
        let mut order: Vec<usize> =
            (0..agents.len()).filter(|agent| chosen[*agent].is_none()).collect();
        let bound = |agent: &usize| (allowed[*agent].len(), agents[*agent].wish.apart.is_empty());
        order.sort_by_key(|agent| (bound(agent), *agent));
        Ok(Search { sites, agents, allowed, chosen, residents, order })
    }

    /// Depth first, with one list of sites left to try for each agent on the way.
    fn run(&mut self) -> Result<(), PlaceError> {
        let mut left: Vec<Vec<usize>> = Vec::with_capacity(self.order.len());
        let mut deepest: Option<(usize, PlaceError)> = None;
        for _ in 0..STEPS_MAX {
            let depth = left.len();
            let Some(agent) = self.order.get(depth).copied() else { return Ok(()) };
            let free = self.free_sites(agent);
            if free.is_empty() && deepest.as_ref().is_none_or(|(other, _)| *other < depth) {
                deepest = Some((depth, self.impossible(agent)));
            }
            left.push(free);
            while !left.is_empty() {
                let agent = self.order[left.len() - 1];
                if let Some(before) = self.chosen[agent].take() {
                    self.residents[before].retain(|resident| *resident != agent);
                }
                match left.last_mut().and_then(Vec::pop) {
                    Some(site) => {
                        self.chosen[agent] = Some(site);
                        self.residents[site].push(agent);
                        break;
                    }
                    None => drop(left.pop()),
                }
            }
            if left.is_empty() {
                return Err(deepest.expect("only an agent without a site turns the search back").1);
            }
        }
        let hardest = deepest.map_or(self.order[0], |(depth, _)| self.order[depth]);
        Err(PlaceError::GaveUp { agent: self.agents[hardest].path.clone() })
    }

    /// Where an agent may run now; the best last.
    fn free_sites(&self, agent: usize) -> Vec<usize> {
        let clash = |site: &usize| {
            self.residents[*site]
                .iter()
                .any(|other| must_be_apart(&self.agents[agent], &self.agents[*other]))
        };
        let mut free: Vec<usize> =
            self.allowed[agent].iter().copied().filter(|site| !clash(site)).collect();
        // Agents for each reactor, compared without division.
        let load = |site: usize| self.residents[site].len() as u64;
        let reactors = |site: usize| u64::from(self.sites[site].reactors.max(1));
        free.sort_by(|one, other| {
            (load(*other) * reactors(*one), other).cmp(&(load(*one) * reactors(*other), one))
        });
        free
    }

    fn impossible(&self, agent: usize) -> PlaceError {
        let with = |site: &usize| {
            let clash = |other: &&usize| must_be_apart(&self.agents[agent], &self.agents[**other]);
            let other = self.residents[*site].iter().find(clash)?;
            Some((self.agents[*other].path.clone(), self.sites[*site].name.clone()))
        };
        let (path, wish) = (self.agents[agent].path.clone(), &self.agents[agent].wish);
        let with = self.allowed[agent].iter().filter_map(with).collect();
        PlaceError::SameBoxImpossible { agent: path, with, apart: wish.apart.clone() }
    }
}

/// The sites that an agent may run in, if nobody else did.
fn allow(sites: &[Site], agent: &Candidate) -> Result<Vec<usize>, PlaceError> {
    let names = |indices: &[usize]| indices.iter().map(|site| sites[*site].name.clone()).collect();
    let all: Vec<usize> = (0..sites.len()).collect();
    let wish = &agent.wish;
    let named = |site: &usize| wish.boxes.is_empty() || wish.boxes.contains(&sites[*site].name);
    let boxes: Vec<usize> = all.iter().copied().filter(named).collect();
    if boxes.is_empty() {
        let (agent, wanted) = (agent.path.clone(), wish.boxes.clone());
        return Err(PlaceError::NoBox { agent, wanted, boxes: names(&all) });
    }
    let Some(reactor) = wish.reactor else { return Ok(boxes) };
    let wide: Vec<usize> =
        boxes.iter().copied().filter(|site| reactor < sites[*site].reactors).collect();
    if wide.is_empty() {
        let agent = agent.path.clone();
        return Err(PlaceError::NoReactor { agent, reactor, boxes: names(&boxes) });
    }
    Ok(wide)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(name: &str, reactors: u8) -> Site {
        Site { name: name.to_owned(), reactors }
    }

    fn candidate(path: &str, boxes: &[&str], apart: &[&str]) -> Candidate {
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
        let wish = Wish { boxes: texts(boxes), reactor: None, apart: texts(apart) };
        Candidate { path: AgentPath::parse(path).unwrap(), wish }
    }

    fn placed(sites: &[Site], agents: &[Candidate]) -> Result<Vec<String>, PlaceError> {
        let placed = place(sites, agents, &BTreeMap::new())?;
        Ok(agents.iter().map(|agent| placed[&agent.path].clone()).collect())
    }

    #[test]
    fn agents_spread_by_agents_per_reactor() {
        let sites = [site("a", 2), site("b", 1)];
        let agents: Vec<_> =
            (0..6).map(|n| candidate(&format!("kvs/shard{n}"), &[], &[])).collect();
        let boxes = placed(&sites, &agents).unwrap();
        assert_eq!(boxes.iter().filter(|name| *name == "a").count(), 4, "{boxes:?}");
    }

    #[test]
    fn what_was_placed_stays() {
        let sites = [site("a", 1), site("b", 1)];
        let agents = [candidate("x", &[], &[]), candidate("y", &[], &[])];
        let before = BTreeMap::from([(agents[0].path.clone(), "b".to_owned())]);
        let after = place(&sites, &agents, &before).unwrap();
        assert_eq!(after.values().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn an_agent_makes_room_for_one_that_is_less_free() {
        let sites = [site("a", 1), site("b", 1), site("c", 1)];
        let apart = ["replica"];
        let agents = [
            candidate("r/replica1", &[], &apart),
            candidate("r/replica2", &["a", "b"], &apart),
            candidate("r/replica3", &["a"], &apart),
        ];
        assert_eq!(placed(&sites, &agents).unwrap(), ["c", "b", "a"]);
    }

    #[test]
    fn an_impossible_placement_names_agents_and_constraint() {
        let check = |sites: &[Site], agents: &[Candidate], text: &str| {
            assert_eq!(placed(sites, agents).unwrap_err().to_string(), text);
        };
        let two = [site("a", 1), site("b", 1)];
        let replicas: Vec<_> =
            (1..4).map(|n| candidate(&format!("r/replica{n}"), &[], &["replica"])).collect();
        check(
            &two,
            &replicas,
            "r/replica3 must not share a box with r/replica1 (box a), r/replica2 (box b) (apart = \
             [\"replica\"]), and there is no other box for it; add a box, or let them share one",
        );
        check(
            &two,
            &[candidate("kvs", &["z"], &[])],
            "kvs may run in box z, and there is no such box; there are: a, b",
        );
        check(
            &[],
            &[candidate("kvs", &[], &[])],
            "kvs may run in any box, and there is no such box; there are: none",
        );
        let mut pinned = candidate("kvs", &["a"], &[]);
        pinned.wish.reactor = Some(1);
        check(
            &two,
            &[pinned],
            "kvs is pinned to reactor 1, and a has fewer; reactors count from 0",
        );
    }

    #[test]
    fn parts_of_replicas_are_apart_where_their_paths_part() {
        let sites = [site("a", 1), site("b", 1)];
        let paths = ["r/replica1/shard1", "r/replica1/shard2", "r/replica2/shard1"];
        let agents = paths.map(|path| candidate(path, &[], &["replica"]));
        let boxes = placed(&sites, &agents).unwrap();
        assert_eq!(boxes[0], boxes[1]);
        assert_ne!(boxes[0], boxes[2]);
    }

    proptest! {
        #[test]
        fn a_placement_is_found_exactly_when_there_is_one(
            allowed in prop::collection::vec(1..8u8, 1..5),
            apart in proptest::bool::ANY,
        ) {
            let sites = ["a", "b", "c"].map(|name| site(name, 1));
            let names = |bits: u8| -> Vec<&str> {
                ["a", "b", "c"].into_iter().enumerate()
                    .filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| name).collect()
            };
            let constraint: &[&str] = if apart { &["replica"] } else { &[] };
            let agents: Vec<_> = allowed.iter().enumerate()
                .map(|(n, bits)| candidate(&format!("r/replica{n}"), &names(*bits), constraint))
                .collect();
            // Oracle: every assignment is tried.
            let fits = |mut code: usize| {
                let mut seen = Vec::new();
                allowed.iter().all(|bits| {
                    let at = code % 3;
                    code /= 3;
                    let fresh = !apart || !seen.contains(&at);
                    seen.push(at);
                    fresh && bits & (1 << at) != 0
                })
            };
            let exists = (0..3usize.pow(allowed.len() as u32)).any(fits);
            match placed(&sites, &agents) {
                Ok(boxes) => {
                    prop_assert!(exists);
                    for (agent, chosen) in agents.iter().zip(&boxes) {
                        prop_assert!(agent.wish.boxes.contains(chosen));
                    }
                    let mut different = boxes.clone();
                    different.sort();
                    different.dedup();
                    prop_assert!(!apart || different.len() == boxes.len());
                }
                Err(error) => prop_assert!(!exists, "{}", error),
            }
        }
    }
}
