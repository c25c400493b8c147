//! Whether a history is linearizable: whether some order of its operations, in which none comes before
//! one that had ended when it was invoked, explains every result.
//!
//! Wing and Gong's search with Lowe's memory of configurations, key by key. An operation of unknown
//! outcome may take effect at any time after its invocation, or never.
//! Three cuts keep it fast; each leaves out only what another branch answers as well: a read that fits
//! is taken at once; of equal operations of unknown outcome the earliest goes first; a configuration
//! that used up more unknown operations than an equal one is not looked at.
//! Gives up at a bound, and says so. Does not know time: a history's order of events is the truth.
//! Sources: Herlihy and Wing, "Linearizability"; Wing and Gong, "Testing and Verifying Concurrent
//! Objects"; Lowe, "Testing for Linearizability", §3.

use std::fmt;
use std::hash::Hash;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::history::{History, OperationId, Outcome};

use bits::BitSet;

pub use key_value::{Action, KeyValue, Output, Value};

mod bits;
mod key_value;
#[cfg(test)]
mod tests;

/// Most configurations that are looked at for one key, so that a history with too many operations of
/// unknown outcome costs seconds and some hundred MiB, not the night.
pub const CONFIGURATIONS_MAX: usize = 1 << 20;

/// Most comparisons of sets of unknown operations for one key: some seconds, unoptimised.
/// Configurations alone would not bound the time: each is compared with those that differ in such a set
/// only.
pub const COMPARISONS_MAX: u64 = 1 << 26;

/// Fewest operations at the end of the longest order that a violation shows.
const ORDER_SHOWN: usize = 8;

/// What one object does when nobody interferes.
pub trait Specification {
    /// What can be asked of it. Equal actions do the same.
    type Action: PartialEq;
    /// What it answers.
    type Output;
    /// All that its future depends on.
    type State: Clone + Eq + Hash + fmt::Debug;

    /// Its state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `action` where it answers `output`; `None` where it would not answer so.
    /// `output` is `None` when the answer is not known: any will do.
    fn step(
        &self,
        state: &Self::State,
        action: &Self::Action,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether `action`, where it answers `output`, leaves every state as it is. Saying no is always
    /// right, and slower.
    fn only_reads(&self, action: &Self::Action, output: &Self::Output) -> bool;
}

/// Why a history was not accepted. Its text shows the operations in question.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// No order explains what clients saw.
    #[error("{0}")]
    NotLinearizable(Violation),
    /// The search was given up.
    #[error(
        "key {key}: undecided at the bound of the search; too many operations overlap or \
         have an unknown outcome, so check shorter histories"
    )]
    Undecided {
        /// Whose operations.
        key: String,
    },
}

/// The shortest beginning of a history that no order explains: it ends where `operation` returns.
/// What still runs there may have taken effect, but only so that it gives the answer that it gave later.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Whose operations, as shown.
    pub key: String,
    /// The operation whose result nothing explains.
    pub operation: OperationId,
    /// The longest order that was found for what returned before.
    pub order: Vec<OperationId>,
    /// The operations that could have come next in that order, by real time, and did not fit;
    /// `operation` is among them.
    pub window: Vec<OperationId>,
    text: String,
}

