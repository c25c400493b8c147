//! A reactor's port: the agent through which a reactor speaks with the control plane.
//!
//! It turns what the reactor misses into look-ups, one at a time for each destination and sender, and
//! what it is told into [`Command`]s, which the reactor's turn takes and carries out after each of its
//! transitions. It holds no table itself.
//!
//! Here lives are handed on: the port of a reactor keeps what a life was that ended there, and that of whoever
//! goes on from it, the *heir*, fetches its parts, has the agent made of them, takes them, and only then runs it.
//! Invariants: a miss is asked about until it is answered, also by the controller that comes after. What an heir
//! has begun from nobody keeps any more, so that nobody begins from it again; until then all is where it was.
//! Source: Ovid §6.3 (identifier misses and BRT misses).

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use crate::agent::{Agent, Answer, Archived, Outcome, Refusal, ReplyTo};
use crate::context::Context;
use crate::control::{
    Failure, FromController, FromPort, Hosting, Knowledge, Learned, Legacy, PartEntry, PartOf,
    ToController, ToPort, not_restored,
};
use crate::id::{AgentId, Epoch, Number, Stamp};
use crate::latt::CONTROLLER;
use crate::message::Wire;
use crate::point::PointRange;
use crate::state::{Captured, State, StateError};

/// How long a look-up waits that comes at once after the answer to the same one, for the third time; from then
/// on twice as long each time. A box that has started again is known to others before the controller hears
/// of it, which then answers what it knew; asking faster does not make it hear sooner.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(1);

/// How long it waits at the most.
const ASK_AGAIN_MAX: Duration = Duration::from_millis(64);

/// After so long without a question, an answer is believed to have been of use.
const OF_USE: Duration = Duration::from_secs(1);

/// Most look-ups of one reactor that are not answered; more are refused as overload.
pub const LOOKUPS_MAX: usize = 16_384;

/// Bytes of a part that are fetched at once: a message's worth, while others of the link still get through.
pub const FETCH_BYTES: usize = 1 << 20;

/// How long a port that could not be asked is left in peace.
const ASK_PORT_AGAIN: Duration = Duration::from_millis(100);

/// What a reactor is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run an agent, which begins anew, then tell the port that it is `Finished`.
    Host(Hosting),
    /// Make an agent that goes on from these parts of earlier lives, as their reactors encoded them, and tell
    /// the port whether it is `Made`. It does not run yet.
    Make(Hosting, Vec<Vec<u8>>),
    /// Run the agent of this path that was made, then tell the port that it is `Finished`.
    Begin(String),
    /// End the agent of this path, give the port what it was, in parts for these ranges
    /// ([`Port::keep`]), then tell it that it has `Ended`; or that this is `Finished`, and why it has not.
    Wedge(String, Vec<PointRange>),
    /// End the agent of this path, then tell the port that it is `Finished`.
    Unhost(String),
    /// Take the state of the agent of this path, and give it to the port with `Finished`; where there is a number,
    /// only if it is held by that, and still.
    Capture(String, Option<u64>),
    /// Hold the agent of this path for who has this number, and tell the port when it is `Held`.
    Hold(String, u64),
    /// Let it go on, if that is who holds it.
    Release(String, u64),
    /// Say how the reactor runs, and give that to the port with `Described`.
    Describe,
    /// Put these into the tables, where they are not older than what is there.
    Learn(Learned),
    /// Answer the messages that wait for this destination, from this sender, with the refusal.
    Refuse {
        /// Logical id of the destination.
        destination: AgentId,
        /// Path of the sender.
        source: String,
        /// What the sender is told.
        refusal: Refusal,
        /// What a log is told.
        why: String,
    },
    /// Take the route out of the table, if it is not newer; the next message for it is a miss.
    Forget(AgentId, Epoch),
}

