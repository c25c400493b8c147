//! A gateway and its agent on a thread of their own, and answers as clients read them.

#![expect(clippy::disallowed_methods, reason = "the server has to run beside its clients")]
#![allow(dead_code, reason = "each test uses its part")]

use std::io::BufRead;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use daedal::Parameters;

/// Runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Server {
    /// On a free port of this host, with these parameters beside.
    pub fn start(shards: usize, more: &[(&str, &str)]) -> Server {
        let mut parameters = Parameters::from([("listen".to_owned(), "127.0.0.1:0".to_owned())]);
        parameters.extend(more.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let is_over = Arc::new(AtomicBool::new(false));
        let (tell, address) = channel();
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            let listens = |address| tell.send(address).unwrap();
            kvs::serve::serve(&parameters, shards, listens, || over.load(Ordering::Relaxed))
        });
        Server { address: address.recv().unwrap(), is_over, thread: Some(thread) }
    }

    /// A client that does not wait for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// Reads one RESP2 answer, as bytes and, of an array, also its items.
pub fn read_answer(from: &mut impl BufRead) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes).unwrap();
    let length = |bytes: &[u8]| -> i64 {
        std::str::from_utf8(&bytes[1..bytes.len() - 2]).unwrap().parse().unwrap()
    };
    let mut items = Vec::new();
    match bytes[0] {
        b'$' if length(&bytes) >= 0 => {
            let mut rest = vec![0; length(&bytes) as usize + 2];
            from.read_exact(&mut rest).unwrap();
            bytes.extend(rest);
        }
        b'*' => {
            for _ in 0..length(&bytes) {
                items.push(read_answer(from).0);
            }
            bytes.extend(items.concat());
        }
        _ => {}
    }
    (bytes, items)
}
