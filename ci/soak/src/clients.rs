//! Open-loop load: what a client says is due at times that do not depend on answers, and is written down with
//! what it heard. A client has one connection, and up to [`PIPELINE`] commands under way on it.
//!
//! Most commands are about keys of one client alone: it knows what each must answer, and checks it at once. The
//! others, so many a second as a search can judge, are about keys that all share. These are of windows of some
//! seconds each, so that histories end, can be judged, and are given up for the next ones. Of both some keys count
//! (INCR, GET), and the others are registers (SET, GET, APPEND, DEL).
//! Source: Schroeder, Wierman and Harchol-Balter, "Open versus closed: a cautionary tale".

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use daedal::sim::history::Outcome;
use daedal::sim::linearizable::{Action, KeyValue, Output, Value};
use daedal::sim::random::Random;
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::floor::Floor;
use crate::histories::{Batch, Said, Surprise, key_name};
use crate::mesh::Mesh;
use crate::resp::{Reply, output, read_reply, write_command};
use crate::system::NAMES;

/// Commands under way on one connection: some packets' worth.
pub const PIPELINE: usize = 64;
/// Of each window, keys that count; the registers follow.
pub const COUNTERS: u16 = 24;
/// Keys of a window.
pub const KEYS: u16 = 48;
/// Keys of a client's own, half of which count.
const OWN_KEYS: u64 = 16;
/// Surprises that a client keeps; the others are counted.
const SURPRISES_KEPT: usize = 10_000;
/// How long a client waits at most before it looks again whether something is due.
const LOOK_EVERY_NS: i64 = 2_000_000;
/// How long it waits before it tries to connect again.
const CONNECT_EVERY: Duration = Duration::from_millis(50);

/// A client: what it is, before it runs.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub number: usize,
    /// The namespace that it is in.
    pub end: usize,
    /// Its gateway.
    pub at: SocketAddr,
    /// What it draws its commands from.
    pub random: Random,
    /// Where its histories go.
    pub batches: Sender<Batch>,
}

/// What a client has heard in all.
#[derive(Debug)]
pub struct Heard {
    /// From when a command was due until its answer, in nanoseconds; of the open loop alone.
    pub latencies: Histogram<u64>,
    /// Answers about keys of its own that were not what they must be, unless the key was lost.
    pub surprises: Vec<Surprise>,
    /// Answers that are none of ours to get, such as refusals; the first few.
    pub strange: Vec<String>,
    /// How many of those.
    pub strange_count: u64,
    /// Commands that it said, and what became of them.
    pub said: u64,
    /// Answered.
    pub answered: u64,
    /// It was told that nobody knows.
    pub told_unknown: u64,
    /// Its connection ended before.
    pub cut_off: u64,
}

/// Latencies of up to ten minutes.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 600_000_000_000, 2).expect("the bounds are in order")
}

/// One command under way.
struct UnderWay {
    due_ns: u64,
    said_ns: u64,
    about: About,
}

enum About {
    /// A shared key: where it is written down.
    Shared { window: u32, index: usize },
    /// One of its own, and how many of its place had been given up.
    Own { key: usize, given_up: u32, action: Action },
}

/// A key of a client's own.
#[derive(Default)]
struct Own {
    /// Keys of this place so far: one of which something is unknown is given up.
    given_up: u32,
    /// What it holds; `None`: that was heard of last is not known, as it had been lost.
    state: Option<Option<Value>>,
    /// When it was last known to hold that.
    since_ns: u64,
}

/// What one window's keys had of this client so far.
struct Page {
    window: u32,
    said: Vec<Said>,
    open: usize,
}

struct Running {
    floor: Arc<Floor>,
    client: Client,
    heard: Heard,
    stream: Option<TcpStream>,
    output: Vec<u8>,
    input: Vec<u8>,
    under_way: VecDeque<UnderWay>,
    pages: VecDeque<Page>,
    own: Vec<Own>,
    values: u64,
    /// When the present rate began, how many were said since, and the rate.
    pace: (u64, u64, u32),
}

impl Client {
    /// Runs until it is told to stop, in its namespace.
    pub fn run(self, lab: &Mesh, floor: Arc<Floor>) -> Heard {
        lab.enter(self.end);
        let heard = Heard {
            latencies: histogram(),
            surprises: Vec::new(),
            strange: Vec::new(),
            strange_count: 0,
            said: 0,
            answered: 0,
            told_unknown: 0,
            cut_off: 0,
        };
        let own = || Own { state: Some(None), ..Own::default() };
        let mut running = Running {
            floor,
            client: self,
            heard,
            stream: None,
            output: Vec::new(),
            input: Vec::new(),
            under_way: VecDeque::new(),
            pages: VecDeque::new(),
            own: (0..OWN_KEYS).map(|_| own()).collect(),
            values: 0,
            pace: (0, 0, 0),
        };
        running.run();
        running.heard
    }
}

