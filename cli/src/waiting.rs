//! A box that is not part of its system yet: why, for whoever started it.
//!
//! The box itself goes on trying, and joins when it can; here a guest looks at what it may be waiting for.
//! A second box of one name hears nothing from the controller, which speaks with the first; a guest does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daedal::Templates;
use daedal::model::control::{FromController, ToController, manager_path};
use daedal::model::controller::Controller;
use daedal::model::latt::CONTROLLER;
use daedal::running::{BoxConfig, RunningBox};

use crate::describe::ask_within;

/// A box is let in within milliseconds of its start, when the controller is there.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Each look is twice as long after the one before, up to this.
pub const LOOK_AT_MOST: Duration = Duration::from_secs(300);

/// How long the controller may take, for a guest.
const ANSWER_AT_MOST: Duration = Duration::from_secs(2);

/// Why a box waits.
#[derive(PartialEq)]
pub enum Why {
    /// It will join when it can.
    Unknown,
    /// For this.
    For(String),
    /// In vain: another process is this box.
    InVain(String),
}

/// What else may keep a controller from answering.
pub fn of_secret(config: &BoxConfig) -> &'static str {
    match config.secret {
        Some(_) => ", and see that its secret_file holds the same",
        None => "",
    }
}

/// Why the box of a system file waits.
pub fn look(config: &BoxConfig, file: &Path) -> Why {
    // It speaks with the controller alone. What keeps a guest from doing so may pass.
    let templates = Arc::new(Templates::new());
    let secret = config.secret.as_deref();
    let Ok(guest) = RunningBox::start_guest(config.controller, secret, &templates) else {
        return Why::Unknown;
    };
    let ask = |request: ToController| {
        ask_within::<Controller>(guest.handle(), CONTROLLER.into(), &request, ANSWER_AT_MOST)
    };
    if let Ok(None) = ask(ToController::Here) {
        return Why::For(format!(
            "the controller at {}, which does not answer: start it with \
             `daedal box controller --system {}`{}",
            config.controller,
            file.display(),
            of_secret(config)
        ));
    }
    let Ok(manager) = manager_path(&config.name) else { return Why::Unknown };
    let (destination, source) = (manager.logical_id().0, "guest".to_owned());
    // Without an answer no process is this box yet, so it may still be this one.
    let learned = match ask(ToController::Lookup { destination, source }) {
        Ok(Some(FromController::Learned(learned))) => learned,
        _ => return Why::Unknown,
    };
    match learned.boxes.iter().find(|it| it.address != config.address.to_string()) {
        None => Why::Unknown,
        Some(first) => Why::InVain(format!(
            "a box of this name is part of the system already, at {}, and this one is at {}: stop \
             that one and start this one there, or give this one another name; if that one has crashed, \
             start this one at its address once",
            first.address, config.address
        )),
    }
}
