//! Commands come by the thousand, end or are killed, and are cut off: they leave room and memory as they were, and
//! nothing that they ask is done twice.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use daedal_allocations::held_bytes;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Kept, Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived, Outcome};
use daedal_model::context::Context;
use daedal_model::id::{BoxId, ReactorAddress, Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, path};

thread_local! {
    /// How often each key was put, and how asks ended.
    static PUT: RefCell<BTreeMap<u64, u64>> = const { RefCell::new(BTreeMap::new()) };
    static ENDED: RefCell<Vec<(u64, bool)>> = const { RefCell::new(Vec::new()) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Put {
    key: u64,
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Store {
    #[combine(sum)]
    count: u64,
}

impl Agent for Store {
    type Message = Put;
    type Reply = u64;

    fn transition(&mut self, message: &Archived<Put>, context: &mut Context<'_, Self>) {
        self.count += 1;
        PUT.with_borrow_mut(|put| *put.entry(message.key.to_native()).or_default() += 1);
        context.reply(&self.count);
    }
}

/// Asks the store for one key when it begins; if it is patient, for the next after a second, and for one more after
/// 200.
#[state(crate = daedal_model)]
struct Visitor {
    #[combine(sum)]
    key: u64,
    #[combine(constant)]
    in_order: bool,
    #[combine(constant)]
    is_patient: bool,
}

impl Visitor {
    fn ask(&mut self, context: &mut Context<'_, Self>) {
        let put = Put { key: self.key };
        match self.in_order {
            true => context.ask_in_order("store", &put),
            false => context.ask("store", &put),
        };
    }
}

impl Agent for Visitor {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        self.ask(context);
        if self.is_patient {
            context.after(Duration::from_secs(1), &());
            context.after(Duration::from_secs(200), &());
        }
    }

    fn transition(&mut self, (): &Archived<()>, context: &mut Context<'_, Self>) {
        self.key += 1;
        self.ask(context);
    }

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let is_replied = match answer.outcome {
            Outcome::Reply { .. } => true,
            Outcome::Unknown => false,
            Outcome::Refused(refusal) => panic!("{refusal}"),
        };
        ENDED.with_borrow_mut(|ended| ended.push((self.key, is_replied)));
    }
}

fn templates() -> Templates {
    let mut templates = Templates::new();
    templates.talks_to::<Store>().talks_to::<Visitor>();
    templates
}

fn store(network: &SimNetwork) -> Turn<SimDriver> {
    let mut turn = network::turn_at((at(2, 0), STORE_AT, 8192), network, templates(), &[]);
    turn.host(Placed::alone(path("store"), Space(9)), hosted(Store::default()));
    turn
}

const STORE_AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 7000);

/// Each guest has its own, as long as anybody knows the one before that had it; the network keeps each for ever.
fn address_of(key: u64) -> SocketAddr {
    let key = key % 1_100;
    SocketAddr::from(([10, 1, (key >> 8) as u8, key as u8], 7000))
}

/// A reactor that asks for one key. Each guest has an address of its own.
fn visitor(id: u16, key: u64, how: [bool; 2], network: &SimNetwork) -> Turn<SimDriver> {
    let [in_order, is_patient] = how;
    let me = ReactorAddress { agent_box: BoxId(id), reactor: 0 };
    let mut turn =
        network::turn_at((me, address_of(key), 64), network, templates(), &[("store", at(2, 0))]);
    let placed = Placed::alone(path("visitor"), Space(1_000 + key as u32));
    turn.host(placed, hosted(Visitor { key, in_order, is_patient }));
    turn
}

/// Of no box that a file states.
fn guest(key: u64, how: [bool; 2], network: &SimNetwork) -> Turn<SimDriver> {
    visitor((1 << 15) | (key % 1_100) as u16, key, how, network)
}

fn pass(turns: &mut [&mut Turn<SimDriver>], now: &mut u64, (times, step_ns): (u64, u64)) {
    for _ in 0..times {
        *now += step_ns;
        for turn in turns.iter_mut() {
            turn.take(Stamp(*now), true);
        }
    }
}

const FAST: (u64, u64) = (40, 50_000);
const SECOND: u64 = 1_000_000_000;

fn replied() -> usize {
    ENDED.with_borrow(|ended| ended.iter().filter(|(_, is_replied)| *is_replied).count())
}

fn put(key: u64) -> u64 {
    PUT.with_borrow(|put| put.get(&key).copied().unwrap_or(0))
}

fn forget_what_the_test_knows() {
    PUT.take();
    ENDED.take();
}

