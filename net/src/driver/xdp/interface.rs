//! An interface that frames are taken from: the program on it, and which socket has which queue. The reactors of a
//! box share it.
//!
//! Invariant: the program is there as long as this is, and no longer, whatever ends it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::bpf::{self, Kind};
use super::error::Problem;
use super::netlink::{Link, Netlink};
use super::options::{Attach, Options};
use super::program::{Tables, assemble};
use super::socket::frame_bytes_max;
use crate::driver::DriverError;

/// Queues that a program knows of: more than cards have.
pub(super) const QUEUES_MAX: u32 = 1024;

/// An interface with our program on it.
pub struct Interface {
    pub(super) ip: IpAddr,
    pub(super) options: Options,
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mtu: usize,
    pub(super) attached: Attach,
    /// Why not natively, if that was tried.
    pub(super) no_native: Option<String>,
    ports: OwnedFd,
    sockets: OwnedFd,
    _link: OwnedFd,
}

impl Interface {
    /// Finds the interface that has the address, and attaches the program that takes the address's frames.
    /// # Errors
    /// [`DriverError::AddressNotHere`], [`DriverError::Xdp`].
    pub fn open(ip: IpAddr, options: Options) -> Result<Arc<Interface>, DriverError> {
        let address = (ip, 0).into();
        let wrong = |interface: &str, problem| DriverError::Xdp {
            address: ip,
            interface: interface.to_owned(),
            problem: Box::new(problem),
        };
        let unknown = |what| move |source| wrong("", Problem::of(what, source));
        let mut netlink = Netlink::open().map_err(unknown("netlink"))?;
        let index = netlink.interface_of(ip).map_err(unknown("RTM_GETADDR"))?;
        let index = index.ok_or(DriverError::AddressNotHere { address })?;
        let link = netlink.link(index).map_err(unknown("RTM_GETLINK"))?.unwrap_or_default();
        Interface::take(ip, options, index, &link).map(Arc::new).map_err(|it| wrong(&link.name, it))
    }

    fn take(ip: IpAddr, options: Options, index: u32, link: &Link) -> Result<Interface, Problem> {
        let Link { name, mac, mtu, program } = link;
        if mac.is_none() {
            return Err(Problem::NoEthernet);
        }
        if program.is_some() {
            return Err(Problem::ProgramThere { interface: name.clone(), program: *program });
        }
        let made = |what| move |source| Problem::of(what, source);
        let ports = bpf::make_table(Kind::Numbers, QUEUES_MAX).map_err(made("BPF_MAP_CREATE"))?;
        let sockets = bpf::make_table(Kind::Sockets, QUEUES_MAX).map_err(made("BPF_MAP_CREATE"))?;
        let tables = Tables { ports: raw(&ports), sockets: raw(&sockets) };
        let program = assemble(ip, frame_bytes_max(ip.is_ipv4()), tables);
        let program = bpf::load(&program).map_err(made("BPF_PROG_LOAD"))?;
        let attach = |how| bpf::attach(program.as_fd(), index, how);
        let first = options.attach.unwrap_or(Attach::Native);
        let (attached, no_native, result) = match attach(first) {
            Err(why) if options.attach.is_none() && !is_there(&why) => {
                (Attach::Generic, Some(why.to_string()), attach(Attach::Generic))
            }
            result => (first, None, result),
        };
        let link = result.map_err(|source| match source.raw_os_error().unwrap_or(0) {
            _ if is_there(&source) => {
                Problem::ProgramThere { interface: name.clone(), program: None }
            }
            libc::EPERM => Problem::NotAllowed { what: "BPF_LINK_CREATE" },
            _ if attached == Attach::Native => Problem::NoNative { source },
            _ => Problem::System { what: "BPF_LINK_CREATE", source },
        })?;
        Ok(Interface {
            ip,
            options,
            index,
            name: name.clone(),
            mtu: *mtu,
            attached,
            no_native,
            ports,
            sockets,
            _link: link,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Entries of its own rings, to receive and to send, if it has some and says so.
    pub fn rings(&self) -> Option<[u32; 2]> {
        Netlink::rings(self.index)
    }

    /// From now on what comes by the queue for the port goes to the socket.
    pub(super) fn lead(&self, queue: u32, port: u16, socket: RawFd) -> Result<(), Problem> {
        let put = |table: &OwnedFd, value| {
            bpf::put(table.as_fd(), queue, value)
                .map_err(|it| Problem::of("BPF_MAP_UPDATE_ELEM", it))
        };
        // A descriptor is not negative.
        put(&self.sockets, socket as u32)?;
        put(&self.ports, u16::from_ne_bytes(port.to_be_bytes()).into())
    }

    /// What comes by the queue is the kernel's again.
    pub(super) fn leave(&self, queue: u32) {
        // An entry that cannot be written leads to a socket that is gone: its frames go to the kernel all the same.
        let _ = bpf::put(self.ports.as_fd(), queue, 0);
    }
}

fn raw(it: &OwnedFd) -> RawFd {
    std::os::fd::AsRawFd::as_raw_fd(it)
}

/// Whether it was refused because there is a program already, in this mode or the other.
fn is_there(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

impl fmt::Debug for Interface {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Interface({} {}, {})", self.name, self.ip, self.attached)
    }
}
