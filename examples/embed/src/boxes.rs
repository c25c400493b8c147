//! The boxes of this process: the whole system, or one box of a larger one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use daedal::running::{RunningBox, RunningSystem, Word, config_of};
use daedal::{Handle, assemble, system};

/// The system that runs when no file states another.
const SYSTEM: &str = include_str!("../system.toml");

/// The boxes of this process.
#[derive(Debug)]
pub enum Boxes {
    /// A system of its own.
    Whole(RunningSystem),
    /// One box of a system whose others are elsewhere.
    One(RunningBox),
}

impl Boxes {
    /// Starts them. `file`: states the system; `name`: the one box of it that this process is.
    /// # Errors
    /// What is wrong with the file, a box that it does not have, a port that is taken.
    pub fn start(file: Option<&Path>, name: Option<&str>) -> Result<Boxes> {
        let templates = Arc::new(crate::templates());
        let spec = match file {
            Some(file) => assemble::load(file, &templates)?,
            None => system::parse(SYSTEM, "the built-in system.toml")?,
        };
        let started = match name {
            Some(name) => config_of(&spec, name)
                .and_then(|config| RunningBox::start(config, &templates))
                .map(Boxes::One),
            // What the agents hold is gone with this process, so nothing of it need be known later.
            None => {
                let journal = format!("embed-{}.journal", spec.controller.address.port());
                let journal = std::env::temp_dir().join(journal);
                RunningSystem::start(&spec, &templates, journal).map(Boxes::Whole)
            }
        };
        started.map_err(|why| anyhow!(why)).context("the boxes do not start")
    }

    /// What the service asks through.
    pub fn handle(&self) -> &Handle {
        match self {
            Boxes::Whole(system) => system.handle(),
            Boxes::One(it) => it.handle(),
        }
    }

    /// Why the service cannot go on, if it came up within `at_most`.
    pub fn next_refusal(&self, at_most: Duration) -> Option<String> {
        let boxes = match self {
            Boxes::Whole(system) => system.boxes(),
            Boxes::One(it) => std::slice::from_ref(it),
        };
        let each = at_most / boxes.len().max(1) as u32;
        boxes.iter().find_map(|it| match it.next_word(each) {
            Some(Word::Refused(why)) => Some(format!("box \"{}\": {why}", it.config().name)),
            _ => None,
        })
    }

    /// Stops them.
    /// # Errors
    /// One that does not stop.
    pub fn stop(self) -> Result<()> {
        let stopped = match self {
            Boxes::Whole(system) => system.stop(),
            Boxes::One(it) => it.stop(),
        };
        stopped.map_err(|why| anyhow!(why))
    }
}
