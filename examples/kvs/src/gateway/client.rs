//! A client's socket: read and written once a visit, and what it is ready for meanwhile, since it tells
//! only of changes (epoll's edges).

use std::io::{ErrorKind, Read, Write};

use mio::event::Event;
use mio::net::TcpStream;

use crate::connection::Connection;
use crate::limits::CLIENT_OUTPUT_BYTES_MAX;

/// One client and what its socket is ready for.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    pub(super) number: u32,
    pub(super) connection: Connection,
    /// There may be bytes to read.
    is_readable: bool,
    /// The socket took all bytes so far.
    is_writable: bool,
    /// The client has hung up: whatever is left to read, its end is too.
    has_hung_up: bool,
    /// The end was read.
    has_ended: bool,
    /// Stands in the gateway's visits.
    pub(super) is_listed: bool,
}

impl Client {
    /// A client that was just accepted.
    pub(super) fn new(stream: TcpStream, number: u32) -> Client {
        Client {
            stream,
            number,
            connection: Connection::new(number),
            is_readable: true,
            is_writable: true,
            has_hung_up: false,
            has_ended: false,
            is_listed: false,
        }
    }

    /// Takes note of what the socket is ready for.
    pub(super) fn hear(&mut self, event: &Event) {
        self.has_hung_up |= event.is_read_closed() || event.is_error();
        self.is_readable |= event.is_readable() || self.has_hung_up;
        self.is_writable |= event.is_writable() || event.is_write_closed();
    }

    /// Whether there are bytes that would be used.
    pub(super) fn wants_to_be_read(&self) -> bool {
        self.is_readable && !self.has_ended && self.connection.wants_input()
    }

    /// Reads once.
    /// # Errors
    /// The client is gone.
    pub(super) fn read(&mut self, into: &mut [u8]) -> std::io::Result<()> {
        match self.stream.read(into) {
            Ok(0) => {
                self.has_ended = true;
                self.is_readable = false;
            }
            Ok(bytes) => {
                // Who gave less than was asked for has no more: what comes later is an event (epoll(7)).
                self.is_readable = bytes == into.len() || self.has_hung_up;
                self.connection.receive(&into[..bytes]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes once; whether anything was.
    /// # Errors
    /// The client is gone, or lets too much pile up.
    pub(super) fn write(&mut self) -> std::io::Result<bool> {
        if self.connection.waiting_bytes() > CLIENT_OUTPUT_BYTES_MAX {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let output = self.connection.output();
        if output.is_empty() || !self.is_writable {
            return Ok(false);
        }
        let all = output.len();
        match self.stream.write(output) {
            Ok(bytes) => {
                self.is_writable = bytes == all;
                self.connection.written(bytes);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.is_writable = false;
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing is left to be said, by the client or to it.
    pub(super) fn is_done(&self) -> bool {
        self.connection.is_finished() || (self.has_ended && self.connection.is_idle())
    }

    /// Whether another visit would get on, with nothing new from outside. `wrote`: this one made room
    /// among the answers.
    pub(super) fn could_go_on(&self, wrote: bool) -> bool {
        let output_left = !self.connection.output().is_empty();
        self.wants_to_be_read()
            || (output_left && self.is_writable)
            || (wrote && !output_left && !self.connection.wants_input())
    }
}
