//! A whole system in this process: its controller and all its boxes, each with threads of its own.

use std::path::PathBuf;
use std::sync::Arc;

use daedal_boxes::handle::Handle;
use daedal_boxes::template::Templates;

use super::{RunningBox, config_of};
use crate::assemble::HOME;
use crate::system::SystemSpec;

/// A system that runs in this process. Its boxes have their addresses, so that commands such as `daedal tree`
/// reach it, and other processes may ask it.
///
/// ```
/// use std::sync::Arc;
/// use daedal::prelude::*;
/// use daedal::running::RunningSystem;
///
/// /// Count on by so much, and answer with the new count.
/// #[message]
/// #[derive(Debug)]
/// pub struct Add(#[point] pub String, pub u64);
///
/// /// One count a name.
/// #[state]
/// #[derive(Default)]
/// pub struct Counts {
///     #[keyed]
///     counts: std::collections::BTreeMap<String, u64>,
/// }
///
/// impl Agent for Counts {
///     type Message = Add;
///     type Reply = u64;
///
///     fn transition(&mut self, add: &Archived<Add>, context: &mut Context<'_, Self>) {
///         let count = self.counts.entry(add.0.to_string()).or_default();
///         *count += add.1.to_native();
///         context.reply(count);
///     }
/// }
///
/// # fn free() -> std::net::SocketAddr {
/// #     std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
/// # }
/// let text = r#"
/// [controller]
/// address = "127.0.0.1:7000"
/// [agent.counts]
/// kind = "Counts"
/// transform = [{ shard = 4 }]
/// [box.a]
/// address = "127.0.0.1:7100"
/// "#;
/// # let text = text.replace("127.0.0.1:7000", &free().to_string());
/// # let text = text.replace("127.0.0.1:7100", &free().to_string());
/// let spec = daedal::system::parse(&text, "system.toml")?;
/// let mut templates = Templates::new();
/// templates.agent("Counts", |_| Ok(Counts::default()));
/// let journal = std::env::temp_dir().join(format!("counts-{}.journal", std::process::id()));
/// let system = RunningSystem::start(&spec, &Arc::new(templates), journal.clone())?;
///
/// // A plain thread waits; under an async runtime, await the future that `ask` returns.
/// let asked = system.handle().ask_blocking::<Counts>("counts", &Add("apples".to_owned(), 3));
/// assert_eq!(asked, Ok(3));
/// system.stop()?;
/// # std::fs::remove_file(journal)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RunningSystem {
    controller: RunningBox,
    boxes: Vec<RunningBox>,
}

impl RunningSystem {
    /// Starts the controller, then the boxes. What is asked before they have found each other waits until they
    /// have. `journal`: the file for the highest space and epoch given out, which must outlive the process if
    /// other processes belong to the system too.
    /// # Errors
    /// A text for people: as [`RunningBox::start_controller`] and [`RunningBox::start`]. Then nothing runs.
    pub fn start(
        spec: &SystemSpec,
        templates: &Arc<Templates>,
        journal: PathBuf,
    ) -> Result<RunningSystem, String> {
        let home = config_of(spec, HOME)?;
        let controller = RunningBox::start_controller(home, templates, spec.clone(), journal)?;
        let mut system = RunningSystem { controller, boxes: Vec::new() };
        for name in spec.boxes.keys() {
            let started = config_of(spec, name).and_then(|it| RunningBox::start(it, templates));
            match started {
                Ok(it) => system.boxes.push(it),
                Err(why) => {
                    // What else goes wrong is a consequence.
                    let _ = system.stop();
                    return Err(format!("box \"{name}\": {why}"));
                }
            }
        }
        Ok(system)
    }

    /// For threads and tasks of this process: asks and sends through the first box, by name.
    pub fn handle(&self) -> &Handle {
        self.boxes.first().unwrap_or(&self.controller).handle()
    }

    /// Its boxes, by name.
    pub fn boxes(&self) -> &[RunningBox] {
        &self.boxes
    }

    /// Stops the boxes, then the controller: asks that wait end as *unknown*, later ones are not sent.
    /// # Errors
    /// The first reactor that does not stop; the others are told to all the same.
    pub fn stop(self) -> Result<(), String> {
        let all = self.boxes.into_iter().chain([self.controller]);
        all.map(RunningBox::stop).fold(Ok(()), Result::and)
    }
}
