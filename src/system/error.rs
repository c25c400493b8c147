//! What is wrong with a system file, where, and what to do: one line of text, then the excerpt.

use std::fmt;

use crate::assemble::HOME;

use super::{BOXES_MAX, CHILDREN_MAX, FILE_BYTES_MAX, SEGMENTS_MAX};

/// What is wrong with a system file, and where.
#[derive(Debug)]
pub struct SystemError {
    pub(super) file: String,
    /// Counted from 1; `None` when the file as a whole is meant.
    pub(super) line: Option<usize>,
    pub(super) subject: String,
    pub(super) problem: Box<Problem>,
    /// The line and, below it, marks under the part that is meant. Empty without a line.
    pub(super) excerpt: String,
}

/// What is wrong with a system file. Its text says what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file could not be opened or read.
    #[error("cannot be read: {error}; name a file that can, or write one")]
    Unreadable {
        /// What the operating system said.
        error: String,
    },
    /// More than [`FILE_BYTES_MAX`].
    #[error(
        "larger than {FILE_BYTES_MAX} bytes; describe fewer agents, or create them at run time"
    )]
    TooLarge,
    /// Not text.
    #[error("not UTF-8; save the file as UTF-8 text")]
    NotUtf8,
    /// Not TOML.
    #[error("not TOML: {message}; correct what is marked")]
    Syntax {
        /// What the TOML reader said.
        message: String,
    },
    /// A key that nothing reads.
    #[error("unknown key \"{key}\"; {}", instead(*nearest, known))]
    UnknownKey {
        /// As written.
        key: String,
        /// What it was probably meant to be.
        nearest: Option<&'static str>,
        /// All that could stand here.
        known: &'static [&'static str],
    },
    /// A parameter whose name is all but a key of ours.
    #[error("\"{key}\" looks like \"{nearest}\"; write that, or give the parameter another name")]
    MisspeltKey {
        /// As written.
        key: String,
        /// What it was probably meant to be.
        nearest: &'static str,
    },
    /// A key that must be there is not.
    #[error("{key} is missing; write {example}")]
    Missing {
        /// Which.
        key: &'static str,
        /// How it could look.
        example: &'static str,
    },
    /// A value of another type.
    #[error("{key} is {}; write {want}", a(found))]
    WrongType {
        /// Whose value.
        key: String,
        /// Its type.
        found: &'static str,
        /// What should be there.
        want: &'static str,
    },
    /// Something that is not a name.
    #[error("\"{name}\" is no name; write a letter, then up to 62 letters, digits{marks}")]
    Name {
        /// As written.
        name: String,
        /// What else may stand in such a name.
        marks: &'static str,
    },
    /// A text that must say something and is empty.
    #[error("{key} is empty; write {example}, or leave {key} out")]
    Empty {
        /// Whose value.
        key: &'static str,
        /// How it could look.
        example: &'static str,
    },
    /// A number out of its range.
    #[error("{what} is {found}; write a number from {from} to {to}")]
    OutOfRange {
        /// What is counted.
        what: &'static str,
        /// As written.
        found: String,
        /// Smallest.
        from: u16,
        /// Largest.
        to: u16,
    },
    /// A value that is not one of a few.
    #[error("{key} is \"{found}\"; {}", instead(*nearest, known))]
    NotOneOf {
        /// Whose value.
        key: &'static str,
        /// As written.
        found: String,
        /// What it was probably meant to be.
        nearest: Option<&'static str>,
        /// All that there are.
        known: &'static [&'static str],
    },
    /// A driver that is asked for in a way that there is not.
    #[error("driver: {why}; write one such as \"shm\", \"xdp\" or \"xdp:native,busy-poll=64\"")]
    DriverOptions {
        /// What is wrong.
        why: String,
    },
    /// Planned, not there yet.
    #[error("{what} \"{name}\" is not built yet; write {}", one_of(built))]
    NotBuilt {
        /// Of which kind, such as a transformation.
        what: &'static str,
        /// As written.
        name: String,
        /// Those that are there.
        built: &'static [&'static str],
    },
    /// There, but not in this build.
    #[error(
        "driver {feature} is not in this build; `cargo build --release -p daedal-cli --features {feature}` makes one \
         that has it, or write {}",
        one_of(built)
    )]
    NotInThisBuild {
        /// Which feature has it.
        feature: &'static str,
        /// Those that are there.
        built: &'static [&'static str],
    },
    /// A transformation that is written with too much, too little, or not as a table.
    #[error(
        "a transformation is one name and one count; write {{ shard = 4 }}, {{ balance = 3 }}, or \
         \"ordered\", which has no count"
    )]
    TransformShape,
    /// More transformations than a path has segments.
    #[error("{count} transformations; write at most {}", SEGMENTS_MAX - 1)]
    TooDeep {
        /// How many.
        count: usize,
    },
    /// Transformations that multiply to too many.
    #[error(
        "its transformations make {leaves} leaves; write counts whose product is at most {CHILDREN_MAX}"
    )]
    TooManyLeaves {
        /// How many they make.
        leaves: u64,
    },
    /// Not an IP address with a port.
    #[error("\"{text}\" is no address; write an IP address and a port, such as \"127.0.0.1:7201\"")]
    Address {
        /// As written.
        text: String,
    },
    /// An address that no other box could send to.
    #[error("{ip} cannot be sent to by other boxes; write an address of the machine itself")]
    Unreachable {
        /// Which.
        ip: std::net::IpAddr,
    },
    /// A port that the kernel would choose.
    #[error("port 0 cannot be known to other boxes; write a port from 1 to 65535")]
    PortZero,
    /// The last reactor's port would be past the last port.
    #[error("{reactors} reactors from port {port} need ports past 65535; write a port up to {}", 65536 - u32::from(*reactors))]
    PortsRunOut {
        /// The first port.
        port: u16,
        /// How many are needed.
        reactors: u8,
    },
    /// More processors than threads that could be pinned to them.
    #[error("{cpus} cpus for {}; write at most {reactors}, or more reactors", counted(*reactors))]
    MoreCpusThanReactors {
        /// How many processors.
        cpus: usize,
        /// How many reactors the box has.
        reactors: u8,
    },
    /// Two that would listen on one port.
    #[error(
        "port {port} of {ip} is taken by {owner}; write ports that no other uses (reactor k of a box has its port + k)"
    )]
    PortTaken {
        /// The port in both ranges.
        port: u16,
        /// The address.
        ip: std::net::IpAddr,
        /// Who has it, and where that is written.
        owner: String,
    },
    /// No box at all.
    #[error("no box, so nothing can run; write [box.a] and under it address = \"127.0.0.1:7201\"")]
    NoBox,
    /// More than [`BOXES_MAX`].
    #[error("{count} boxes; write at most {BOXES_MAX}")]
    TooManyBoxes {
        /// How many.
        count: usize,
    },
    /// A box that is named but not described.
    #[error("there is no box \"{name}\"; {}", box_instead(nearest, name))]
    UnknownBox {
        /// As written.
        name: String,
        /// What it was probably meant to be.
        nearest: Option<String>,
    },
    /// One thing, written twice.
    #[error("\"{name}\" stands twice in {key}; write it once")]
    Twice {
        /// In which list.
        key: &'static str,
        /// What.
        name: String,
    },
    /// `box` and `boxes` both.
    #[error("both box and boxes are written; write one of them")]
    BoxAndBoxes,
    /// A reactor of no particular box.
    #[error(
        "reactor without the one box that it belongs to; write box = \"NAME\" too, or leave reactor out"
    )]
    ReactorWithoutBox,
    /// A reactor that the box has not.
    #[error("box \"{name}\" has no reactor {reactor}; write {}, or more reactors in [box.{name}]", up_to(*reactors))]
    UnknownReactor {
        /// The box.
        name: String,
        /// As written.
        reactor: u16,
        /// How many it has.
        reactors: u8,
    },
    /// A name of a box that managers and reactors could not go by.
    #[error("{why}")]
    BoxName {
        /// What is wrong, and what to write.
        why: String,
    },
    /// The name of the controller's own box.
    #[error(
        "{HOME} is the box that the controller runs in, stated under [controller]; write another name"
    )]
    BoxNameTaken,
    /// An agent that the program cannot make, or that does not bear what is asked of it.
    #[error("{why}")]
    Unfit {
        /// What is wrong, and what to do.
        why: String,
    },
    /// `apart` names children that no transformation of the agent makes.
    #[error("no transformation of it makes children named {name}; {}", made_instead(made))]
    ApartFromNothing {
        /// As written.
        name: String,
        /// What its transformations do make.
        made: Vec<&'static str>,
    },
    /// More children than boxes to keep them apart on.
    #[error("{count} children named {name} cannot be apart on {boxes} {}; write more boxes, or fewer children", if *boxes == 1 { "box" } else { "boxes" })]
    ApartTooMany {
        /// The beginning of their names.
        name: String,
        /// How many there are.
        count: u16,
        /// On how many boxes they may run.
        boxes: usize,
    },
}

