//! The system file: what a system is made of, as TOML, read into plain data and written back.
//!
//! Only says what is wanted: it starts nothing, resolves no host name and knows no kind of agent; keys
//! that it does not know are the kind's parameters. Whatever is wrong is a [`SystemError`] that names
//! file, line and fix; no input panics. Invariant: [`SystemSpec::to_toml`] of a spec that was read
//! reads as the same spec. Source: Ovid §3.3 (the tree as a statement), §6.1 (boxes, placement).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use daedal_boxes::executor::Executor;
use daedal_model::id::BoxId;

mod agents;
mod boxes;
mod error;
mod names;
mod section;
mod source;
#[cfg(test)]
mod tests;
mod write;

pub use daedal_net::driver::DriverKind;
pub use error::{Problem, SystemError};

/// Largest system file, in bytes: some 10,000 agents, and little enough to be read at once.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Most boxes of a system: a box table stays within a few pages, and ids fit [`BoxId`].
pub const BOXES_MAX: usize = 4096;

/// Most shards or copies that one transformation makes, and most leaves that one agent becomes.
pub const CHILDREN_MAX: u16 = 4096;

/// Most segments of an agent's path: the agent's name, and one for each transformation.
pub const SEGMENTS_MAX: usize = 16;

/// Where the controller listens when the file does not say.
pub const CONTROLLER_ADDRESS: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7000));

/// A whole system, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemSpec {
    /// File that holds what all frames of the system are sealed with, as it was written: a relative name starts
    /// at the working directory of each box. `None`: frames are not sealed.
    pub secret_file: Option<String>,
    /// The controller.
    pub controller: ControllerSpec,
    /// The agents under the system agent, by name.
    pub agents: BTreeMap<String, AgentSpec>,
    /// The boxes, by name; at least one.
    pub boxes: BTreeMap<String, BoxSpec>,
}

/// The controller: box 0, with one reactor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerSpec {
    /// Where it listens, and where boxes and commands find it.
    pub address: SocketAddr,
    /// File that keeps the highest space and epoch handed out, as it was written: a relative one starts
    /// at the working directory of the controller.
    pub journal: Option<String>,
    /// What its rounds run on, and what writes its journal.
    pub executor: Executor,
    /// Where its counters can be had as text for Prometheus.
    pub metrics: Option<SocketAddr>,
    /// What its links are set to.
    pub links: LinkSpec,
}

/// Settings of the links that a box's reactors have to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSpec {
    /// How long packets may wait in the network before a link slows down, microseconds, from 1;
    /// `None`: [`QUEUE_NS`](daedal_net::limits::QUEUE_NS).
    pub queue_us: Option<u16>,
    /// Shortest time before something is sent again that was not heard of, microseconds, from 1;
    /// `None`: [`TIMEOUT_NS_MIN`](daedal_net::limits::TIMEOUT_NS_MIN).
    pub repeat_us: Option<u16>,
}

/// One agent: what it is, what it becomes, where that may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSpec {
    /// Name of the state machine, as the program registered it.
    pub kind: String,
    /// Transformations, outermost first.
    pub transform: Vec<Transform>,
    /// Names of the boxes that it and its children may run on; empty: any.
    pub boxes: Vec<String>,
    /// The reactor that it is pinned to. Only with exactly one box.
    pub reactor: Option<u8>,
    /// Beginnings of children's names of which no two share a box: `shard`, `copy`.
    pub apart: Vec<String>,
    /// What else was written, handed to the kind: strings, numbers and booleans, as text.
    pub parameters: BTreeMap<String, String>,
}

/// A transformation and its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transform {
    /// Processes each sender's messages in the order in which they were sent.
    Ordered,
    /// Splits the keys over so many shards, 1 to [`CHILDREN_MAX`].
    Shard(u16),
    /// Spreads the load over so many copies, 1 to [`CHILDREN_MAX`].
    Balance(u16),
}

/// One box: a process with pinned reactors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxSpec {
    /// Where reactor 0 listens; reactor k listens on the port plus k.
    pub address: SocketAddr,
    /// How many reactors, from 1.
    pub reactors: u8,
    /// What its reactors' rounds run on.
    pub executor: Executor,
    /// Where its counters can be had as text for Prometheus.
    pub metrics: Option<SocketAddr>,
    /// How its reactors wait; `None`: the box chooses, and says what.
    pub idle: Option<Idle>,
    /// What moves its frames; `None`: the box chooses, and says what.
    pub driver: Option<DriverKind>,
    /// The processors that its reactors are pinned to, in turn; none: they are not pinned.
    pub cpus: Vec<u16>,
    /// File that its frames are written to, both ways, for tcpdump and wireshark to read; `None`: none. Of
    /// reactor k > 0 it is the file of that name with `.k` behind. A relative name starts at the working
    /// directory of the box.
    pub pcap: Option<String>,
    /// What its links are set to.
    pub links: LinkSpec,
}

impl BoxSpec {
    /// One reactor at an address, with the defaults of a system file.
    pub fn at(address: SocketAddr) -> BoxSpec {
        BoxSpec {
            address,
            reactors: 1,
            executor: Executor::default(),
            metrics: None,
            idle: None,
            driver: None,
            cpus: Vec::new(),
            pcap: None,
            links: LinkSpec::default(),
        }
    }
}

