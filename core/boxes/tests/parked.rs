//! What waits in an agent's inbox when the agent stops is still its sender's: it goes to whoever is next.

use std::cell::RefCell;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Epoch, ReactorAddress, Space, Stamp};
use daedal_model::route::{Action, Route};
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, path};

const NOTES: u64 = 100;

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Note(u64);

thread_local! {
    /// Which life of the reader has read which notes, in that order.
    static READ: RefCell<Vec<(u32, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Its first life wants half of the notes, the next one all.
#[state(crate = daedal_model)]
struct Reader {
    #[combine(forbid)]
    life: u32,
}

impl Agent for Reader {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, _: &mut Context<'_, Self>) {
        READ.with_borrow_mut(|read| read.push((self.life, note.0.to_native())));
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        self.life > 1 || note.0.to_native().is_multiple_of(2)
    }
}

/// Sends all notes at once.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Writer {}

impl Agent for Writer {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        (0..NOTES).for_each(|note| context.send("reader", &Note(note)));
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}
}

fn host_reader(turn: &mut Turn<SimDriver>, life: u32) {
    let path = path("reader").with_incarnation(life);
    let placed = Placed { source: path.logical(), ..Placed::alone(path, Space(10 + life)) };
    turn.host(placed, hosted(Reader { life }));
}

/// The reader's first life is at `first`, its second at `second`.
fn moves(reactors: &[ReactorAddress], first: usize, second: usize) {
    let network = SimNetwork::perfect(10_000);
    let start = |me: &ReactorAddress| {
        let mut templates = Templates::new();
        templates.talks_to::<Reader>().talks_to::<Writer>();
        let lives = [(first, "reader"), (second, "reader:2")];
        let places = lives.map(|(index, name)| (name, reactors[index]));
        network::turn(*me, &network, templates, &places)
    };
    let mut turns: Vec<Turn<SimDriver>> = reactors.iter().map(start).collect();
    if reactors.iter().all(|it| it.agent_box == reactors[0].agent_box) {
        daedal_boxes::reactor::join(&mut turns);
    }
    let mut now = 0;
    let mut run = |turns: &mut [Turn<SimDriver>]| {
        for _ in 0..3000 {
            now += 1_000_000;
            turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(now), true));
        }
    };
    let leads_to = |turns: &mut [Turn<SimDriver>], life: u32| {
        let action = Action::To(path("reader").with_incarnation(life).physical_id());
        for turn in turns {
            turn.learn_route(path("reader"), Route { epoch: Epoch(life), action: action.clone() });
            turn.settle_routes();
        }
    };
    leads_to(&mut turns, 1);
    host_reader(&mut turns[first], 1);
    turns[0].host(Placed::alone(path("writer"), Space(1)), hosted(Writer::default()));
    run(&mut turns);
    assert_eq!(READ.take(), (0..NOTES).step_by(2).map(|note| (1, note)).collect::<Vec<_>>());
    assert!(turns[first].unhost(path("reader").with_incarnation(1).physical_id()));
    host_reader(&mut turns[second], 2);
    leads_to(&mut turns, 2);
    run(&mut turns);
    let mut read = READ.take();
    read.sort_unstable();
    assert_eq!(read, (1..NOTES).step_by(2).map(|note| (2, note)).collect::<Vec<_>>());
}

#[test]
fn what_came_from_a_neighbour() {
    moves(&[at(1, 0)], 0, 0);
}

#[test]
fn what_came_by_ring() {
    moves(&[at(1, 0), at(1, 1)], 1, 0);
    moves(&[at(1, 0), at(1, 1)], 1, 1);
}

#[test]
fn what_came_over_a_link() {
    moves(&[at(1, 0), at(2, 0)], 1, 0);
    moves(&[at(1, 0), at(2, 0)], 1, 1);
}