impl Problem {
    /// Not a segment of an agent's path.
    pub(super) fn segment(name: &str) -> Problem {
        Problem::Name { name: shown(name), marks: " and hyphens" }
    }

    /// Not a kind or parameter.
    pub(super) fn word(name: &str) -> Problem {
        Problem::Name { name: shown(name), marks: ", hyphens and underscores" }
    }
}

/// Enough of a text to recognise it by, on one line, whatever was written.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn one_of(known: &[&str]) -> String {
    match known {
        [] => "nothing here".to_owned(),
        [only] => only.to_string(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn instead(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean \"{nearest}\"? Write {}", one_of(known)),
        None => format!("write {}", one_of(known)),
    }
}

fn box_instead(nearest: &Option<String>, name: &str) -> String {
    match nearest {
        Some(nearest) => format!("did you mean \"{nearest}\"? Or describe it under [box.{name}]"),
        None => format!("describe it under [box.{name}], or name one that is"),
    }
}

fn made_instead(made: &[&str]) -> String {
    match made {
        [] => "give it a transformation, or leave apart out".to_owned(),
        made => format!("write {}", one_of(made)),
    }
}

fn counted(reactors: u8) -> String {
    format!("{reactors} reactor{}", if reactors == 1 { "" } else { "s" })
}

fn up_to(reactors: u8) -> String {
    match reactors {
        0 | 1 => "reactor = 0".to_owned(),
        more => format!("a number from 0 to {}", more - 1),
    }
}

fn a(thing: &str) -> String {
    let vowel = thing.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {thing}", if vowel { "an" } else { "a" })
}

impl SystemError {
    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The line that is meant, counted from 1; `None` when the whole file is.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl std::error::Error for SystemError {}

impl fmt::Display for SystemError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        if !self.subject.is_empty() {
            write!(out, " {}:", self.subject)?;
        }
        write!(out, " {}", self.problem)?;
        if !self.excerpt.is_empty() {
            write!(out, "\n{}", self.excerpt)?;
        }
        Ok(())
    }
}
