//! Sockets: bound, buffers raised, offloads asked for; and those beside the first, on the same port,
//! which are connected.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::Offload;
use super::calls::set_option;
use crate::driver::DriverError;

pub(super) fn system(address: SocketAddr, what: &'static str) -> impl Fn(io::Error) -> DriverError {
    move |source| DriverError::System { address, what, source }
}

pub(super) fn bind(address: SocketAddr) -> Result<Socket, DriverError> {
    let socket = open(address).map_err(|error| refused(address, "socket", error))?;
    socket.bind(&address.into()).map_err(|error| refused(address, "bind", error))?;
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // IPv4 peers under mapped addresses would have two names each.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A second socket on the port of `first`, connected to `peer`: the kernel gives it what that peer sends
/// from now on. Until it is connected it may be given what others send, which is to be read like
/// everything else.
pub(super) fn beside(
    first: &Socket,
    address: SocketAddr,
    peer: SocketAddr,
    set: impl FnOnce(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    let socket = open(address)?;
    set(&socket)?;
    socket.set_reuse_address(true)?;
    // The first socket shares its port for this moment only: a second box is to hear that it is taken.
    first.set_reuse_address(true)?;
    let bound = socket.bind(&address.into());
    first.set_reuse_address(false)?;
    bound?;
    socket.connect(&peer.into())?;
    Ok(socket)
}

/// Makes a connected socket deaf, without losing what has come: connected to itself.
pub(super) fn deafen(socket: &Socket) -> io::Result<()> {
    socket.connect(&socket.local_addr()?)
}

fn refused(address: SocketAddr, what: &'static str, source: io::Error) -> DriverError {
    match source.raw_os_error().unwrap_or(0) {
        libc::EADDRINUSE => DriverError::PortTaken { address },
        libc::EADDRNOTAVAIL => DriverError::AddressNotHere { address },
        libc::EACCES => DriverError::PortNotAllowed { address },
        libc::EAFNOSUPPORT => DriverError::FamilyMissing { address },
        _ => DriverError::System { address, what, source },
    }
}

/// Asks for `bytes` in either direction, past the system's limits if this process may; returns what
/// the receiving side got.
pub(super) fn raise_buffers(socket: &Socket, bytes: usize) -> io::Result<usize> {
    let asked = i32::try_from(bytes).unwrap_or(i32::MAX);
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, asked).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    if set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, asked).is_err() {
        socket.set_send_buffer_size(bytes)?;
    }
    // The kernel doubles what it grants, for its own bookkeeping: socket(7).
    Ok(socket.recv_buffer_size()? / 2)
}

pub(super) fn offload(
    socket: &Socket,
    wanted: bool,
    option: libc::c_int,
    value: libc::c_int,
) -> Offload {
    if !wanted {
        return Err("switched off");
    }
    set_option(socket, libc::SOL_UDP, option, value).map_err(|_| "not in this kernel")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, expect: &str) {
        let address = SocketAddr::from(([192, 0, 2, 1], 80));
        let error = refused(address, "bind", io::Error::from_raw_os_error(code));
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn each_refusal_says_what_where_and_what_to_do() {
        check(
            libc::EADDRINUSE,
            "port 80 of 192.0.2.1 is taken; stop the process that has it (`ss -lunp`), or choose \
             another port, or 0 for any",
        );
        check(
            libc::EADDRNOTAVAIL,
            "192.0.2.1 is not an address of this host; choose one that `ip address` lists, or \
             0.0.0.0 for all of them",
        );
        check(
            libc::EACCES,
            "port 80 of 192.0.2.1 may not be bound by this user; choose a port from 1024, or grant \
             CAP_NET_BIND_SERVICE",
        );
        check(libc::EAFNOSUPPORT, "this host has no IPv4; bind an address of the other family");
        check(
            libc::EMFILE,
            "driver at 192.0.2.1:80: bind failed: Too many open files (os error 24); look \
             at the limits of this user (`ulimit -a`) and of the system",
        );
    }
}