impl Running {
    fn run(&mut self) {
        loop {
            self.turn_pages();
            let stops = self.floor.stops.load(Ordering::Relaxed);
            if stops && (self.under_way.is_empty() || self.floor.gives_up.load(Ordering::Relaxed)) {
                self.cut_off();
                while let Some(page) = self.pages.pop_front() {
                    self.hand_in(page);
                }
                return;
            }
            if self.stream.is_none() {
                self.connect();
                continue;
            }
            if !stops {
                self.say();
            }
            self.note();
            if self.exchange().is_err() {
                self.cut_off();
            }
        }
    }

    /// Hands in the pages of windows that are over, and begins the present one.
    fn turn_pages(&mut self) {
        let window = self.floor.window.load(Ordering::Relaxed);
        if self.pages.back().is_none_or(|page| page.window < window) {
            self.pages.push_back(Page { window, said: Vec::new(), open: 0 });
        }
        while self.pages.front().is_some_and(|page| page.window < window && page.open == 0) {
            let page = self.pages.pop_front().expect("it was there just now");
            self.hand_in(page);
        }
    }

    fn hand_in(&self, page: Page) {
        let Page { window, said, .. } = page;
        // Nobody judges any more when everything ends.
        let _ = self.client.batches.send(Batch { client: self.client.number, window, said });
    }

    fn connect(&mut self) {
        let at = self.client.at;
        let connected = TcpStream::connect_timeout(&at, Duration::from_millis(500));
        let ready = connected.and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        match ready {
            Ok(stream) => self.stream = Some(stream),
            Err(_) => std::thread::sleep(CONNECT_EVERY),
        }
    }

    /// Its connection is gone: of what was under way nobody will say what became of it.
    fn cut_off(&mut self) {
        (self.stream, self.heard.cut_off) =
            (None, self.heard.cut_off + self.under_way.len() as u64);
        self.output.clear();
        self.input.clear();
        let now = self.floor.now_ns();
        for it in std::mem::take(&mut self.under_way) {
            match it.about {
                About::Shared { window, index } => {
                    let page = page(&mut self.pages, window);
                    (page.said[index].heard_ns, page.open) = (now, page.open - 1);
                }
                About::Own { key, .. } => self.give_up(key),
            }
        }
    }

    /// Says what is due, as far as the pipeline has room.
    fn say(&mut self) {
        let (now, rate) = (self.floor.now_ns(), self.floor.rate.load(Ordering::Relaxed));
        if rate != self.pace.2 {
            self.pace = (now, 0, rate);
        }
        let due = match rate {
            0 => u64::MAX,
            rate => ((now - self.pace.0) as u128 * u128::from(rate) / 1_000_000_000) as u64,
        };
        while self.pace.1 < due && self.under_way.len() < PIPELINE {
            let due_ns = match rate {
                0 => now,
                rate => self.pace.0 + self.pace.1 * 1_000_000_000 / u64::from(rate),
            };
            self.say_one(now, due_ns);
            self.pace.1 += 1;
        }
        let late = if rate == 0 { 0 } else { due - self.pace.1 };
        self.floor.late[self.client.number].store(late, Ordering::Relaxed);
    }

    fn say_one(&mut self, now: u64, due_ns: u64) {
        self.heard.said += 1;
        let is_shared = self.client.random.chance(self.floor.shared_ppm.load(Ordering::Relaxed));
        let about = if is_shared { self.say_shared(now) } else { self.say_own() };
        self.under_way.push_back(UnderWay { due_ns, said_ns: now, about });
    }

    fn say_shared(&mut self, now: u64) -> About {
        let key = self.client.random.below(u64::from(KEYS)) as u16;
        let action = self.draw(key < COUNTERS);
        let page = self.pages.back_mut().expect("the present window has a page");
        write_command(&mut self.output, &key_name(page.window, key), &action);
        let (invoked, outcome) = (self.floor.event(), Outcome::Unknown);
        let (said_ns, heard_ns, ended) = (now, 0, None);
        page.said.push(Said { key, action, invoked, ended, outcome, said_ns, heard_ns });
        page.open += 1;
        About::Shared { window: page.window, index: page.said.len() - 1 }
    }

    fn say_own(&mut self) -> About {
        let key = self.client.random.below(OWN_KEYS) as usize;
        let action = self.draw(key.is_multiple_of(2));
        let name = self.own_name(key);
        write_command(&mut self.output, &name, &action);
        About::Own { key, given_up: self.own[key].given_up, action }
    }

    fn own_name(&self, key: usize) -> String {
        format!("o{}.{key}.{}", self.client.number, self.own[key].given_up)
    }

    fn draw(&mut self, counts: bool) -> Action {
        self.values += 1;
        let (values, number) = (self.values, self.client.number);
        let value = || Value(format!("{number}.{values};").into_bytes());
        match (counts, self.client.random.below(16)) {
            (true, 0..12) => Action::Increment(1),
            (true, _) | (false, 0..6) => Action::Get,
            (false, 6..11) => Action::Set(value()),
            (false, 11..14) => Action::Append(value()),
            (false, _) => Action::Delete,
        }
    }

