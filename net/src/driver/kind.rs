//! Which driver a reactor is to have, as text: `kernel`, `xdp`, `xdp:native,zero-copy`.

use std::fmt;
use std::str::FromStr;

use super::xdp::Options;

/// Which driver, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverKind {
    /// UDP sockets of the kernel.
    #[default]
    Kernel,
    /// AF_XDP, past the kernel.
    Xdp(Options),
}

impl DriverKind {
    /// The names of all.
    pub const NAMES: [&str; 2] = ["kernel", "xdp"];
}

impl FromStr for DriverKind {
    /// Why not, if it is one of [`DriverKind::NAMES`]; else nothing.
    type Err = Option<String>;

    fn from_str(text: &str) -> Result<DriverKind, Option<String>> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("kernel", "") => Ok(DriverKind::Kernel),
            ("kernel", more) => Err(Some(format!("kernel has no options, such as {more:?}"))),
            ("xdp", options) => Ok(DriverKind::Xdp(options.parse().map_err(Some)?)),
            _ => Err(None),
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DriverKind::Kernel => out.write_str("kernel"),
            DriverKind::Xdp(options) if *options == Options::default() => out.write_str("xdp"),
            DriverKind::Xdp(options) => write!(out, "xdp:{options}"),
        }
    }
}
