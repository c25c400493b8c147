//! How drivers of one host find each other: each listens at a Unix socket whose name is made of its address.
//!
//! Names are abstract: they go with who had them, and are of one network namespace, as addresses are. Anybody may
//! write to one, so each side asks the kernel who the other is: a process of another user is nobody here. The
//! connection stays: a byte on it wakes who sleeps, and its end is the end of the peer.
//!
//! Whatever comes is checked: what is too long, or brings no file or several, is no greeting.
//!
//! Sources: `unix(7)`, `SO_PEERCRED`, `SCM_RIGHTS`.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recv, recvmsg, send, sendmsg, socket_with,
};
use rustix::process::{Pid, geteuid};

use super::hello::{self, Hello};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;

const SOCKET_FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// The name that a driver of that address listens at, without the zero before it.
pub(super) fn name(address: SocketAddr) -> String {
    format!("daedal-shm/{address}")
}

fn socket() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SOCKET_FLAGS, None)
}

/// Listens for who writes to `address`.
/// # Errors
/// `EADDRINUSE`: another process does.
pub(super) fn listen_at(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    bind(&socket, &SocketAddrUnix::new_abstract_name(name(address).as_bytes())?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A connection to the process that it is told is at the other end.
pub(super) struct Connection {
    pub socket: OwnedFd,
    pub pid: Pid,
}

impl Connection {
    /// Of a socket, if the other end is a process of this user.
    fn of(socket: OwnedFd) -> Result<Connection, Errno> {
        let other = socket_peercred(&socket)?;
        if other.uid != geteuid() {
            return Err(Errno::ACCESS);
        }
        Ok(Connection { socket, pid: other.pid })
    }

    /// To who listens at that address.
    /// # Errors
    /// `ECONNREFUSED`: nobody does. `EAGAIN`: too many connect. `EACCES`: it is another user's.
    pub(super) fn to(address: SocketAddr) -> Result<Connection, Errno> {
        let socket = socket()?;
        connect(&socket, &SocketAddrUnix::new_abstract_name(name(address).as_bytes())?)?;
        Connection::of(socket)
    }

    /// The next that waits to be accepted.
    /// # Errors
    /// `EAGAIN`: none waits. Others: it has gone again, or is another user's.
    pub(super) fn accept(listener: &OwnedFd) -> Result<Connection, Errno> {
        Connection::of(accept_with(listener, SOCKET_FLAGS)?)
    }

    /// Hands over a ring.
    /// # Errors
    /// The peer has gone.
    pub(super) fn greet(&self, hello: &Hello, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let (mut control, files) = (SendAncillaryBuffer::new(&mut space), [file]);
        let has_room = control.push(SendAncillaryMessage::ScmRights(&files));
        assert!(has_room, "the space is for one descriptor");
        let bytes = hello.emit();
        sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, SEND)?;
        Ok(())
    }

    /// What a peer handed over: `None` if it has not yet.
    /// # Errors
    /// `EBADMSG`: it was nothing that is handed over. Others: the peer has gone.
    pub(super) fn greeting(&self) -> Result<Option<(Hello, OwnedFd)>, Errno> {
        // One more than there is to read: what is longer shows.
        let mut bytes = [0; hello::BYTES + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let came =
            match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                Ok(came) => came,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(error) => return Err(error),
            };
        let files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let mut files = files.flatten();
        let file = files.next();
        // All that it handed over is ours to close.
        let is_more = files.count() > 0;
        let is_cut = came.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        if came.bytes == 0 && file.is_none() {
            return Err(Errno::PIPE);
        }
        let hello = Hello::parse(bytes.get(..came.bytes).unwrap_or_default());
        match (hello, file) {
            (Ok(hello), Some(file)) if !is_cut && !is_more => Ok(Some((hello, file))),
            _ => Err(Errno::BADMSG),
        }
    }

    /// Wakes the peer. A socket that is full wakes it too.
    /// # Errors
    /// The peer has gone.
    pub(super) fn wake(&self) -> Result<(), Errno> {
        match send(&self.socket, &[0], SEND) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes what woke us off the socket, a bounded number of times: whether the peer is still there.
    pub(super) fn woken(&self) -> bool {
        /// It wakes us once before we sleep again, but for one that means ill.
        const TIMES: usize = 8;
        for _ in 0..TIMES {
            match recv(&self.socket, &mut [0; 1], RecvFlags::DONTWAIT) {
                Ok((1.., _)) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                _ => return false,
            }
        }
        true
    }
}

const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Which of all sockets have something to say.
pub(super) struct Watch {
    epoll: OwnedFd,
    next: u64,
}

/// What a socket is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(u64);

/// Sockets that one look finds.
pub(super) const LOOK: usize = 32;

impl Watch {
    pub(super) fn new() -> Result<Watch, Errno> {
        Ok(Watch { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, next: 0 })
    }

    /// Looks at this socket too, until it is closed.
    pub(super) fn add(&mut self, socket: &OwnedFd) -> Result<Token, Errno> {
        self.next += 1;
        epoll::add(&self.epoll, socket, EventData::new_u64(self.next), EventFlags::IN)?;
        Ok(Token(self.next))
    }

    /// Looks at it no longer.
    pub(super) fn forget(&self, socket: &OwnedFd) {
        // It fails for one that is not looked at.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Those that can be read or have ended, [`LOOK`] at most: how many. Never waits.
    pub(super) fn look(&self, found: &mut [Token; LOOK]) -> usize {
        const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [none; LOOK];
        let count = epoll::wait(&self.epoll, &mut events[..], Some(&NOW)).unwrap_or(0);
        for (token, event) in found.iter_mut().zip(&events[..count]) {
            *token = Token(event.data.u64());
        }
        count
    }
}

impl Token {
    /// Of nothing.
    pub(super) const NONE: Token = Token(0);
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::net::socketpair;

    use super::*;
    use crate::driver::shm::slots::Sizes;

    fn joined() -> [Connection; 2] {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SOCKET_FLAGS, None).unwrap();
        [one, other].map(|socket| Connection::of(socket).unwrap())
    }

    fn hello() -> Hello {
        Hello { from: ([127, 0, 0, 1], 7).into(), sizes: Sizes::of(16, 128).unwrap() }
    }

    /// What is made of such a message with so many files.
    fn said(bytes: &[u8], count: usize) -> Result<Option<(Hello, OwnedFd)>, Errno> {
        let [from, to] = joined();
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        let files = vec![file.as_fd(); count];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(9))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(count == 0 || control.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(&from.socket, &[IoSlice::new(bytes)], &mut control, SEND).unwrap();
        to.greeting()
    }

    #[test]
    fn a_ring_is_handed_over_with_its_file() {
        let [from, to] = joined();
        assert!(to.greeting().unwrap().is_none());
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        from.greet(&hello(), file.as_fd()).unwrap();
        let (said, _file) = to.greeting().unwrap().unwrap();
        assert_eq!(said, hello());
        assert_eq!(to.pid, rustix::process::getpid());
        from.wake().unwrap();
        assert!(to.woken());
        drop(from);
        assert!(!to.woken());
        assert!(to.greeting().is_err() && to.wake().is_err());
    }

    #[test]
    fn what_is_no_greeting_is_refused_and_its_files_are_closed() {
        let whole = hello().emit();
        assert!(said(&whole, 1).is_ok_and(|it| it.is_some()));
        let mut longer = whole.to_vec();
        longer.push(0);
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        for _ in 0..2 {
            for (bytes, count) in [
                (&whole[..], 0),
                (&whole[..], 2),
                (&whole[..], 9),
                (&longer[..], 1),
                (&whole[1..], 1),
                (&[1], 1),
            ] {
                assert_eq!(said(bytes, count).err(), Some(Errno::BADMSG), "{count}");
            }
        }
        // Other tests of this process open files too, but not as many as would be left open here.
        let before = open();
        for _ in 0..200 {
            let _ = said(&whole, 9);
        }
        assert!(open() < before + 200);
    }

    #[test]
    fn a_socket_is_found_when_it_has_something_and_when_its_other_end_closes() {
        let (mut watch, [here, there]) = (Watch::new().unwrap(), joined());
        let (token, mut found) = (watch.add(&here.socket).unwrap(), [Token::NONE; LOOK]);
        assert_eq!(watch.look(&mut found), 0);
        there.wake().unwrap();
        assert_eq!((watch.look(&mut found), found[0]), (1, token));
        assert!(here.woken());
        assert_eq!(watch.look(&mut found), 0);
        drop(there);
        assert_eq!((watch.look(&mut found), found[0]), (1, token));
        watch.forget(&here.socket);
        assert_eq!(watch.look(&mut found), 0);
    }
}