    /// A key of its own of which something is unknown may change at any time yet: it takes another.
    fn give_up(&mut self, key: usize) {
        let given_up = self.own[key].given_up + 1;
        self.own[key] = Own { given_up, state: Some(None), since_ns: self.floor.now_ns() };
    }

    /// Tells the floor how long its oldest command has waited.
    fn note(&self) {
        let oldest = self.under_way.front().map_or(0, |it| it.said_ns);
        self.floor.oldest_ns[self.client.number].store(oldest, Ordering::Relaxed);
    }

    /// Waits for a moment, writes and reads.
    fn exchange(&mut self) -> std::io::Result<()> {
        let stream = self.stream.as_mut().expect("it is connected");
        let wants = match self.output.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::IN | PollFlags::OUT,
        };
        let wait = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY_NS };
        poll(&mut [PollFd::new(stream, wants)], Some(&wait))?;
        if !self.output.is_empty() {
            match stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; 16 << 10];
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let mut at = 0;
        while let Some((reply, length)) = read_reply(&self.input[at..]) {
            at += length;
            self.take(reply);
        }
        self.input.drain(..at);
        Ok(())
    }

    fn take(&mut self, reply: Reply) {
        let Some(it) = self.under_way.pop_front() else {
            return self.strange(format!("an answer that nobody waits for: {reply:?}"));
        };
        let now = self.floor.now_ns();
        let is_answered = match it.about {
            About::Shared { window, index } => self.take_shared(window, index, &reply, now),
            // What is heard of a key that was given up is not judged.
            About::Own { key, given_up, action } if given_up < self.own[key].given_up => {
                output(&action, &reply).is_some()
                    || self.unanswered("one given up", &action, &reply)
            }
            About::Own { key, action, .. } => self.take_own(key, &action, &reply, now),
        };
        if is_answered {
            self.heard.answered += 1;
            self.floor.answered.fetch_add(1, Ordering::Relaxed);
            if self.pace.2 > 0 {
                self.heard.latencies.saturating_record(now.saturating_sub(it.due_ns).max(1));
            }
        }
    }

    /// Whether it is an answer.
    fn take_shared(&mut self, window: u32, index: usize, reply: &Reply, now: u64) -> bool {
        let ended = self.floor.event();
        let page = page(&mut self.pages, window);
        page.open -= 1;
        let said = &mut page.said[index];
        said.heard_ns = now;
        let (key, action) = (said.key, said.action.clone());
        match output(&action, reply) {
            Some(output) => {
                (said.ended, said.outcome) = (Some(ended), Outcome::Returned(output));
                true
            }
            None => self.unanswered(&key_name(window, key), &action, reply),
        }
    }

    /// Whether it is an answer.
    fn take_own(&mut self, key: usize, action: &Action, reply: &Reply, now: u64) -> bool {
        let Some(output) = output(action, reply) else {
            let name = self.own_name(key);
            self.give_up(key);
            return self.unanswered(&name, action, reply);
        };
        let own = &self.own[key];
        let expected = own.state.as_ref().map(|state| KeyValue::apply(state, action));
        let since_ns = own.since_ns;
        let state = match expected {
            Some((state, expect)) if expect == output => Some(state),
            None => adopted(action, &output),
            Some((_, expect)) => {
                if self.heard.surprises.len() < SURPRISES_KEPT {
                    let (key, client) = (self.own_name(key), self.client.number);
                    let span_ns = (since_ns, now);
                    let text = format!("{action} answered {output}, not {expect}");
                    self.heard.surprises.push(Surprise { client, key, text, span_ns });
                }
                adopted(action, &output)
            }
        };
        let own = &mut self.own[key];
        (own.state, own.since_ns) = (state, now);
        true
    }

    fn unanswered(&mut self, key: &str, action: &Action, reply: &Reply) -> bool {
        match reply {
            Reply::Error(text) if text.contains("outcome is unknown") => {
                self.heard.told_unknown += 1;
            }
            other => self.strange(format!("{key} {action}: {other:?}")),
        }
        false
    }

    fn strange(&mut self, text: String) {
        self.heard.strange_count += 1;
        if self.heard.strange.len() < 4 {
            self.heard.strange.push(text);
        }
    }
}

/// What a key holds that answered so, whatever it held before; `None`: that does not say it.
fn adopted(action: &Action, output: &Output) -> Option<Option<Value>> {
    match (action, output) {
        (Action::Get, Output::Value(value)) => Some(value.clone()),
        (Action::Set(value), _) => Some(Some(value.clone())),
        (Action::Delete, _) => Some(None),
        (Action::Increment(_), Output::Number(number)) => {
            Some(Some(Value(number.to_string().into_bytes())))
        }
        _ => None,
    }
}

fn page(pages: &mut VecDeque<Page>, window: u32) -> &mut Page {
    pages.iter_mut().find(|page| page.window == window).expect("a page stays until all is heard")
}

/// The namespace that a client's thread is in, and the gateway that it speaks to: half of them at each.
pub fn place(number: usize) -> usize {
    1 + number % (NAMES.len() - 1)
}
