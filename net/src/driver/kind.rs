//! Which driver a reactor is to have, as text: `kernel`, `shm`, `xdp:native,zero-copy`, `shm+xdp`,
//! `dpdk:net_memif0,role=server`.

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
    /// Memory that is shared with the boxes of this host, and AF_XDP to others.
    ShmXdp(shm::Options, xdp::Options),
    /// DPDK, past the kernel. Only in a build with the feature `dpdk`.
    #[cfg(feature = "dpdk")]
    Dpdk(super::dpdk::Options),
}

impl DriverKind {
    /// The names of all that this build has.
    pub const NAMES: &[&str] = &[
        "kernel",
        "xdp",
        "shm",
        "shm+xdp",
        #[cfg(feature = "dpdk")]
        "dpdk",
    ];
}

impl FromStr for DriverKind {
    /// Why not, if it is one of [`DriverKind::NAMES`]; else nothing.
    type Err = Option<String>;

    fn from_str(text: &str) -> Result<DriverKind, Option<String>> {
        if let Some((shm, xdp)) = text.split_once('+').filter(|it| it.0.starts_with("shm")) {
            return match (shm.parse()?, xdp.parse()?) {
                (DriverKind::Shm(shm), DriverKind::Xdp(xdp)) => Ok(DriverKind::ShmXdp(shm, xdp)),
                _ => Err(Some(format!("{xdp:?} does not stand beside shm, but xdp does"))),
            };
        }
        match text.split_once(':').unwrap_or((text, "")) {
            ("kernel", "") => Ok(DriverKind::Kernel),
            ("kernel", more) => Err(Some(format!("kernel has no options, such as {more:?}"))),
            ("xdp", options) => Ok(DriverKind::Xdp(options.parse().map_err(Some)?)),
            #[cfg(feature = "dpdk")]
            ("dpdk", options) => Ok(DriverKind::Dpdk(options.parse().map_err(Some)?)),
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
            DriverKind::ShmXdp(shm, xdp) => {
                write!(out, "{}+{}", DriverKind::Shm(*shm), DriverKind::Xdp(*xdp))
            }
            #[cfg(feature = "dpdk")]
            DriverKind::Dpdk(options) => write!(out, "dpdk:{options}"),
        }
    }
}
