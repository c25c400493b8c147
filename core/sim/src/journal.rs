//! The controller's journal on a simulated disk, which outlives its process.
//!
//! Invariant: what was answered is on the disk.

use std::cell::RefCell;
use std::rc::Rc;

use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::control::{Raise, Raised};
use daedal_model::message::Wire;
use daedal_model::state::{Captured, State, StateError};

/// What is synced: one more than the highest space and epoch that were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    space: u32,
    epoch: u32,
}

/// The agent.
#[derive(Debug)]
pub struct Journal {
    disk: Rc<RefCell<Disk>>,
}

impl Journal {
    /// A journal of what is on `disk`.
    pub fn new(disk: Rc<RefCell<Disk>>) -> Journal {
        Journal { disk }
    }
}

impl Agent for Journal {
    type Message = Raise;
    type Reply = Raised;

    fn transition(&mut self, message: &Archived<Raise>, context: &mut Context<'_, Journal>) {
        let Raise { spaces, epochs } = Raise::owned(message);
        let mut disk = self.disk.borrow_mut();
        disk.space += spaces;
        disk.epoch += epochs;
        context.reply(&Raised { space: disk.space, epoch: disk.epoch });
    }
}

impl State for Journal {
    const NAME: &'static str = "Journal";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Journal>()
    }

    fn restore(_: Captured) -> Result<Journal, StateError> {
        Err(StateError::Forbidden("a journal's state is its disk".to_owned()))
    }
}
