//! What goes wrong in a run: a plan made from the seed, before the run, that says which frames get lost
//! and which boxes stop.
//!
//! A swarm: each run has a random subset of the kinds of faults, each as strong as chance has it, since
//! some failures are hidden by faults that others need. Does nothing itself: the world carries it out.
//! Invariants: from `quiet_from` on frames pass and boxes run, so that progress can be demanded; a box
//! has one outage at a time; each kind draws from its own stream, so that a new kind leaves the others
//! as they were.
//! Source: Groce et al., "Swarm Testing"; our demand, each run ends with faults off.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::random::Random;

mod aim;
mod cut;

/// Most partitions of each kind in a run, and most outages of a box: enough for one to meet the
/// recovery from another.
pub const EACH_MAX: usize = 3;

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many boxes there are; 0 is the controller's. At most 64 is sensible: links are a square table.
    pub boxes: u16,
    /// How long a frame travels when nothing is wrong, in nanoseconds.
    pub travel_ns: u64,
    /// When all faults are over, in virtual nanoseconds.
    pub quiet_from: u64,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Frames get lost.
    Drop,
    /// Frames arrive twice.
    Duplicate,
    /// Frames travel longer, and so overtake each other.
    Delay,
    /// Frames pass one way only.
    OneWayPartition,
    /// Two parts of the system do not hear each other.
    Partition,
    /// A box stands still, and does not notice.
    Pause,
    /// A box other than the controller's dies and is started anew.
    Crash,
    /// The controller's box dies and is started anew.
    ControllerCrash,
    /// Boxes start with wrong clocks.
    ClockSkew,
    /// Some boxes do not hear some others, and hear and are heard by the rest.
    PartialPartition,
    /// Frames from and to some boxes travel far longer, all of them.
    Slowness,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 11] = [
        Kind::Drop,
        Kind::Duplicate,
        Kind::Delay,
        Kind::OneWayPartition,
        Kind::Partition,
        Kind::Pause,
        Kind::Crash,
        Kind::ControllerCrash,
        Kind::ClockSkew,
        Kind::PartialPartition,
        Kind::Slowness,
    ];
}

impl FromStr for Kind {
    type Err = String;

    /// Reads what `Debug` writes.
    fn from_str(text: &str) -> Result<Kind, String> {
        let found = Kind::ALL.into_iter().find(|kind| format!("{kind:?}") == text);
        found.ok_or_else(|| format!("{text} is no kind of fault; there are {:?}", Kind::ALL))
    }
}

/// How often what happens to the frames of one link. Chances are per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkFaults {
    /// A frame gets lost.
    pub drop_per_million: u32,
    /// A frame arrives twice.
    pub duplicate_per_million: u32,
    /// A frame, or one of its copies, travels longer.
    pub delay_per_million: u32,
    /// How much longer, on average, in nanoseconds.
    pub delay_ns_mean: u64,
}

/// Frames of the boxes of one side do not reach those of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From when, in virtual nanoseconds.
    pub begins: u64,
    /// Until when, exclusive.
    pub ends: u64,
    /// The boxes of the one side.
    pub side: BTreeSet<u16>,
    /// The boxes of the other: all others, or some.
    pub other: BTreeSet<u16>,
    /// Whether those of the other do not reach the one side either.
    pub is_two_way: bool,
}

/// Frames from and to some boxes travel longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slowness {
    /// From when, in virtual nanoseconds.
    pub begins: u64,
    /// Until when, exclusive.
    pub ends: u64,
    /// The boxes.
    pub boxes: BTreeSet<u16>,
    /// How much longer a frame travels, on average; at least half of it.
    pub longer_ns: u64,
}

impl Partition {
    /// Whether it keeps frames of box `from` from box `to`, while it lasts.
    pub fn cuts(&self, from: u16, to: u16) -> bool {
        let parts = |from, to| self.side.contains(from) && self.other.contains(to);
        parts(&from, &to) || self.is_two_way && parts(&to, &from)
    }
}

