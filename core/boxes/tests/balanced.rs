//! Copies of an agent that are alike: the sender chooses one for each message.

use std::cell::RefCell;
use std::collections::BTreeMap;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Point, Space, Stamp};
use daedal_model::route::PickBy;
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, learn, path};

const COPIES: u16 = 3;
const ASKS: u64 = 6_000;
const OUTSTANDING: u64 = 30;

thread_local! {
    /// How many messages each copy has processed.
    static PROCESSED: RefCell<BTreeMap<u16, u64>> = const { RefCell::new(BTreeMap::new()) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Work(u64);

#[state(crate = daedal_model)]
struct Copy {
    #[combine(forbid)]
    number: u16,
}

impl Agent for Copy {
    type Message = Work;
    type Reply = u64;

    fn transition(&mut self, work: &Archived<Work>, context: &mut Context<'_, Self>) {
        PROCESSED.with_borrow_mut(|all| *all.entry(self.number).or_default() += 1);
        context.reply(&work.0.to_native());
    }
}

/// Has so many asks outstanding, until there were enough.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Asker {
    #[combine(sum)]
    asked: u64,
}

impl Asker {
    fn ask(&mut self, context: &mut Context<'_, Self>) {
        if self.asked < ASKS {
            self.asked += 1;
            context.ask("work", &Work(self.asked));
        }
    }
}

impl Agent for Asker {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        (0..OUTSTANDING).for_each(|_| self.ask(context));
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        answer.open::<u64>().expect("some copy answers");
        self.ask(context);
    }
}

/// Who has processed how many. The third copy is ten times as far away as the others; only so many are there.
fn processed(by: PickBy, here: u16) -> BTreeMap<u16, u64> {
    let network = SimNetwork::new(|flight, arrivals| {
        let is_far = [flight.from, flight.to].iter().any(|it| it.ip().to_string() == "10.0.0.4");
        arrivals.push(flight.now + if is_far { 200_000 } else { 20_000 });
    });
    let names: Vec<String> = (1..=COPIES).map(|copy| format!("work/copy{copy}")).collect();
    let start = |agent_box: u16| {
        let mut templates = Templates::new();
        templates.talks_to::<Copy>().talks_to::<Asker>();
        let places: Vec<_> = (1..=here)
            .map(|copy| (names[usize::from(copy) - 1].as_str(), at(copy + 1, 0)))
            .collect();
        let mut turn = network::turn(at(agent_box, 0), &network, templates, &places);
        let copies = names.iter().map(|name| (name.as_str(), Point(0)));
        learn(&mut turn, ("work", 1), by, copies);
        turn
    };
    let mut turns: Vec<Turn<SimDriver>> = (1..=here + 1).map(start).collect();
    for copy in 1..=here {
        let (path, source) = (path(&names[usize::from(copy) - 1]), path("work"));
        let placed = Placed { source, ..Placed::alone(path, Space(10 + u32::from(copy))) };
        turns[usize::from(copy)].host(placed, hosted(Copy { number: copy }));
    }
    turns[0].host(Placed::alone(path("asker"), Space(1)), hosted(Asker::default()));
    for step in 1..200_000 {
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(step * 10_000), true));
    }
    PROCESSED.take()
}

#[test]
fn in_turn_each_has_as_many() {
    let each = ASKS / u64::from(COPIES);
    assert_eq!(processed(PickBy::RoundRobin, 3), (1..=COPIES).map(|copy| (copy, each)).collect());
}

#[test]
fn where_the_fewest_are_outstanding_a_slow_copy_has_less_to_do() {
    let all = processed(PickBy::LeastOutstanding, 3);
    assert_eq!(all.values().sum::<u64>(), ASKS);
    assert!(all[&3] * 4 < all[&1] && all[&3] * 4 < all[&2], "{all:?}");
    assert!(all[&1].abs_diff(all[&2]) < ASKS / 10, "{all:?}");
}

#[test]
fn a_copy_that_is_away_is_stood_in_for() {
    for by in [PickBy::RoundRobin, PickBy::LeastOutstanding] {
        let all = processed(by, 2);
        assert_eq!(all.values().sum::<u64>(), ASKS, "{by:?}: {all:?}");
    }
}