/// Runs so many, one after the other, each for `each_ns`, and says what is kept after most of them, and after all.
fn come_and_go(guests: u64, each_ns: u64, says_goodbye: bool) -> [(Kept, isize); 2] {
    // What goes to one who is gone would stay on its way for ever.
    let alive = Rc::new(Cell::new(SocketAddr::from(([0, 0, 0, 0], 0))));
    let is_alive = alive.clone();
    let network = SimNetwork::new(move |flight, arrivals| {
        let arrives = flight.to == STORE_AT || flight.to == is_alive.get();
        arrivals.extend(arrives.then_some(flight.now + 10_000));
    });
    let mut there = store(&network);
    let (mut now, mut kept) = (SECOND, Vec::new());
    for key in 0..guests {
        alive.set(address_of(key));
        let mut here = guest(key, [false, false], &network);
        let come = now;
        while replied() as u64 <= key {
            pass(&mut [&mut here, &mut there], &mut now, FAST);
            assert!(now - come < SECOND, "number {key} is not answered");
        }
        if says_goodbye {
            assert!(here.unhost(path("visitor").physical_id()));
            pass(&mut [&mut here, &mut there], &mut now, (30, 1_000_000));
        }
        alive.set(STORE_AT);
        pass(&mut [&mut here], &mut now, (2, 50_000));
        drop(here);
        pass(&mut [&mut there], &mut now, (1, each_ns));
        if key == guests * 4 / 5 || key == guests - 1 {
            let known = (PUT.take(), ENDED.take());
            kept.push((there.kept(), held_bytes()));
            PUT.set(known.0);
            ENDED.set(known.1);
        }
    }
    forget_what_the_test_knows();
    kept.try_into().expect("two looks")
}

fn are_flat([(half, half_bytes), (all, all_bytes)]: [(Kept, isize); 2], links: usize) {
    assert!(all.links <= links && half.links <= links, "{half:?}, then {all:?}");
    assert!(all.origins <= links && all.done <= 2 * links, "{all:?}");
    assert!((all_bytes - half_bytes).abs() < 200_000, "{half_bytes}, then {all_bytes} bytes");
}

#[test]
fn commands_that_end_leave_no_link() {
    are_flat(come_and_go(1_500, SECOND / 5, true), 350);
}

#[test]
fn commands_that_are_killed_leave_nothing_after_a_minute() {
    are_flat(come_and_go(1_500, SECOND / 5, false), 350);
}

#[test]
fn more_commands_at_once_than_there_are_links_are_all_heard() {
    are_flat(come_and_go(1_500, 0, true), 1_024);
}

/// A network that is cut, one way or both, while the flags are set: there, and back.
fn cut_network() -> (SimNetwork, [Rc<Cell<bool>>; 2]) {
    let cut = [Rc::new(Cell::new(false)), Rc::new(Cell::new(false))];
    let [there, back] = cut.clone();
    let network = SimNetwork::new(move |flight, arrivals| {
        let is_there = flight.to == STORE_AT;
        let is_cut = if is_there { there.get() } else { back.get() };
        arrivals.extend((!is_cut).then_some(flight.now + 10_000));
    });
    (network, cut)
}

/// The store does what is asked, but whoever asked hears nothing of it, and is cut off for a while.
fn cut_off(
    mut here: Turn<SimDriver>,
    network: &SimNetwork,
    cuts: (&[Rc<Cell<bool>>; 2], [bool; 2]),
) -> Kept {
    let ([there_is_cut, back_is_cut], [cut_there, cut_back]) = cuts;
    let mut there = store(network);
    let mut now = 0;
    // The session stands, and the second message arrives, while the way back is cut.
    pass(&mut [&mut here, &mut there], &mut now, FAST);
    assert_eq!(replied(), 1);
    back_is_cut.set(true);
    pass(&mut [&mut here, &mut there], &mut now, (20, SECOND / 10));
    assert_eq!(PUT.with_borrow(|put| put.len()), 2);
    there_is_cut.set(cut_there);
    back_is_cut.set(cut_back);
    pass(&mut [&mut here, &mut there], &mut now, (1_200, SECOND / 10));
    let kept = there.kept();
    there_is_cut.set(false);
    back_is_cut.set(false);
    pass(&mut [&mut here, &mut there], &mut now, (1_200, SECOND / 10));
    kept
}

#[test]
fn a_guest_that_was_cut_off_for_long_is_told_so_and_nothing_is_done_twice() {
    for (key, in_order) in [(0, false), (10, true)] {
        for cut in [[true, true], [true, false], [false, true]] {
            let (network, cuts) = cut_network();
            let here = guest(key, [in_order, true], &network);
            let kept = cut_off(here, &network, (&cuts, cut));
            let puts = [put(key), put(key + 1), put(key + 2)];
            assert_eq!(puts, [1, 1, 1], "{cut:?}, {in_order}: once each");
            if cut != [false, true] {
                assert_eq!((kept.origins, kept.links), (0, 0), "{cut:?}: it was given up");
            }
            let ended = ENDED.take();
            let is_known = cut == [true, false];
            assert_eq!(ended, [(key, true), (key + 1, is_known), (key + 2, true)], "{cut:?}");
            forget_what_the_test_knows();
        }
    }
}

#[test]
fn a_box_that_was_cut_off_for_long_is_answered_and_nothing_is_done_twice() {
    for in_order in [false, true] {
        let (network, cuts) = cut_network();
        let here = visitor(1, 0, [in_order, true], &network);
        let kept = cut_off(here, &network, (&cuts, [true, true]));
        assert_eq!((kept.origins, kept.links), (1, 1), "a box is not given up");
        assert_eq!([put(0), put(1), put(2)], [1, 1, 1], "once each");
        assert_eq!(ENDED.take(), [(0, true), (1, true), (2, true)]);
        forget_what_the_test_knows();
    }
}