/// Something to be done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// This one of [`FaultPlan::partitions`] begins.
    PartitionSet(usize),
    /// This one of [`FaultPlan::partitions`] ends.
    PartitionHealed(usize),
    /// A box stands still.
    Paused(u16),
    /// A box that was paused goes on.
    Resumed(u16),
    /// A box dies.
    Crashed(u16),
    /// When the box starts next, its clock is wrong by so many nanoseconds. This outlasts the faults: a
    /// wrong clock stays wrong.
    ClockSet {
        /// The box.
        agent_box: u16,
        /// How far ahead of virtual time.
        ahead_ns: i64,
    },
    /// A box that died is started anew.
    Restarted(u16),
    /// This one of [`FaultPlan::slownesses`] begins.
    SlownessSet(usize),
    /// This one of [`FaultPlan::slownesses`] ends.
    SlownessOver(usize),
}

/// A fault and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultEvent {
    /// Virtual nanoseconds.
    pub at: u64,
    /// What to do.
    pub fault: Fault,
}

/// What becomes of a frame. Nanoseconds from its sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A partition keeps it.
    Cut,
    /// It gets lost.
    Dropped,
    /// It arrives, as it should.
    Arrives(u64),
    /// It arrives later than it should.
    Delayed(u64),
    /// It arrives twice, in this order or the other.
    Duplicated(u64, u64),
}

impl Fate {
    /// When it arrives: never, once or twice.
    pub fn arrivals(self) -> impl Iterator<Item = u64> {
        let (first, second) = match self {
            Fate::Cut | Fate::Dropped => (None, None),
            Fate::Arrives(after) | Fate::Delayed(after) => (Some(after), None),
            Fate::Duplicated(after, again) => (Some(after), Some(again)),
        };
        first.into_iter().chain(second)
    }
}

