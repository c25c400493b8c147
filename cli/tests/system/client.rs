//! A Redis client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::AT_MOST;

/// A Redis client.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(at: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// The same client, for an answer that takes long.
    pub fn patient(self) -> Client {
        self.stream.get_ref().set_read_timeout(Some(AT_MOST)).unwrap();
        self
    }

    /// Says an inline command, and hears its answer: a line, or the text of a bulk string.
    pub fn ask(&mut self, words: &str) -> io::Result<String> {
        self.say(words)?;
        self.hear()
    }

    pub fn say(&mut self, words: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{words}\r\n").as_bytes())
    }

    pub fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let Some(length) = line.strip_prefix('$').and_then(|it| it.parse::<usize>().ok()) else {
            return Ok(line.to_owned());
        };
        let mut value = vec![0; length + 2];
        self.stream.read_exact(&mut value)?;
        value.truncate(length);
        String::from_utf8(value).map_err(io::Error::other)
    }
}