/// The agent.
#[derive(Clone, Debug, Default)]
pub struct Port {
    commands: Vec<Command>,
    /// Destination and sender of look-ups that are not answered in full, with the ask's number while the
    /// answer is outstanding.
    lookups: BTreeMap<(u64, String), Option<Number>>,
    /// Look-ups that were answered lately: when, and how many of them in a row.
    answered: BTreeMap<(u64, String), (Stamp, u32)>,
    /// Those that wait for their time.
    later: BTreeSet<(u64, String)>,
    /// Who waits for a command, in the order in which they came, by the path that it named.
    waiting: BTreeMap<String, Vec<ReplyTo>>,
    /// Who waits for an agent to be held, by its path and their number.
    holding: BTreeMap<(String, u64), ReplyTo>,
    /// Who waits to be told how the reactor runs.
    curious: Vec<ReplyTo>,
    /// By path, what lives that were wedged here were.
    kept: BTreeMap<String, Vec<Kept>>,
    /// By path, who is to run here, once what it goes on from is here alone.
    heirs: BTreeMap<String, Heir>,
    /// Which heir an answer is for, by port and number.
    asked: BTreeMap<(AgentId, Number), String>,
}

/// A part of what a life was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The part's points.
    pub range: PointRange,
    /// As the reactor encoded it.
    pub bytes: Vec<u8>,
}

/// An agent that goes on from others, whose ports are asked one after another: first for its parts, then to give
/// them up.
#[derive(Clone, Debug)]
struct Heir {
    hosting: Hosting,
    legacies: Vec<Legacy>,
    /// Which of them is asked.
    at: usize,
    /// Whether the agent is made of its parts.
    is_made: bool,
    /// The first of its points that the port was not asked for.
    first: u64,
    /// The bytes of the next part that are here.
    bytes: Vec<u8>,
    /// Whole parts.
    whole: Vec<Vec<u8>>,
}

