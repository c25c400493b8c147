//! Which driver a reactor is to have, as text: `kernel`, `shm`, `xdp`, `xdp:native,zero-copy`.

use std::fmt;
use std::str::FromStr;

use super::{shm, xdp};

/// Which driver, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverKind {
    /// UDP sockets of the kernel.
    #[default]
    Kernel,
    /// AF_XDP, past the kernel.
    Xdp(xdp::Options),
    /// Memory that is shared with the boxes of this host.
    Shm(shm::Options),
}

impl DriverKind {
    /// The names of all.
    pub const NAMES: [&str; 3] = ["kernel", "xdp", "shm"];
}

impl FromStr for DriverKind {
    /// Why not, if it is one of [`DriverKind::NAMES`]; else nothing.
    type Err = Option<String>;

    fn from_str(text: &str) -> Result<DriverKind, Option<String>> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("kernel", "") => Ok(DriverKind::Kernel),
            ("kernel", more) => Err(Some(format!("kernel has no options, such as {more:?}"))),
            ("xdp", options) => Ok(DriverKind::Xdp(options.parse().map_err(Some)?)),
            ("shm", options) => Ok(DriverKind::Shm(options.parse().map_err(Some)?)),
            _ => Err(None),
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DriverKind::Kernel => out.write_str("kernel"),
            DriverKind::Shm(options) if *options == shm::Options::default() => out.write_str("shm"),
            DriverKind::Shm(options) => write!(out, "shm:{options}"),
            DriverKind::Xdp(options) if *options == xdp::Options::default() => out.write_str("xdp"),
            DriverKind::Xdp(options) => write!(out, "xdp:{options}"),
        }
    }
}
