//! A reactor's port: the agent through which a reactor speaks with the control plane.
//!
//! It turns what the reactor misses into look-ups, one at a time for each destination and sender, and
//! what it is told into [`Command`]s, which the reactor's turn takes and carries out after each of its
//! transitions. It holds no table itself.
//! Invariant: a miss is asked about until it is answered, also by the controller that comes after.
//! Source: Ovid §6.3 (identifier misses and BRT misses).

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use crate::agent::{Agent, Answer, Archived, Outcome, Refusal, ReplyTo};
use crate::context::Context;
use crate::control::{
    FromController, FromPort, Hosting, Knowledge, Learned, Legacy, PartEntry, PartOf, ToController,
    ToPort, not_restored,
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
const FETCH_AGAIN: Duration = Duration::from_millis(100);

/// What a reactor is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run an agent, then tell the port that it is `Finished`. It goes on from these parts of earlier
    /// lives, as their reactors encoded them; without any it begins anew.
    Host(Hosting, Vec<Vec<u8>>),
    /// End the agent of this path, give the port what it was, in parts for these ranges
    /// ([`Port::keep`]), then tell it that this is `Finished`.
    Wedge(String, Vec<PointRange>),
    /// End the agent of this path, then tell the port that it is `Finished`.
    Unhost(String),
    /// Take the state of the agent of this path, and give it to the port with `Finished`.
    Capture(String),
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
    /// Who waits to be told how the reactor runs.
    curious: Vec<ReplyTo>,
    /// By path, what lives that were wedged here were.
    kept: BTreeMap<String, Vec<Kept>>,
    /// By path, who is to run here, once what it goes on from is here.
    heirs: BTreeMap<String, Heir>,
    /// Which heir an answer is for, by number and port.
    fetching: BTreeMap<(AgentId, Number), String>,
}

/// A part of what a life was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The part's points.
    pub range: PointRange,
    /// As the reactor encoded it.
    pub bytes: Vec<u8>,
}

/// An agent whose parts are being fetched, one after another.
#[derive(Clone, Debug)]
struct Heir {
    hosting: Hosting,
    /// What it goes on from, the next one last.
    legacies: Vec<Legacy>,
    /// Which part of that one.
    part: u32,
    /// The bytes of that part that are here.
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

    fn give(&self, path: &str, part: u32, from: u64) -> FromPort {
        let Some(kept) = self.kept.get(path) else {
            return FromPort::Refused(format!("nothing is kept here of {path}").into());
        };
        let Some(it) = kept.get(part as usize) else {
            return FromPort::Refused(format!("{path} has {} parts", kept.len()).into());
        };
        let rest = it.bytes.get(from as usize..).unwrap_or_default();
        FromPort::Part(PartOf {
            range: it.range.into(),
            bytes: rest[..rest.len().min(FETCH_BYTES)].to_vec(),
            total: it.bytes.len() as u64,
            parts: kept.len() as u32,
        })
    }

    fn begin_heir(
        &mut self,
        hosting: Hosting,
        mut legacies: Vec<Legacy>,
        context: &mut Context<'_, Port>,
    ) {
        let path = hosting.path.clone();
        self.waiting.entry(path.clone()).or_default().push(context.reply_address());
        legacies.reverse();
        let (bytes, whole) = (Vec::new(), Vec::new());
        self.heirs.insert(path.clone(), Heir { hosting, legacies, part: 0, bytes, whole });
        self.fetch(path, context);
    }

    /// Asks for what an heir lacks; when that is nothing, it may run.
    fn fetch(&mut self, path: String, context: &mut Context<'_, Port>) {
        let Some(heir) = self.heirs.get(&path) else { return };
        let Some(legacy) = heir.legacies.last() else {
            let Some(heir) = self.heirs.remove(&path) else { return };
            return self.commands.push(Command::Host(heir.hosting, heir.whole));
        };
        let port = AgentId::from(legacy.port.as_str());
        let (part, from) = (heir.part, heir.bytes.len() as u64);
        let number = context.ask(port, &ToPort::Fetch { path: legacy.path.clone(), part, from });
        self.fetching.insert((port, number), path);
    }

    /// A port has answered; or it has not, and nobody can say when it will.
    fn fetched(&mut self, path: String, answer: &Answer<'_>, context: &mut Context<'_, Port>) {
        let Some(heir) = self.heirs.get_mut(&path) else { return };
        match answer.open::<FromPort>().map(FromPort::owned) {
            Ok(FromPort::Part(part)) => heir.take(part),
            // It is there, and keeps nothing: its process is another than then. So it is when there is
            // no such port any more.
            Ok(_) | Err(Some(Refusal::UnknownAgent)) => heir.go_on(),
            Err(_) => {
                context.after(FETCH_AGAIN, &ToPort::FetchAgain { path });
                return;
            }
        }
        self.fetch(path, context);
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

    fn learn(&mut self, knowledge: &Knowledge) {
        self.commands.push(Command::Learn(knowledge.read()));
        let Some(first) = knowledge.routes.first().filter(|_| !knowledge.is_held()) else { return };
        let destination = AgentId::from(first.path.as_str()).0;
        self.lookups.retain(|(other, _), number| *other != destination || number.is_some());
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
    fn take(&mut self, part: PartOf) {
        let range = part.range.range();
        let is_wanted = range.overlaps(&self.hosting.range());
        self.bytes.extend_from_slice(&part.bytes);
        if is_wanted && (self.bytes.len() as u64) < part.total && !part.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        if is_wanted {
            self.whole.push(bytes);
        }
        self.part += 1;
        // One that says that there are none has no next.
        if self.part >= part.parts {
            self.go_on();
        }
    }

    /// From here on the next life is asked for.
    fn go_on(&mut self) {
        self.legacies.pop();
        self.part = 0;
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
                self.command(path, Command::Host(hosting, Vec::new()), context);
            }
            ToPort::Host(hosting, legacies) => self.begin_heir(hosting, legacies, context),
            ToPort::Wedge { path, parts } => {
                let parts = parts.iter().map(PartEntry::range).collect();
                self.command(path.clone(), Command::Wedge(path, parts), context);
            }
            ToPort::Fetch { path, part, from } => context.reply(&self.give(&path, part, from)),
            ToPort::FetchAgain { path } => self.fetch(path, context),
            ToPort::Collect { path } => {
                self.kept.remove(&path);
            }
            ToPort::Unhost { path } => self.command(path.clone(), Command::Unhost(path), context),
            ToPort::Capture { path } => self.command(path.clone(), Command::Capture(path), context),
            ToPort::Describe => {
                self.curious.push(context.reply_address());
                self.commands.push(Command::Describe);
            }
            ToPort::Described(text) => {
                let told = FromPort::Described(text);
                self.curious.drain(..).for_each(|asker| context.reply_to(asker, &told));
            }
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
                self.finished(&path, &answer, context);
            }
            ToPort::ControllerIsNew => self.ask_again(context),
        }
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Port>) {
        if let Some(path) = self.fetching.remove(&(answer.from, answer.to)) {
            return self.fetched(path, answer, context);
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
