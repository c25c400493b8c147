//! A box manager that says aloud how its box fares, to whoever started it.

use std::sync::mpsc::Sender;

use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::control::{Failure, FromPort, ToManager};
use daedal_model::id::BoxId;
use daedal_model::manager::{BoxManager, Registration};
use daedal_model::message::Wire;
use daedal_model::state::{Captured, State, StateError};

/// What a box says of itself while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The controller took it in.
    Member(BoxId),
    /// The controller does not want it: the text says why.
    Refused(String),
    /// An agent that was to run here does not: why, and whether it will be tried again.
    NotStarted(Failure),
}

/// A box manager that says aloud how it stands with the controller.
pub(super) struct Outspoken {
    manager: BoxManager,
    says: Sender<Word>,
    /// Said last of how it stands with the controller.
    said: Option<Word>,
}

impl Outspoken {
    pub fn new(manager: BoxManager, says: Sender<Word>) -> Outspoken {
        Outspoken { manager, says, said: None }
    }

    fn say(&mut self) {
        let word = match self.manager.registration() {
            Registration::Asking => return,
            Registration::Member(id) => Word::Member(*id),
            Registration::Refused(why) => Word::Refused(why.clone()),
        };
        if self.said.as_ref() != Some(&word) {
            self.said = Some(word.clone());
            // Nobody may be listening any more.
            let _ = self.says.send(word);
        }
    }
}

impl Agent for Outspoken {
    type Message = ToManager;
    type Reply = <BoxManager as Agent>::Reply;

    fn start(&mut self, context: &mut Context<'_, Self>) {
        self.manager.start(&mut context.of());
        self.say();
    }

    fn transition(&mut self, message: &Archived<ToManager>, context: &mut Context<'_, Self>) {
        self.manager.transition(message, &mut context.of());
        self.say();
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        if let Ok(FromPort::Refused(failure)) = answer.open::<FromPort>().map(FromPort::owned) {
            let _ = self.says.send(Word::NotStarted(failure));
        }
        self.manager.answered(answer, &mut context.of());
        self.say();
    }
}

impl State for Outspoken {
    const NAME: &'static str = BoxManager::NAME;
    const VERSION: u16 = BoxManager::VERSION;

    fn capture(&self) -> Captured {
        self.manager.capture()
    }

    fn restore(_: Captured) -> Result<Self, StateError> {
        Err(StateError::Forbidden("a box manager learns its state again".into()))
    }
}