/// Several lines: the end of the order with the states that it leads to, then what does not fit.
impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Checks the operations of each key against `specification`.
///
/// Cost: for a linearizable history about one configuration an operation; at worst exponential in the
/// number of operations that overlap, within [`CONFIGURATIONS_MAX`] and [`COMPARISONS_MAX`] a key.
/// # Errors
/// [`Refusal::NotLinearizable`] for the lowest key at fault; [`Refusal::Undecided`] at the bound.
pub fn check<S, K>(
    specification: &S,
    history: &History<K, S::Action, S::Output>,
) -> Result<(), Refusal>
where
    S: Specification,
    S::Action: fmt::Display,
    S::Output: fmt::Display,
    K: Ord + fmt::Display,
{
    for (key, ids) in history.by_key() {
        let mut search = Search::new(specification, history, &ids);
        match search.run() {
            Verdict::Linearizable => {}
            Verdict::Undecided => return Err(Refusal::Undecided { key: key.to_string() }),
            Verdict::Refuted => {
                return Err(Refusal::NotLinearizable(search.violation(key.to_string(), history)));
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Linearizable,
    Refuted,
    Undecided,
}

/// One operation of the search, with the answer that it must give.
struct Candidate<'a, S: Specification> {
    id: OperationId,
    action: &'a S::Action,
    output: Option<&'a S::Output>,
    only_reads: bool,
    invoked: u32,
    /// `u32::MAX` where the outcome is unknown.
    ended: u32,
}

/// A step of the search: which operation takes effect next. Indexes `returned` or `unknown`.
#[derive(Clone, Copy)]
enum Step {
    Returned(usize),
    Unknown(usize),
}

/// A point of the search, and what is left to try there.
struct Level<State> {
    /// The first end that the next operation must come before.
    end: u32,
    /// Tried from the end.
    choices: Vec<(Step, State)>,
    taken: Option<Step>,
    /// Whether nothing new was found from here.
    is_dead_end: bool,
}

/// What the future depends on, but for the unknown operations that were used up.
#[derive(PartialEq, Eq, Hash)]
struct Configuration<State> {
    /// Operations below this word are all linearised.
    word: usize,
    linearised: Box<[u64]>,
    state: State,
}

struct Search<'a, S: Specification> {
    specification: &'a S,
    /// By invocation.
    returned: Vec<Candidate<'a, S>>,
    /// By invocation.
    unknown: Vec<Candidate<'a, S>>,
    /// For each unknown operation the one before it that does the same.
    twins: Vec<Option<usize>>,
    linearised: BitSet,
    used: BitSet,
    levels: Vec<Level<S::State>>,
    /// With each configuration the smallest sets of unknown operations with which it was reached.
    seen: HashMap<Configuration<S::State>, Vec<BitSet>, FixedState>,
    configurations: usize,
    configurations_max: usize,
    comparisons: u64,
    /// Where the search got furthest: the first end that it could not pass, and the order till there.
    furthest: Option<(u32, Vec<Step>)>,
}

impl<'a, S: Specification> Search<'a, S> {
    fn new<K>(
        specification: &'a S,
        history: &'a History<K, S::Action, S::Output>,
        ids: &[OperationId],
    ) -> Search<'a, S> {
        let (mut returned, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            let operation = history.operation(*id);
            let candidate = |output: Option<&'a S::Output>, ended| Candidate {
                id: *id,
                action: &operation.action,
                output,
                only_reads: output
                    .is_some_and(|output| specification.only_reads(&operation.action, output)),
                invoked: operation.invoked(),
                ended,
            };
            match (&operation.outcome, operation.ended()) {
                (Outcome::Returned(output), Some(end)) => {
                    returned.push(candidate(Some(output), end))
                }
                (Outcome::Failed, _) => {}
                _ => unknown.push(candidate(None, u32::MAX)),
            }
        }
        let twins = (0..unknown.len())
            .map(|index| unknown[..index].iter().rposition(|o| *o.action == *unknown[index].action))
            .collect();
        Search {
            specification,
            linearised: BitSet::new(returned.len()),
            used: BitSet::new(unknown.len()),
            returned,
            unknown,
            twins,
            levels: Vec::new(),
            seen: HashMap::with_hasher(FixedState::with_seed(0)),
            configurations: 0,
            configurations_max: CONFIGURATIONS_MAX,
            comparisons: 0,
            furthest: None,
        }
    }

    fn run(&mut self) -> Verdict {
        let mut state = self.specification.initial();
        loop {
            let low = self.linearised.first_unset();
            if low == self.returned.len() {
                return Verdict::Linearizable;
            }
            let (end, choices) = self.choices(low, &state);
            self.levels.push(Level { end, choices, taken: None, is_dead_end: true });
            match self.advance() {
                Some(next) => state = next,
                None => return Verdict::Refuted,
            }
            if self.configurations >= self.configurations_max || self.comparisons > COMPARISONS_MAX
            {
                return Verdict::Undecided;
            }
        }
    }

    /// Goes back to the nearest level that leads to a new configuration, and takes it.
    fn advance(&mut self) -> Option<S::State> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(step) = level.taken.take() {
                self.mark(step, false);
            }
            let level = self.levels.last_mut()?;
            match level.choices.pop() {
                None => {
                    let (end, is_dead_end) = (level.end, level.is_dead_end);
                    self.levels.pop();
                    if is_dead_end {
                        self.note(end);
                    }
                }
                Some((step, state)) => {
                    level.taken = Some(step);
                    self.mark(step, true);
                    if self.is_new(&state) {
                        self.levels.last_mut()?.is_dead_end = false;
                        return Some(state);
                    }
                }
            }
        }
        None
    }

    /// The first end that an operation must come before, and the operations that may come next, the
    /// most promising last. `low`: the first operation that is not linearised.
    fn choices(&self, low: usize, state: &S::State) -> (u32, Vec<(Step, S::State)>) {
        let mut end = u32::MAX;
        let mut open = Vec::new();
        for (index, candidate) in self.returned.iter().enumerate().skip(low) {
            if candidate.invoked > end {
                break;
            }
            if !self.linearised.contains(index) {
                end = end.min(candidate.ended);
                open.push(index);
            }
        }
        open.sort_unstable_by_key(|index| std::cmp::Reverse(self.returned[*index].ended));
        let mut choices = Vec::new();
        for index in open {
            if let Some(next) = self.step(state, &self.returned[index]) {
                if self.returned[index].only_reads {
                    return (end, vec![(Step::Returned(index), next)]);
                }
                choices.push((Step::Returned(index), next));
            }
        }
        let sure = choices.len();
        for (index, candidate) in self.unknown.iter().enumerate() {
            if candidate.invoked > end {
                break;
            }
            let is_first = self.twins[index].is_none_or(|twin| self.used.contains(twin));
            if is_first && !self.used.contains(index) {
                let next = self.step(state, candidate).filter(|next| next != state);
                choices.extend(next.map(|next| (Step::Unknown(index), next)));
            }
        }
        choices.rotate_left(sure);
        (end, choices)
    }

    fn step(&self, state: &S::State, candidate: &Candidate<'a, S>) -> Option<S::State> {
        self.specification.step(state, candidate.action, candidate.output)
    }

    fn mark(&mut self, step: Step, is_taken: bool) {
        match step {
            Step::Returned(index) => self.linearised.set(index, is_taken),
            Step::Unknown(index) => self.used.set(index, is_taken),
        }
    }

    /// Whether nothing as good as the present configuration was seen; remembers it.
    fn is_new(&mut self, state: &S::State) -> bool {
        let (word, linearised) = self.linearised.window();
        let configuration = Configuration { word, linearised, state: state.clone() };
        let used = self.seen.entry(configuration).or_default();
        self.comparisons += used.len() as u64;
        if used.iter().any(|used| used.is_subset(&self.used)) {
            return false;
        }
        used.push(self.used.clone());
        self.configurations += 1;
        true
    }

    /// Remembers how far the present order came, if none came further.
    fn note(&mut self, end: u32) {
        let length = self.levels.len();
        let is_further = |(best, order): &(u32, Vec<Step>)| (end, length) > (*best, order.len());
        if self.furthest.as_ref().is_none_or(is_further) {
            let order = self.levels.iter().filter_map(|level| level.taken).collect();
            self.furthest = Some((end, order));
        }
    }

    fn candidate(&self, step: Step) -> &Candidate<'a, S> {
        match step {
            Step::Returned(index) => &self.returned[index],
            Step::Unknown(index) => &self.unknown[index],
        }
    }

    fn violation<K>(&self, key: String, history: &History<K, S::Action, S::Output>) -> Violation
    where
        K: fmt::Display,
        S::Action: fmt::Display,
        S::Output: fmt::Display,
    {
        let (end, steps) = self.furthest.as_ref().expect("a search that fails has a dead end");
        let all = || self.returned.iter().chain(&self.unknown);
        let operation = all().find(|o| o.ended == *end).expect("an end is of an operation").id;
        let order: Vec<OperationId> = steps.iter().map(|step| self.candidate(*step).id).collect();
        let mut window: Vec<OperationId> =
            all().filter(|o| o.invoked < *end && !order.contains(&o.id)).map(|o| o.id).collect();
        window.sort_unstable();

        let culprit = history.operation(operation);
        let overlap = order.iter().position(|id| !history.operation(*id).precedes(culprit));
        let shown_from =
            overlap.unwrap_or(order.len()).min(order.len().saturating_sub(ORDER_SHOWN));
        let mut text = format!("not linearizable, key {key}: nothing explains\n> {culprit}\n");
        text +=
            &format!("longest order of what returned before, the first {shown_from} not shown:\n");
        let mut state = self.specification.initial();
        for (place, step) in steps.iter().enumerate() {
            let next = self.step(&state, self.candidate(*step));
            state = next.expect("the search took this step");
            if place >= shown_from {
                let operation = history.operation(order[place]);
                text += &format!("  {operation}  =>  {}\n", shorten(format!("{state:?}")));
            }
        }
        text += "none of these can come next:\n";
        for id in &window {
            let mark = if *id == operation { '>' } else { ' ' };
            text += &format!("{mark} {}\n", history.operation(*id));
        }
        Violation { key, operation, order, window, text }
    }
}

/// Leaves out the middle of a long text.
fn shorten(text: String) -> String {
    const SIDE_CHARS: usize = 32;
    let count = text.chars().count();
    if count <= 3 * SIDE_CHARS {
        return text;
    }
    let start: String = text.chars().take(SIDE_CHARS).collect();
    let end: String = text.chars().skip(count - SIDE_CHARS).collect();
    format!("{start} … {end}")
}
