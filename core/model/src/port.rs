//! A reactor's port: the agent through which a reactor speaks with the control plane.
//!
//! It turns what the reactor misses into look-ups, one at a time for each destination and sender, and
//! what it is told into [`Command`]s, which the reactor's turn takes and carries out after each of its
//! transitions. It holds no table itself.
//! Invariant: a miss is asked about until it is answered, also by the controller that comes after.
//! Source: Ovid §6.3 (identifier misses and BRT misses).

use std::collections::BTreeMap;
use std::mem;

use crate::agent::{Agent, Answer, Archived, Outcome, Refusal, ReplyTo};
use crate::context::Context;
use crate::control::{
    FromController, FromPort, Hosting, Knowledge, Learned, ToController, ToPort, not_restored,
};
use crate::id::{AgentId, Epoch, Number};
use crate::latt::CONTROLLER;
use crate::message::Wire;
use crate::state::{Captured, State, StateError};

/// Most look-ups of one reactor that are not answered; more are refused as overload.
pub const LOOKUPS_MAX: usize = 16_384;

/// What a reactor is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run an agent, then tell the port that it is `Finished`.
    Host(Hosting),
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
#[derive(Debug, Default)]
pub struct Port {
    commands: Vec<Command>,
    /// Destination and sender of look-ups that are not answered in full, with the ask's number while the
    /// answer is outstanding.
    lookups: BTreeMap<(u64, String), Option<Number>>,
    /// Who waits for a command, in the order in which they came, by the path that it named.
    waiting: BTreeMap<String, Vec<ReplyTo>>,
    /// Who waits to be told how the reactor runs.
    curious: Vec<ReplyTo>,
}

impl Port {
    /// What the reactor is to do now, in this order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        mem::take(&mut self.commands)
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
        let number = ask(&key, context);
        self.lookups.insert(key, Some(number));
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

fn ask(key: &(u64, String), context: &mut Context<'_, Port>) -> Number {
    let (destination, source) = (key.0, key.1.clone());
    context.ask(CONTROLLER, &ToController::Lookup { destination, source })
}

impl Agent for Port {
    type Message = ToPort;
    type Reply = FromPort;

    fn transition(&mut self, message: &Archived<ToPort>, context: &mut Context<'_, Port>) {
        match ToPort::owned(message) {
            ToPort::Host(hosting) => {
                self.command(hosting.path.clone(), Command::Host(hosting), context);
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

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Port>) {
        let mut outstanding = self.lookups.iter();
        let found = outstanding.find(|(_, number)| **number == Some(answer.to));
        let Some(key) = found.map(|(key, _)| key.clone()) else { return };
        if let Outcome::Unknown = answer.outcome {
            // The controller has gone; the one that comes after is asked.
            return;
        }
        self.lookups.remove(&key);
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
