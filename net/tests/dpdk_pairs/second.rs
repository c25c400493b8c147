//! The second process: it sends back what it gets, unless it is told to hold still, and ends when it is no longer wanted.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use daedal_net::driver::{Driver, Outgoing, Received};

use crate::{now, open};

/// Names the second process's device; the others are what it is given.
const SECOND: &str = "DAEDAL_PAIR_SECOND";

/// What it may be told.
pub const ECHO: u8 = b'e';
/// Neither to receive nor to send.
pub const HOLD: u8 = b'h';
/// To say whether all its frames are with it.
pub const COUNT: u8 = b'c';
const END: u8 = 0;

/// What it was told last.
static TOLD: AtomicU8 = AtomicU8::new(ECHO);

/// Does as the second process, if this is one.
pub fn run() {
    let Ok(device) = std::env::var(SECOND) else { return };
    let mut driver = open(&device, 1).unwrap();
    println!("ready, {}", driver.mode());
    std::thread::spawn(|| {
        let told = BufReader::new(std::io::stdin()).bytes().map_while(Result::ok);
        told.for_each(|it| TOLD.store(it, Ordering::Relaxed));
        // It ends with who would tell it.
        TOLD.store(END, Ordering::Relaxed);
    });
    let (begun, mut done) = (Instant::now(), ECHO);
    let (mut into, mut queue) = (Vec::<Received>::new(), VecDeque::new());
    loop {
        let told = TOLD.load(Ordering::Relaxed);
        match told {
            END => return,
            HOLD => std::hint::spin_loop(),
            _ => echo(&mut driver, now(begun), &mut into, &mut queue),
        }
        if told == COUNT {
            driver.reclaim();
        }
        let is_done = told != COUNT || is_whole(&driver);
        if told != done && is_done {
            println!("done, {}", char::from(told));
            done = told;
        }
    }
}

fn echo(
    driver: &mut impl Driver,
    now: u64,
    into: &mut Vec<Received>,
    queue: &mut VecDeque<Outgoing>,
) {
    driver.receive(now, 32, into);
    for received in into.drain(..) {
        // Written anew, in a frame of its own.
        let Some(mut frame) = driver.pool().take() else { continue };
        frame.truncate(received.frame.len());
        frame.bytes_mut().unwrap().copy_from_slice(&received.frame);
        queue.push_back(Outgoing { frame, to: received.from });
    }
    if queue.is_empty() {
        std::hint::spin_loop();
    } else {
        driver.transmit(now, queue);
    }
}

/// Whether nobody has a frame of it.
pub fn is_whole(driver: &impl Driver) -> bool {
    [driver.pool(), driver.receive_pool()].iter().all(|it| it.frames_free() == it.frames_count())
}

/// The second process, while it is wanted, and its driver's mode.
pub struct Second {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    pub mode: String,
}

impl Second {
    pub fn start(device: &str) -> Second {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "second", "--nocapture"]).env(SECOND, device);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        // It goes with this, also when it is not ready.
        let mut second = Second { child, said, mode: String::new() };
        second.mode = second.hear("ready, ");
        second
    }

    /// The next line with this.
    fn hear(&mut self, text: &str) -> String {
        let line = self.said.by_ref().map_while(Result::ok).find(|line| line.contains(text));
        line.expect("the second process lives, or said above why not")
    }

    /// Has it do that, and goes on when it does.
    pub fn tell(&mut self, what: u8) {
        self.child.stdin.as_mut().unwrap().write_all(&[what]).unwrap();
        self.hear(&format!("done, {}", char::from(what)));
    }

    /// Ends it, without a chance to tidy up, while something is done.
    pub fn kill(mut self, mut meanwhile: impl FnMut()) {
        self.child.kill().unwrap();
        while self.child.try_wait().unwrap().is_none() {
            meanwhile();
        }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A socket that goes with this process.
pub struct Socket(pub PathBuf);

impl Socket {
    pub fn new(name: &str) -> Socket {
        Socket(std::env::temp_dir().join(format!("daedal-{name}-{}.sock", std::process::id())))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sockets, a device that listens there, and one that comes there.
pub fn by_sockets() -> [(Socket, String, String); 2] {
    let pair = |name, server: &str, client: &str| {
        let socket = Socket::new(name);
        let device = |it: &str| it.replace("PATH", socket.0.to_str().unwrap());
        let (server, client) = (device(server), device(client));
        (socket, server, client)
    };
    let memif = "id=0,socket=PATH,socket-abstract=no";
    [
        pair("memif", &format!("net_memif1,role=server,{memif}"), &format!("net_memif0,{memif}")),
        pair("vhost", "net_vhost1,iface=PATH,queues=1", "net_virtio_user0,path=PATH,queues=1"),
    ]
}