/// All that goes wrong in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    shape: Shape,
    kinds: BTreeSet<Kind>,
    /// By sending box, then by receiving box.
    links: Vec<LinkFaults>,
    partitions: Vec<Partition>,
    slownesses: Vec<Slowness>,
    events: Vec<FaultEvent>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none(shape: Shape) -> FaultPlan {
        FaultPlan::uniform(shape, LinkFaults::default())
    }

    /// All links are equally bad; nothing else goes wrong.
    pub fn uniform(shape: Shape, faults: LinkFaults) -> FaultPlan {
        let links = vec![faults; usize::from(shape.boxes).pow(2)];
        let (kinds, partitions) = (BTreeSet::new(), Vec::new());
        FaultPlan { shape, kinds, links, partitions, slownesses: Vec::new(), events: Vec::new() }
    }

    /// A random subset of all kinds, each as strong as chance has it.
    pub fn swarm(shape: Shape, random: &Random) -> FaultPlan {
        let mut choice = random.fork("kinds of faults");
        FaultPlan::of(shape, Kind::ALL.into_iter().filter(|_| choice.chance(500_000)), random)
    }

    /// These kinds, each as it is in every plan of this seed that has it: to find out which of them a
    /// failure needs.
    pub fn of(shape: Shape, kinds: impl IntoIterator<Item = Kind>, random: &Random) -> FaultPlan {
        let mut plan = FaultPlan::none(shape);
        plan.kinds = kinds.into_iter().collect();
        plan.spoil_links(random);
        plan.part(Kind::OneWayPartition, &mut random.fork("one-way partitions"));
        plan.part(Kind::Partition, &mut random.fork("partitions"));
        plan.part(Kind::PartialPartition, &mut random.fork("partial partitions"));
        plan.slow_down(&mut random.fork("slownesses"));
        for agent_box in 0..shape.boxes {
            plan.stop(agent_box, &mut random.fork(&format!("outages of {agent_box}")));
        }
        plan.skew(&mut random.fork("clocks"));
        plan.events.sort_unstable();
        plan
    }

    /// What becomes of a frame that box `from` sends to box `to` at `now`. Boxes that the plan does not
    /// know have faultless links.
    pub fn decide(&self, from: u16, to: u16, now: u64, random: &mut Random) -> Fate {
        let travel = self.shape.travel_ns;
        let boxes = self.shape.boxes;
        if now >= self.shape.quiet_from || from >= boxes || to >= boxes {
            return Fate::Arrives(travel);
        }
        let holds = |p: &Partition| (p.begins..p.ends).contains(&now) && p.cuts(from, to);
        if self.partitions.iter().any(holds) {
            return Fate::Cut;
        }
        let link = &self.links[usize::from(from) * usize::from(boxes) + usize::from(to)];
        if random.chance(link.drop_per_million) {
            return Fate::Dropped;
        }
        let longer = |it: &Slowness| {
            let is_slow = (it.begins..it.ends).contains(&now)
                && (it.boxes.contains(&from) || it.boxes.contains(&to));
            is_slow.then_some(it.longer_ns)
        };
        let longer_ns = self.slownesses.iter().filter_map(longer).max();
        let mut arrival = || {
            let late = random.chance(link.delay_per_million);
            let late = late.then(|| 1 + random.delay(link.delay_ns_mean));
            let slow = longer_ns.map(|mean| mean / 2 + random.delay(mean / 2));
            travel.saturating_add(late.unwrap_or(0)).saturating_add(slow.unwrap_or(0))
        };
        let after = arrival();
        let again = arrival();
        if random.chance(link.duplicate_per_million) {
            return Fate::Duplicated(after, again);
        }
        if after > travel { Fate::Delayed(after) } else { Fate::Arrives(after) }
    }

    /// What it was made for.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The kinds of faults that it has, by plan; chance may still have left one without a fault.
    pub fn kinds(&self) -> &BTreeSet<Kind> {
        &self.kinds
    }

    /// What is to be done when, in this order. All before `quiet_from`.
    pub fn events(&self) -> &[FaultEvent] {
        &self.events
    }

    /// All partitions, as the events number them.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// All slownesses, as the events number them.
    pub fn slownesses(&self) -> &[Slowness] {
        &self.slownesses
    }

    fn spoil_links(&mut self, random: &Random) {
        let strength = |kind, label: &str, per_million: &[u32]| {
            let mut stream = random.fork(label);
            let chosen = stream.choose(per_million).copied().unwrap_or(0);
            // Half of the runs spoil every link, the others about every third.
            let share = if stream.chance(500_000) { 1_000_000 } else { 333_333 };
            let is_on = self.kinds.contains(&kind);
            move || if stream.chance(share) && is_on { chosen } else { 0 }
        };
        let mut drop = strength(Kind::Drop, "drops", &[1_000, 20_000, 100_000, 300_000]);
        let mut duplicate = strength(Kind::Duplicate, "duplicates", &[1_000, 50_000, 500_000]);
        let mut delay = strength(Kind::Delay, "delays", &[10_000, 100_000, 500_000]);
        let mut stream = random.fork("lengths of delays");
        let times = stream.choose(&[1, 10, 100]).copied().unwrap_or(1);
        for link in &mut self.links {
            *link = LinkFaults {
                drop_per_million: drop(),
                duplicate_per_million: duplicate(),
                delay_per_million: delay(),
                delay_ns_mean: self.shape.travel_ns.saturating_mul(times),
            };
        }
    }

    fn part(&mut self, kind: Kind, random: &mut Random) {
        if !self.kinds.contains(&kind) || self.shape.boxes < 2 {
            return;
        }
        for _ in 0..=random.below(EACH_MAX as u64 - 1) {
            let Some((begins, ends)) = self.period(0, random) else { return };
            let mut boxes: Vec<u16> = (0..self.shape.boxes).collect();
            random.shuffle(&mut boxes);
            let count = random.range(1..u64::from(self.shape.boxes)) as usize;
            let mut other: BTreeSet<u16> = boxes.drain(count..).collect();
            let mut is_two_way = kind == Kind::Partition;
            if kind == Kind::PartialPartition {
                let heard = random.below(other.len() as u64) as usize;
                other = other.into_iter().skip(heard).collect();
                is_two_way = random.chance(500_000);
            }
            let side = boxes.into_iter().collect();
            self.set_partition(Partition { begins, ends, side, other, is_two_way });
        }
    }

    fn set_partition(&mut self, partition: Partition) {
        let index = self.partitions.len();
        self.at(partition.begins, Fault::PartitionSet(index));
        self.at(partition.ends, Fault::PartitionHealed(index));
        self.partitions.push(partition);
    }

    fn slow_down(&mut self, random: &mut Random) {
        if !self.kinds.contains(&Kind::Slowness) {
            return;
        }
        for _ in 0..=random.below(EACH_MAX as u64 - 1) {
            let Some((begins, ends)) = self.period(0, random) else { return };
            let is_slow = |_: &u16| random.chance(500_000);
            let boxes = (0..self.shape.boxes).filter(is_slow).collect();
            let longer_ns = self.longer_ns(random);
            self.set_slowness(Slowness { begins, ends, boxes, longer_ns });
        }
    }

    /// A few round trips of a good day, or many.
    fn longer_ns(&self, random: &mut Random) -> u64 {
        let times = random.choose(&[10, 100, 400]).copied().unwrap_or(1);
        self.shape.travel_ns.saturating_mul(times)
    }

    fn set_slowness(&mut self, slowness: Slowness) {
        let index = self.slownesses.len();
        self.at(slowness.begins, Fault::SlownessSet(index));
        self.at(slowness.ends, Fault::SlownessOver(index));
        self.slownesses.push(slowness);
    }

    /// Gives a box its outages, one after the other.
    fn stop(&mut self, agent_box: u16, random: &mut Random) {
        let crash = if agent_box == 0 { Kind::ControllerCrash } else { Kind::Crash };
        let mut free_from = 0;
        for _ in 0..=random.below(EACH_MAX as u64) {
            let Some((begins, ends)) = self.period(free_from, random) else { return };
            // A kind that is off leaves its outages out, and the others where they were.
            let kind = if random.chance(500_000) { crash } else { Kind::Pause };
            if self.kinds.contains(&kind) {
                let (begin, end) = match kind {
                    Kind::Pause => (Fault::Paused(agent_box), Fault::Resumed(agent_box)),
                    _ => (Fault::Crashed(agent_box), Fault::Restarted(agent_box)),
                };
                self.at(begins, begin);
                self.at(ends, end);
            }
            free_from = ends + 1;
        }
    }

    /// Gives every box a wrong clock at its start, and another one at each restart.
    fn skew(&mut self, random: &mut Random) {
        if !self.kinds.contains(&Kind::ClockSkew) {
            return;
        }
        const WRONG_NS_MAX: [u64; 3] = [1_000_000, 100_000_000, 10_000_000_000];
        let wrong = random.choose(&WRONG_NS_MAX).copied().unwrap_or(1);
        let restart = |event: &FaultEvent| match event.fault {
            Fault::Restarted(agent_box) => Some((event.at, agent_box)),
            _ => None,
        };
        let mut starts: Vec<_> = (0..self.shape.boxes).map(|agent_box| (0, agent_box)).collect();
        starts.extend(self.events.iter().filter_map(restart));
        for (at, agent_box) in starts {
            let ahead_ns = random.below(2 * wrong + 1) as i64 - wrong as i64;
            self.at(at, Fault::ClockSet { agent_box, ahead_ns });
        }
    }

    /// A time of at least a nanosecond between `from` and the quiet, exclusive. `None`: no room is left.
    fn period(&self, from: u64, random: &mut Random) -> Option<(u64, u64)> {
        let last = self.shape.quiet_from.checked_sub(1)?;
        if from >= last {
            return None;
        }
        let begins = random.range(from..last);
        let length = 1 + random.delay(self.shape.quiet_from / 8);
        Some((begins, begins.saturating_add(length).min(last)))
    }

    fn at(&mut self, at: u64, fault: Fault) {
        self.events.push(FaultEvent { at, fault });
    }
}