impl Port {
    /// What the reactor is to do now, in this order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        mem::take(&mut self.commands)
    }

    /// Keeps what a life was that its reactor has ended.
    pub fn keep(&mut self, path: String, parts: Vec<Kept>) {
        self.kept.insert(path, parts);
    }

    /// The lives of which something is kept.
    pub fn kept(&self) -> impl Iterator<Item = &str> {
        self.kept.keys().map(String::as_str)
    }

    fn give(&self, path: &str, range: PointRange, from: u64) -> FromPort {
        let kept = self.kept.get(path).into_iter().flatten();
        let mut of_range = kept.filter(|it| it.range.overlaps(&range));
        let Some(it) = of_range.next() else {
            return FromPort::Refused(format!("nothing is kept here of {path} at {range}").into());
        };
        let rest = it.bytes.get(from as usize..).unwrap_or_default();
        FromPort::Part(PartOf {
            range: it.range.into(),
            bytes: rest[..rest.len().min(FETCH_BYTES)].to_vec(),
            total: it.bytes.len() as u64,
            is_last: of_range.next().is_none(),
        })
    }

    fn give_up(&mut self, path: &str, range: PointRange) {
        let Some(kept) = self.kept.get_mut(path) else { return };
        kept.retain(|it| !it.range.overlaps(&range));
        if kept.is_empty() {
            self.kept.remove(path);
        }
    }

    fn begin_heir(
        &mut self,
        hosting: Hosting,
        legacies: Vec<Legacy>,
        context: &mut Context<'_, Port>,
    ) {
        let path = hosting.path.clone();
        self.waiting.entry(path.clone()).or_default().push(context.reply_address());
        self.commands.extend(legacies.iter().map(|legacy| Command::Learn(legacy.way.read())));
        let heir = Heir {
            first: hosting.first,
            hosting,
            legacies,
            at: 0,
            is_made: false,
            bytes: Vec::new(),
            whole: Vec::new(),
        };
        self.heirs.insert(path.clone(), heir);
        self.hand_on(path, context);
    }

    /// Asks the next port for what an heir lacks, or to give that up; when that is nothing, it is made, or runs.
    fn hand_on(&mut self, path: String, context: &mut Context<'_, Port>) {
        let Some(heir) = self.heirs.get_mut(&path) else { return };
        let Some(legacy) = heir.legacies.get(heir.at) else {
            if heir.whole.is_empty() && !heir.is_made {
                let heir = self.heirs.remove(&path).expect("it was found there");
                return self.commands.push(Command::Host(heir.hosting));
            }
            return self.commands.push(match heir.is_made {
                false => Command::Make(heir.hosting.clone(), mem::take(&mut heir.whole)),
                true => Command::Begin(path),
            });
        };
        let (port, path_of) = (AgentId::from(legacy.port.as_str()), legacy.path.clone());
        let Hosting { first, last, .. } = heir.hosting;
        let message = match heir.is_made {
            false => {
                let (range, from) =
                    (PartEntry { first: heir.first, last }, heir.bytes.len() as u64);
                ToPort::Fetch { path: path_of, range, from }
            }
            true => ToPort::Take { path: path_of, range: PartEntry { first, last } },
        };
        let number = context.ask(port, &message);
        self.asked.insert((port, number), path);
    }

    /// A port has answered an heir; or it has not, and nobody can say when it will.
    fn port_answered(
        &mut self,
        path: String,
        answer: &Answer<'_>,
        context: &mut Context<'_, Port>,
    ) {
        let Some(heir) = self.heirs.get_mut(&path) else { return };
        match answer.open::<FromPort>().map(FromPort::owned) {
            Ok(FromPort::Part(part)) if !heir.is_made => heir.receive(part),
            // It has given up what it kept; or it is there, and keeps nothing: its process is another than then.
            // So it is when there is no such port any more.
            Ok(_) | Err(Some(Refusal::UnknownAgent)) => heir.go_on(),
            Err(_) => {
                context.after(ASK_PORT_AGAIN, &ToPort::AskAgain { path });
                return;
            }
        }
        self.hand_on(path, context);
    }

    /// The reactor has made an heir of its parts; or it could not, and they stay where they are.
    fn made(&mut self, path: String, refused: Option<Failure>, context: &mut Context<'_, Port>) {
        match refused {
            Some(why) => {
                self.heirs.remove(&path);
                self.finished(&path, &FromPort::Refused(why), context);
            }
            None => {
                let Some(heir) = self.heirs.get_mut(&path) else { return };
                (heir.is_made, heir.at) = (true, 0);
                self.hand_on(path, context);
            }
        }
    }

    fn miss(&mut self, destination: u64, source: String, context: &mut Context<'_, Port>) {
        let key = (destination, source);
        if let Some(Some(_)) = self.lookups.get(&key) {
            return;
        }
        if self.lookups.len() >= LOOKUPS_MAX {
            let why = format!("{LOOKUPS_MAX} look-ups wait for the controller");
            return self.refuse(key, Refusal::Overloaded, why);
        }
        match self.wait_before(&key, context.now()) {
            None => self.look_up(key, context),
            Some(wait) => {
                if self.later.insert(key.clone()) {
                    let (destination, source) = key;
                    context.after(wait, &ToPort::MissAgain { destination, source });
                }
            }
        }
    }

    fn look_up(&mut self, key: (u64, String), context: &mut Context<'_, Port>) {
        let number = ask(&key, context);
        self.lookups.insert(key, Some(number));
    }

    /// How long a look-up has to wait, if it comes too soon after the last one.
    fn wait_before(&self, key: &(u64, String), now: Stamp) -> Option<Duration> {
        let (answered, in_a_row) = self.answered.get(key)?;
        let doublings = in_a_row.checked_sub(2)?;
        let wait = (ASK_AGAIN_MIN * 2u32.saturating_pow(doublings)).min(ASK_AGAIN_MAX);
        let gone_by = Duration::from_nanos(now.0.saturating_sub(answered.0));
        wait.checked_sub(gone_by).filter(|left| !left.is_zero())
    }

    /// A look-up was answered, for which it was asked again and again perhaps.
    fn note_answered(&mut self, key: (u64, String), now: Stamp) {
        let is_old = |then: Stamp| now.0.saturating_sub(then.0) > OF_USE.as_nanos() as u64;
        match self.answered.get(&key) {
            Some((then, _)) if is_old(*then) => drop(self.answered.remove(&key)),
            // They are looked through no oftener than they double.
            None if self.answered.len().is_power_of_two() => {
                self.answered.retain(|_, (then, _)| !is_old(*then));
            }
            _ => {}
        }
        let (then, in_a_row) = self.answered.entry(key).or_insert((now, 0));
        (*then, *in_a_row) = (now, in_a_row.saturating_add(1));
    }

    fn ask_again(&mut self, context: &mut Context<'_, Port>) {
        for (key, number) in &mut self.lookups {
            *number = Some(ask(key, context));
        }
    }

    fn refuse(&mut self, key: (u64, String), refusal: Refusal, why: String) {
        let (destination, source) = (AgentId(key.0), key.1);
        self.commands.push(Command::Refuse { destination, source, refusal, why });
    }

    /// The port of an earlier process asked for what is held: this one would never ask the next controller for the
    /// rest.
    fn was_asked_by_another(&self, knowledge: &Knowledge) -> bool {
        let asks = |to: &AgentId| self.lookups.keys().any(|(other, _)| *other == to.0);
        knowledge.is_held() && knowledge.destination().is_none_or(|to| !asks(&to))
    }

    fn learn(&mut self, knowledge: &Knowledge) {
        self.commands.push(Command::Learn(knowledge.read()));
        let Some(to) = knowledge.destination().filter(|_| !knowledge.is_held()) else { return };
        self.lookups.retain(|(other, _), number| *other != to.0 || number.is_some());
    }

    fn command(&mut self, path: String, command: Command, context: &Context<'_, Port>) {
        self.waiting.entry(path).or_default().push(context.reply_address());
        self.commands.push(command);
    }

    fn finished(&mut self, path: &str, answer: &FromPort, context: &mut Context<'_, Port>) {
        let Some(askers) = self.waiting.get_mut(path) else { return };
        let asker = askers.remove(0);
        if askers.is_empty() {
            self.waiting.remove(path);
        }
        context.reply_to(asker, answer);
    }
}

