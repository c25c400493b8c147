//! What one agent sends another on another box or reactor, one message behind the other: each comes as it was sent, whatever
//! stands between it and the one before, and a header is not said twice.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use daedal_boxes::reactor::join;
use daedal_boxes::shim::Shim;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{ReactorAddress, Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::{Flight, SimDriver, SimNetwork};
use daedal_net::wire::link::LinkHeader;
use daedal_net::wire::message::Message;
use daedal_net::wire::record::Records;

mod network;

use network::{at, path};

/// Turns that all may take.
const TURNS_MAX: u64 = 100_000;
const LATENCY_NS: u64 = 10_000;

thread_local! {
    /// What came to the reader, and what it said came back, and how often.
    static CAME: RefCell<BTreeMap<u64, u32>> = const { RefCell::new(BTreeMap::new()) };
    static BACK: RefCell<BTreeMap<u64, u32>> = const { RefCell::new(BTreeMap::new()) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Line {
    number: u64,
    text: String,
}

fn text(number: u64, bytes: usize) -> String {
    let letters = (0..bytes as u64).map(|at| b'a' + ((at + number) % 26) as u8);
    String::from_utf8(letters.collect()).expect("letters")
}

/// A line of so many bytes is as it was sent.
fn check(line: &Archived<Line>) -> u64 {
    let number = line.number.to_native();
    assert_eq!(line.text.as_str(), text(number, line.text.len()), "{number} is another");
    number
}

/// Asks and tells by turns: so many lines, a few at each visit, of these sizes one after the other.
#[derive(Default)]
struct Writer {
    lines: u64,
    sizes: Vec<usize>,
    written: u64,
}

impl Agent for Writer {
    type Message = ();
    type Reply = ();

    fn transition(&mut self, (): &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let number = check(answer.open::<Line>().expect("it is answered with a line"));
        BACK.with_borrow_mut(|back| *back.entry(number).or_default() += 1);
    }
}

impl Shim for Writer {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let until = self.lines.min(self.written + 40);
        for number in self.written..until {
            let bytes = self.sizes[number as usize % self.sizes.len()];
            let line = LineRef { number, text: &text(number, bytes) };
            match number % 3 {
                2 => context.send("reader", &line),
                _ => _ = context.ask("reader", &line),
            }
        }
        std::mem::replace(&mut self.written, until) < until
    }
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Reader {}

impl Agent for Reader {
    type Message = Line;
    type Reply = Line;

    fn transition(&mut self, line: &Archived<Line>, context: &mut Context<'_, Self>) {
        let number = check(line);
        CAME.with_borrow_mut(|came| *came.entry(number).or_default() += 1);
        if number % 3 < 2 {
            context.reply(&LineRef { number, text: line.text.as_str() });
        }
    }
}

/// What went over the network.
#[derive(Default)]
struct Said {
    frames: u64,
    bytes: u64,
    /// Sources and numbers of messages that are followed.
    followed: BTreeSet<(u64, u64)>,
}

impl Said {
    fn hear(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let (_, area) = LinkHeader::parse(frame).expect("links write whole headers");
        let mut records = Records::new(area);
        while let Some(Message { header, .. }) = records.next_message() {
            if header.trace.get() != 0 {
                self.followed.insert((header.source.get(), header.number.get()));
            }
        }
    }
}

/// So many lines of these sizes, of which the first of each of so many visits is followed, over a network that loses
/// each of so many frames.
fn run(lines: u64, sizes: &[usize], lost: Option<u64>, sampled: u64) -> Said {
    run_between([at(1, 0), at(2, 0)], (lines, sizes), lost, sampled)
}

/// Likewise, from one reactor to another.
fn run_between(
    [here, there]: [ReactorAddress; 2],
    (lines, sizes): (u64, &[usize]),
    lost: Option<u64>,
    sampled: u64,
) -> Said {
    CAME.take();
    BACK.take();
    let said = Rc::new(RefCell::new(Said::default()));
    let hears = said.clone();
    let network = SimNetwork::new(move |flight: &Flight<'_>, arrivals: &mut Vec<u64>| {
        let mut said = hears.borrow_mut();
        said.hear(flight.bytes);
        if lost.is_none_or(|it| said.frames % it != 0) {
            arrivals.push(flight.now + LATENCY_NS);
        }
    });
    let places = [("writer", here), ("reader", there)];
    let mut turns: Vec<Turn<SimDriver>> = places
        .iter()
        .map(|(_, place)| {
            let mut templates = Templates::new();
            templates.talks_to::<Writer>().talks_to::<Reader>();
            network::turn(*place, &network, templates, &places)
        })
        .collect();
    if here.agent_box == there.agent_box {
        join(&mut turns);
    }
    turns[1].host(Placed::alone(path("reader"), Space(2)), hosted(Reader {}));
    let sizes = sizes.to_vec();
    let writer = move || Writer { lines, sizes: sizes.clone(), written: 0 };
    turns[0].sample(sampled);
    network::host_shim(&mut turns[0], Placed::alone(path("writer"), Space(1)), writer);
    let asks = (0..lines).filter(|number| number % 3 < 2).count();
    let is_over = || {
        CAME.with_borrow(BTreeMap::len) as u64 == lines && BACK.with_borrow(BTreeMap::len) == asks
    };
    let mut now = 0;
    let is_done = (0..TURNS_MAX).any(|_| {
        now += LATENCY_NS;
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(now), true));
        is_over()
    });
    assert!(is_done, "{} came", CAME.with_borrow(BTreeMap::len));
    for counted in [CAME.take(), BACK.take()] {
        assert!(counted.into_values().all(|times| times == 1));
    }
    said.take()
}

#[test]
fn each_comes_as_it_was_sent_whatever_its_size_and_that_of_the_one_before() {
    // For some the room that a frame has is too small, for some a whole frame. Each size is asked with and told with.
    let sizes = [8, 8, 100, 140, 150, 8, 700, 1_300, 8, 1_500, 5_000, 8, 8, 60_000];
    run(900, &sizes, None, 0);
    run(900, &sizes, Some(5), 0);
}

#[test]
fn by_a_ring_each_comes_as_it_was_sent_too() {
    // For some the room that a ring has is too small; 4 KiB are the most that travel in it.
    let sizes = [8, 8, 8, 100, 8, 150, 200, 8, 8, 700, 4_000, 8, 8, 4_020, 5_000, 8, 60_000, 8];
    for sampled in [0, 3] {
        let said = run_between([at(1, 0), at(1, 1)], (3_000, &sizes), None, sampled);
        assert_eq!(said.frames, 0);
    }
}

#[test]
fn those_that_are_followed_stand_between_those_that_are_not() {
    // The first of the 40 lines of a visit, and what answers it.
    let said = run(600, &[8], Some(7), 3);
    let writer = path("writer").logical_id().0;
    let (all, lines) =
        (said.followed.iter(), said.followed.range((writer, 0)..=(writer, u64::MAX)));
    assert_eq!((lines.count(), all.count()), (5, 10), "{:?}", said.followed);
}

#[test]
fn a_header_is_not_said_twice() {
    let lines = 3_000;
    let said = run(lines, &[32], None, 0).bytes;
    // Each way a line of 48 bytes, and two of three answers name what they answer.
    let bodies = lines * 48 + lines * 2 / 3 * (48 + 16);
    let headers = said - bodies;
    assert!(headers < (lines + lines * 2 / 3) * 32, "{headers} bytes");
}