/// The kinds on one line, then one line an event.
impl fmt::Display for FaultPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.kinds.iter().map(|kind| format!("{kind:?}")).collect();
        writeln!(out, "faults until {}: {}", self.shape.quiet_from, kinds.join(", "))?;
        for FaultEvent { at, fault } in &self.events {
            write!(out, "{at:>15}  ")?;
            match fault {
                Fault::PartitionSet(index) => {
                    let Partition { side, other, is_two_way, .. } = &self.partitions[*index];
                    let way = if *is_two_way { "and" } else { "to" };
                    writeln!(out, "partition {index} set: boxes {side:?} {way} {other:?}")?;
                }
                Fault::PartitionHealed(index) => writeln!(out, "partition {index} healed")?,
                Fault::SlownessSet(index) => {
                    let Slowness { boxes, longer_ns, .. } = &self.slownesses[*index];
                    writeln!(out, "slowness {index}: boxes {boxes:?} by {longer_ns} ns a frame")?;
                }
                Fault::SlownessOver(index) => writeln!(out, "slowness {index} over")?,
                Fault::Paused(agent_box) => writeln!(out, "box {agent_box} paused")?,
                Fault::Resumed(agent_box) => writeln!(out, "box {agent_box} resumed")?,
                Fault::Crashed(agent_box) => writeln!(out, "box {agent_box} crashed")?,
                Fault::Restarted(agent_box) => writeln!(out, "box {agent_box} restarted")?,
                Fault::ClockSet { agent_box, ahead_ns } => {
                    writeln!(out, "box {agent_box} starts {ahead_ns} ns ahead")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