impl Heir {
    /// Bytes of the part that was asked for have come.
    fn receive(&mut self, part: PartOf) {
        self.bytes.extend_from_slice(&part.bytes);
        if (self.bytes.len() as u64) < part.total && !part.bytes.is_empty() {
            return;
        }
        self.whole.push(mem::take(&mut self.bytes));
        match part.range.last.checked_add(1) {
            Some(next) if !part.is_last && next <= self.hosting.last => self.first = next,
            _ => self.go_on(),
        }
    }

    /// From here on the next port is asked.
    fn go_on(&mut self) {
        self.at += 1;
        self.first = self.hosting.first;
        self.bytes.clear();
    }
}

fn ask(key: &(u64, String), context: &mut Context<'_, Port>) -> Number {
    let (destination, source) = (key.0, key.1.clone());
    context.ask(CONTROLLER, &ToController::Lookup { destination, source })
}

impl Agent for Port {
    type Message = ToPort;
    type Reply = FromPort;

    fn transition(&mut self, message: &Archived<ToPort>, context: &mut Context<'_, Port>) {
        match ToPort::owned(message) {
            ToPort::Host(hosting, legacies) if legacies.is_empty() => {
                let path = hosting.path.clone();
                self.command(path, Command::Host(hosting), context);
            }
            ToPort::Host(hosting, legacies) => self.begin_heir(hosting, legacies, context),
            ToPort::Wedge { path, parts } => {
                let parts = parts.iter().map(PartEntry::range).collect();
                self.command(path.clone(), Command::Wedge(path, parts), context);
            }
            ToPort::Fetch { path, range, from } => {
                context.reply(&self.give(&path, range.range(), from));
            }
            ToPort::Take { path, range } => {
                self.give_up(&path, range.range());
                context.reply(&FromPort::Done);
            }
            ToPort::AskAgain { path } => self.hand_on(path, context),
            ToPort::Made { path, refused } => self.made(path, refused, context),
            ToPort::Ended { path, constants } => {
                self.finished(&path, &FromPort::Ended(constants), context);
            }
            ToPort::Collect { path } => {
                self.kept.remove(&path);
            }
            ToPort::Unhost { path } => self.command(path.clone(), Command::Unhost(path), context),
            ToPort::Capture { path, held_by } => {
                self.command(path.clone(), Command::Capture(path, held_by), context);
            }
            ToPort::Hold { path, by } => {
                self.holding.insert((path.clone(), by), context.reply_address());
                self.commands.push(Command::Hold(path, by));
            }
            ToPort::Held { path, by, refused } => {
                if let Some(asker) = self.holding.remove(&(path, by)) {
                    let told = refused.map_or(FromPort::Done, FromPort::Refused);
                    context.reply_to(asker, &told);
                }
            }
            ToPort::Release { path, by } => {
                self.commands.push(Command::Release(path, by));
                context.reply(&FromPort::Done);
            }
            ToPort::Describe => {
                self.curious.push(context.reply_address());
                self.commands.push(Command::Describe);
            }
            ToPort::Described(text) => {
                let told = FromPort::Described(text);
                self.curious.drain(..).for_each(|asker| context.reply_to(asker, &told));
            }
            ToPort::Learn(knowledge) if self.was_asked_by_another(&knowledge) => {}
            ToPort::Learn(knowledge) => self.learn(&knowledge),
            ToPort::Forget { destination, epoch } => {
                self.commands.push(Command::Forget(AgentId(destination), Epoch(epoch)));
            }
            ToPort::Miss { destination, source } => self.miss(destination, source, context),
            ToPort::MissAgain { destination, source } => {
                let key = (destination, source);
                self.later.remove(&key);
                // What was held when it was asked about may have been told since, in the other order.
                if !matches!(self.lookups.get(&key), Some(Some(_))) {
                    self.look_up(key, context);
                }
            }
            ToPort::Finished { path, refused, state } => {
                let answer = match (refused, state) {
                    (Some(why), _) => FromPort::Refused(why),
                    (None, Some(state)) => FromPort::Captured(state),
                    (None, None) => FromPort::Done,
                };
                self.heirs.remove(&path);
                self.finished(&path, &answer, context);
            }
            ToPort::ControllerIsNew => self.ask_again(context),
        }
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Port>) {
        if let Some(path) = self.asked.remove(&(answer.from, answer.to)) {
            return self.port_answered(path, answer, context);
        }
        let mut outstanding = self.lookups.iter();
        let found = outstanding.find(|(_, number)| **number == Some(answer.to));
        let Some(key) = found.map(|(key, _)| key.clone()) else { return };
        if let Outcome::Unknown = answer.outcome {
            // The controller has gone; the one that comes after is asked.
            return;
        }
        self.lookups.remove(&key);
        self.note_answered(key.clone(), context.now());
        match answer.open::<FromController>().map(FromController::owned) {
            Ok(FromController::Learned(knowledge)) => {
                if knowledge.is_held() {
                    self.lookups.insert(key, None);
                }
                self.learn(&knowledge);
            }
            Ok(FromController::Refused(reason, why)) => self.refuse(key, reason.refusal(), why),
            Ok(_) => self.refuse(key, Refusal::WrongSchema, "not an answer to a look-up".into()),
            Err(refusal) => {
                let refusal = refusal.unwrap_or(Refusal::UnknownAgent);
                self.refuse(key, refusal, refusal.to_string());
            }
        }
    }
}

