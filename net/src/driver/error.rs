//! Why a driver did not start: what, where, what to do. Once it runs, a driver counts instead.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::xdp::Problem;

/// What else to do about a driver that does not start, behind what mends it: if it was asked for.
pub const OR_BY_THE_KERNEL: &str = ", or write `driver = \"kernel\"`";

/// Why a driver could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Someone else has bound the port.
    #[error(
        "port {} of {} is taken; stop the process that has it (`ss -lunp`), or choose another port, \
         or 0 for any",
        address.port(),
        address.ip()
    )]
    PortTaken {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// No interface of this host has the address.
    #[error(
        "{} is not an address of this host; choose one that `ip address` lists, or {} for all of them",
        address.ip(),
        if address.is_ipv4() { "0.0.0.0" } else { "[::]" }
    )]
    AddressNotHere {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// The port needs a privilege.
    #[error(
        "port {} of {} may not be bound by this user; choose a port from 1024, or grant \
         CAP_NET_BIND_SERVICE",
        address.port(),
        address.ip()
    )]
    PortNotAllowed {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// The host has no such address family.
    #[error("this host has no {}; bind an address of the other family", family(*address))]
    FamilyMissing {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// Another process listens where a driver of this port would.
    #[error(
        "driver shm at {address}: another process listens at the Unix socket {name}, though it has not the port; end \
         it (`ss -lxp` shows it) or choose another port{}",
        OR_BY_THE_KERNEL
    )]
    NameTaken {
        /// What was to be bound.
        address: SocketAddr,
        /// The socket's name.
        name: String,
    },
    /// A setting lies outside its bounds.
    #[error("driver at {address}: {setting} is {value}; choose from {min} to {max}{}", step_text(*step))]
    Setting {
        /// Where the driver was to be.
        address: SocketAddr,
        /// Which setting.
        setting: &'static str,
        /// What it was.
        value: usize,
        /// The least that works.
        min: usize,
        /// The most that works.
        max: usize,
        /// What it has to be a multiple of.
        step: usize,
    },
    /// An interface does not serve the driver xdp.
    #[error("driver xdp at {address}{}: {problem}", interface_text(interface))]
    Xdp {
        /// Where the driver was to be.
        address: IpAddr,
        /// The interface that has the address; empty, if it was not found yet.
        interface: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// DPDK, or a port of its, does not serve.
    #[cfg(feature = "dpdk")]
    #[error("driver dpdk at {address}, device {device}: {problem}")]
    Dpdk {
        /// Where the driver was to be.
        address: IpAddr,
        /// The device, as it was written.
        device: String,
        /// What is wrong with it.
        problem: Box<super::dpdk::Problem>,
    },
    /// The system refused something else.
    #[error(
        "driver at {address}: {what} failed: {source}; look at the limits of this user (`ulimit -a`) and of the system"
    )]
    System {
        /// Where the driver was to be.
        address: SocketAddr,
        /// The call.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn interface_text(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(", interface {name}") }
}

fn step_text(step: usize) -> String {
    if step == 1 { String::new() } else { format!(", a multiple of {step}") }
}