/// How a reactor waits when nothing is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Spins for long: lowest latency, a whole core.
    Latency,
    /// Spins briefly, then parks.
    Balanced,
    /// Parks at once.
    Frugal,
}

impl Default for ControllerSpec {
    fn default() -> ControllerSpec {
        ControllerSpec {
            address: CONTROLLER_ADDRESS,
            journal: None,
            executor: Executor::default(),
            metrics: None,
            links: LinkSpec::default(),
        }
    }
}

impl Transform {
    /// How many children it makes.
    pub fn children(&self) -> u16 {
        match *self {
            Transform::Ordered => 1,
            Transform::Shard(count) | Transform::Balance(count) => count,
        }
    }

    /// How its children's names begin: a number follows.
    pub fn child(&self) -> &'static str {
        match self {
            Transform::Ordered => "line",
            Transform::Shard(_) => "shard",
            Transform::Balance(_) => "copy",
        }
    }
}

impl SystemSpec {
    /// The id of a box: 1 + its place by name; 0 is the controller's.
    pub fn box_id(&self, name: &str) -> Option<BoxId> {
        let place = self.boxes.keys().position(|other| other == name)?;
        Some(BoxId(u16::try_from(place + 1).ok()?))
    }
}

/// Reads a system file's text. `file_name` is what errors call it. No I/O.
///
/// ```
/// use daedal::system::parse;
///
/// let text = "[agent.kvs]\nkind = \"KeyValue\"\n[box.a]\naddress = \"127.0.0.1:7201\"";
/// assert_eq!(parse(text, "system.toml")?.agents["kvs"].kind, "KeyValue");
///
/// let error = parse(&text.replace("7201", "0"), "system.toml").unwrap_err();
/// assert!(error.to_string().starts_with("system.toml:4: box \"a\": port 0 cannot be known"));
/// # Ok::<(), daedal::system::SystemError>(())
/// ```
/// # Errors
/// The first [`SystemError`] found: controller, then boxes, then agents, each by name.
pub fn parse(text: &str, file_name: &str) -> Result<SystemSpec, SystemError> {
    let source = source::Source { file: file_name, text };
    if text.len() > FILE_BYTES_MAX {
        return Err(source.whole(Problem::TooLarge));
    }
    let tables = toml::de::DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        source.at(span, "", Problem::Syntax { message: error.message().to_owned() })
    })?;
    let mut root = section::Section::new(&source, String::new(), tables.get_ref());
    root.expect_keys(&["secret_file", "controller", "agent", "box"])?;
    let secret_file =
        boxes::take_file(&mut root, "secret_file", "a file name, such as \"kvs.secret\"")?;
    let controller = root.take_table("controller")?;
    let boxes = root.take_table("box")?;
    let agents = root.take_table("agent")?;

    let mut ports = boxes::Ports::default();
    let controller = boxes::read_controller(controller, &mut ports)?;
    let boxes = boxes::read_boxes(&source, boxes, &mut ports)?;
    let agents = agents::read_agents(agents, &boxes)?;
    Ok(SystemSpec { secret_file, controller, agents, boxes })
}

/// Reads a system file.
/// # Errors
/// When the file cannot be read, is larger than [`FILE_BYTES_MAX`], is not UTF-8, and as [`parse`].
pub fn load(path: &Path) -> Result<SystemSpec, SystemError> {
    load_checked(path, |_| Ok(()))
}

/// An agent that cannot be as the file says.
pub(crate) struct Unfit {
    /// Which; `None`: it is about all of them.
    pub(crate) agent: Option<String>,
    /// What of it.
    pub(crate) key: &'static str,
    /// What is wrong, and what to do.
    pub(crate) why: String,
}

/// [`load`]; what `check` finds wrong is shown where it stands.
pub(crate) fn load_checked(
    path: &Path,
    check: impl FnOnce(&SystemSpec) -> Result<(), Unfit>,
) -> Result<SystemSpec, SystemError> {
    let name = path.display().to_string();
    let text = read(path, &name)?;
    let spec = parse(&text, &name)?;
    let source = source::Source { file: &name, text: &text };
    check(&spec).map_err(|unfit| unfit.shown(&source))?;
    Ok(spec)
}

impl Unfit {
    fn shown(self, source: &source::Source<'_>) -> SystemError {
        let Unfit { agent, key, why } = self;
        let problem = Problem::Unfit { why };
        let Some(agent) = agent else { return source.whole(problem) };
        // It was read before: it can be read again.
        let Ok(tables) = toml::de::DeTable::parse(source.text) else {
            return source.whole(problem);
        };
        let agents = tables.get_ref().get("agent").and_then(|value| value.get_ref().as_table());
        let Some((name, value)) = agents.and_then(|it| it.get_key_value(agent.as_str())) else {
            return source.whole(problem);
        };
        let value = value.get_ref().as_table().and_then(|table| table.get(key));
        let span = value.map_or(name.span(), |value| value.span());
        source.at(span, &format!("agent \"{agent}\""), problem)
    }
}

/// The text of a file that errors call `name`.
fn read(path: &Path, name: &str) -> Result<String, SystemError> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let source = source::Source { file: name, text: "" };
            source.whole(Problem::Unreadable { error: error.to_string() })
        })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(source::Source { file: name, text: "" }.whole(Problem::TooLarge));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        source::Source { file: name, text: &text }.at(at..at, "", Problem::NotUtf8)
    })
}