impl State for Port {
    const NAME: &'static str = "Port";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Port>()
    }

    fn restore(_: Captured) -> Result<Port, StateError> {
        not_restored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Addressee, Envelope};
    use crate::control::{ActionEntry, RouteEntry};
    use crate::encode::encode_to_vec;
    use crate::outputs::Outputs;

    /// Asks, and for how long is waited.
    fn seen(outputs: &Outputs) -> (u64, Vec<Duration>) {
        let waits = outputs.sent.iter().filter_map(|output| match output.letter.to {
            Addressee::Myself(wait) => Some(wait),
            _ => None,
        });
        let waits: Vec<_> = waits.collect();
        (outputs.sent.len() as u64 - waits.len() as u64, waits)
    }

    fn tell(port: &mut Port, outputs: &mut Outputs, now: Stamp, message: &ToPort) {
        let envelope = Envelope { now, ..Envelope::default() };
        let body = encode_to_vec::<ToPort>(message);
        let message = ToPort::access(&body).expect("it was encoded just now");
        port.transition(message, &mut outputs.context("port", &envelope));
    }

    /// The last ask is answered.
    fn answer(port: &mut Port, outputs: &mut Outputs, now: Stamp, told: &FromController) {
        let envelope = Envelope { now, ..Envelope::default() };
        let body = encode_to_vec::<FromController>(told);
        let outcome = Outcome::Reply { schema: FromController::SCHEMA, body: &body };
        let to = Number(seen(outputs).0 - 1);
        let answer = Answer { from: AgentId::of(CONTROLLER), to, outcome };
        port.answered(&answer, &mut outputs.context("port", &envelope));
    }

    /// What was held when it was asked about may have been told meanwhile, and have come first.
    #[test]
    fn what_is_held_is_asked_for_again_when_its_time_has_come() {
        let (mut port, mut outputs) = (Port::default(), Outputs::default());
        let destination = AgentId::from("there").0;
        let route = RouteEntry { path: "there".to_owned(), epoch: 1, action: ActionEntry::Hold };
        let held =
            FromController::Learned(Knowledge { routes: vec![route], ..Knowledge::default() });
        let source = || "client".to_owned();
        for asked in 1..=3 {
            let miss = ToPort::Miss { destination, source: source() };
            tell(&mut port, &mut outputs, Stamp(0), &miss);
            if !seen(&outputs).1.is_empty() {
                let again = ToPort::MissAgain { destination, source: source() };
                tell(&mut port, &mut outputs, Stamp(0), &again);
            }
            assert_eq!(seen(&outputs).0, asked);
            answer(&mut port, &mut outputs, Stamp(0), &held);
        }
        assert_eq!(seen(&outputs).1.len(), 1);
    }

    #[test]
    fn what_is_held_is_learned_by_who_asked_alone() {
        let (mut port, mut outputs) = (Port::default(), Outputs::default());
        let destination = AgentId::from("there").0;
        let route = RouteEntry { path: "there".to_owned(), epoch: 1, action: ActionEntry::Hold };
        let held = ToPort::Learn(Knowledge { routes: vec![route], ..Knowledge::default() });
        tell(&mut port, &mut outputs, Stamp(0), &held);
        assert!(port.take_commands().is_empty());
        let miss = ToPort::Miss { destination, source: "client".to_owned() };
        tell(&mut port, &mut outputs, Stamp(0), &miss);
        tell(&mut port, &mut outputs, Stamp(0), &held);
        assert!(matches!(port.take_commands()[..], [Command::Learn(_)]));
    }

    /// A route that leads to where nobody is is asked for again as soon as it is answered: the controller may not
    /// know better for a while.
    #[test]
    fn who_asks_again_at_once_and_again_waits_ever_longer() {
        let (mut port, mut outputs) = (Port::default(), Outputs::default());
        let mut now = Stamp(0);
        let nothing = FromController::Learned(Knowledge::default());
        let miss = ToPort::Miss { destination: 7, source: "client".to_owned() };
        for round in 0..20 {
            let (asked, before) = seen(&outputs);
            // It says so twice, as each conversation may.
            (0..2).for_each(|_| tell(&mut port, &mut outputs, now, &miss));
            let (still, waits) = seen(&outputs);
            if let Some(wait) = waits.get(before.len()) {
                let one = before.len() + 1;
                assert_eq!((still, waits.len()), (asked, one), "one waits, and is not asked");
                now.0 += wait.as_nanos() as u64;
                let again = ToPort::MissAgain { destination: 7, source: "client".to_owned() };
                tell(&mut port, &mut outputs, now, &again);
            }
            assert_eq!(seen(&outputs).0, asked + 1, "round {round}");
            answer(&mut port, &mut outputs, now, &nothing);
        }
        let (_, waits) = seen(&outputs);
        assert_eq!(waits[..3], [1, 2, 4].map(Duration::from_millis));
        assert_eq!(waits.last(), Some(&ASK_AGAIN_MAX));
        // After a while an answer was of use.
        now.0 += 2 * OF_USE.as_nanos() as u64;
        tell(&mut port, &mut outputs, now, &miss);
        assert_eq!(seen(&outputs).1.len(), waits.len());
    }
}
