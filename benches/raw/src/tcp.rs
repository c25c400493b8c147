//! A TCP stream between two pinned processes, over a virtual Ethernet between two network namespaces. Both block: who
//! always has something to do does not wait.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::lab::{Lab, address};
use crate::second::{Second, be_second};
use crate::{Figure, PATIENCE, pin, rate};

/// Subcommand of the second process.
pub const FLOOD: &str = "tcp-flood-process";

/// Bytes received a second, written and read `bytes` at a time.
/// # Errors
/// Those of sockets and of starting the second process, and what [`Lab::new`] says.
pub fn veth_tcp_tell(bytes: usize) -> io::Result<Figure> {
    pin(0);
    let lab = Lab::new()?;
    lab.enter(0)?;
    let listener = TcpListener::bind((address(0), 0))?;
    let first = listener.local_addr()?.to_string();
    lab.enter(1)?;
    let _second = Second::start(&[FLOOD, &first, &bytes.to_string()])?;
    lab.enter(0)?;
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut buffer, mut failed) = (vec![0; bytes], None);
    let rate = rate(|| {
        if failed.is_some() {
            return 0;
        }
        let read = stream.read(&mut buffer);
        read.map_or_else(
            |error| {
                failed = Some(error);
                0
            },
            |count| count as u64,
        )
    });
    failed.map_or(Ok(Figure::Stream(rate)), Err)
}

/// The second process: writes to the first.
/// # Errors
/// Those of sockets; returns in no other way.
pub fn second_process(first: SocketAddr, bytes: usize) -> io::Result<()> {
    be_second()?;
    let mut stream = TcpStream::connect(first)?;
    let buffer = vec![7; bytes];
    loop {
        stream.write_all(&buffer)?;
    }
}
