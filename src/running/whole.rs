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

    /// The controller's own box.
    pub fn controller(&self) -> &RunningBox {
        &self.controller
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream, UdpSocket};

    use super::*;

    fn metrics(at: SocketAddr) -> String {
        let mut client = TcpStream::connect(at).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_system_in_this_process_gives_out_the_metrics_that_its_file_asks_for() {
        let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "[controller]\naddress = \"{}\"\nmetrics = \"127.0.0.1:0\"\n\
             [box.a]\naddress = \"{}\"\nmetrics = \"127.0.0.1:0\"\n\
             [box.b]\naddress = \"{}\"",
            free(),
            free(),
            free()
        );
        let spec = crate::system::parse(&text, "system.toml").unwrap();
        let journal = std::env::temp_dir().join(format!("daedal-metrics-{}", std::process::id()));
        let templates = Arc::new(Templates::new());
        let system = RunningSystem::start(&spec, &templates, journal.clone()).unwrap();
        for (it, name) in [(system.controller(), HOME), (&system.boxes()[0], "a")] {
            let told = metrics(it.metrics().unwrap());
            let sample = format!("daedal_turns_busy_total{{box=\"{name}\",reactor=\"0\"}} ");
            assert!(told.starts_with("HTTP/1.1 200 OK") && told.contains(&sample), "{told}");
            assert_eq!(it.counters(), None, "nothing is left behind");
        }
        assert_eq!(system.boxes()[1].metrics(), None);
        system.stop().unwrap();
        std::fs::remove_file(journal).unwrap();
    }
}
