//! Many agents of one name: each is an agent, and an idle one takes the bytes of its state and a pointer.

use std::sync::Arc;
use std::time::Duration;

use daedal_allocations::held_bytes;
use daedal_boxes::alone::NoNetwork;
use daedal_boxes::template::{Parameters, Templates};
use daedal_boxes::turn::Turn;
use daedal_model::agent::{Agent, Answer, Archived, Refusal};
use daedal_model::context::Context;
use daedal_model::control::Failure;
use daedal_model::id::Stamp;
use daedal_model::path::AgentPath;
use daedal_model::{message, state};

/// What a user is told.
#[message(crate = daedal_model)]
#[derive(Debug)]
pub enum Told {
    /// Whoever this name falls to counts it.
    Named(#[point] String),
    /// Counts it, once it has been woken.
    Later,
    /// From now on it takes what it was told to do later.
    Wake,
    /// Asks the clerk, and counts the answer.
    AskClerk,
    /// Counts it, later.
    Soon,
    /// All are told.
    #[broadcast]
    All,
}

/// Counts what it was told; answers with its number and count.
#[state(crate = daedal_model)]
struct User {
    #[combine(sum)]
    number: u64,
    #[combine(sum)]
    count: u64,
    #[combine(constant)]
    is_awake: bool,
}

impl Agent for User {
    type Message = Told;
    type Reply = (u64, u64);

    fn start(&mut self, context: &mut Context<'_, Self>) {
        if self.number == 4 {
            context.send("users/5", &Told::Wake);
        }
    }

    fn transition(&mut self, told: &Archived<Told>, context: &mut Context<'_, Self>) {
        match told {
            ArchivedTold::Wake => self.is_awake = true,
            ArchivedTold::AskClerk => _ = context.ask("clerk", &self.number),
            ArchivedTold::Soon => {
                _ = context.after(Duration::from_nanos(10), &Told::Later);
                return;
            }
            _ => self.count += 1,
        }
        context.reply(&(self.number, self.count));
    }

    fn wants(&self, told: &Archived<Told>) -> bool {
        self.is_awake || !matches!(told, ArchivedTold::Later)
    }

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let doubled = answer.open::<u64>().expect("the clerk answers").to_native();
        assert_eq!(doubled, 2 * self.number, "each is given the answer to what it asked");
        self.count += 100;
    }
}

/// Answers with twice what it is asked.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Clerk {}

impl Agent for Clerk {
    type Message = u64;
    type Reply = u64;

    fn transition(&mut self, number: &Archived<u64>, context: &mut Context<'_, Self>) {
        context.reply(&(2 * number.to_native()));
    }
}

/// Tells users what its script says.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Teller {
    #[combine(sum)]
    answers: u64,
    #[combine(sum)]
    refused: u64,
}

const COUNT: u64 = 1000;

impl Agent for Teller {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        for number in 0..COUNT {
            context.ask(format!("users/{number}").as_str(), &Told::AskClerk);
        }
        for to in ["users/1", "users/1", "users/2"] {
            context.ask(to, &Told::Later);
        }
        context.ask("users/1", &Told::Wake);
        context.ask("users/3", &Told::Soon);
        context.ask("users/3", &Told::Wake);
        for name in 0..COUNT {
            context.ask("users", &Told::Named(name.to_string()));
        }
        // None of these is anybody's.
        context.ask("users/1000", &Told::Wake);
        context.ask("users", &Told::Wake);
        context.ask("users", &Told::All);
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        match answer.open::<(u64, u64)>() {
            Ok(_) => self.answers += 1,
            Err(why) => {
                use Refusal::{Indivisible, NoPoint, UnknownAgent};
                assert!(matches!(why, Some(UnknownAgent | NoPoint | Indivisible)), "{why:?}");
                self.refused += 1;
            }
        }
    }
}

fn turn() -> Turn<NoNetwork> {
    let mut templates = Templates::new();
    templates
        .many("User", |_, number| Ok(User { number: number.into(), count: 0, is_awake: false }))
        .agent("Greeter", |parameters| {
            let number = |key: &str| parameters.get(key).and_then(|it| it.parse().ok());
            let to = parameters.get("to").cloned().unwrap_or_default();
            Ok(Greeter { to, next: 0, count: number("count").unwrap_or(0) })
        })
        .agent("Clerk", |_| Ok(Clerk::default()))
        .agent("Teller", |_| Ok(Teller::default()));
    Turn::alone(Arc::new(templates))
}

fn many(count: u64) -> Parameters {
    Parameters::from([("count".to_owned(), count.to_string())])
}

fn shown(turn: &mut Turn<NoNetwork>, path: &str) -> String {
    let path = AgentPath::parse(path).expect("a path");
    turn.capture(&path).expect("it runs").expect("it has a state").to_string()
}

#[test]
fn each_of_many_has_its_state_inbox_asks_and_timers() {
    let mut turn = turn();
    turn.run("clerk", "Clerk", &Parameters::new()).expect("it runs");
    turn.run("users", "User", &many(COUNT)).expect("they run");
    turn.run("teller", "Teller", &Parameters::new()).expect("it runs");
    for now in 1..50 {
        turn.take(Stamp(now * 10), false);
    }
    // All but what number 2 waits with, and what number 3 answers by a timer: that is answered nowhere.
    let told = shown(&mut turn, "teller");
    assert!(told.contains("answers: 2004 (sum)") && told.contains("refused: 3 (sum)"), "{told}");
    let one = |number: u32| turn.capture_one("users", number).expect("it is there").to_string();
    let counts = (0..COUNT as u32).map(|number| {
        let text = one(number);
        assert!(text.contains(&format!("number: {number} (sum)")), "{text}");
        let count = text.lines().find_map(|line| line.trim().strip_prefix("count: "));
        let count = count.and_then(|it| it.split(' ').next()).expect("a count");
        let count: u64 = count.parse().expect("a number");
        assert!(count >= 100, "each asked the clerk: {text}");
        count - 100
    });
    // The names, two that waited for a wake-up, and one that a timer brought.
    assert_eq!(counts.sum::<u64>(), COUNT + 2 + 1);
    assert!(one(5).contains("is_awake: true"), "number 4 wrote to it when it began");
}

/// Wakes all of some, a thousand at a time.
#[state(crate = daedal_model)]
struct Greeter {
    #[combine(constant)]
    to: String,
    #[combine(sum)]
    next: u64,
    #[combine(sum)]
    count: u64,
}

impl Agent for Greeter {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_nanos(1), &());
    }

    fn transition(&mut self, _: &Archived<()>, context: &mut Context<'_, Self>) {
        for number in self.next..self.next + 1000 {
            context.send(format!("{}/{number}", self.to).as_str(), &Told::Wake);
        }
        self.next += 1000;
        if self.next < self.count {
            context.after(Duration::from_nanos(1), &());
        }
    }
}

/// Runs so many, and has each handle one message.
fn run_and_greet(turn: &mut Turn<NoNetwork>, name: &str, count: u64) {
    let greeter = format!("greeter-of-{name}");
    let mut parameters = many(count);
    turn.run(name, "User", &parameters).expect("they run");
    parameters.insert("to".to_owned(), name.to_owned());
    turn.run(&greeter, "Greeter", &parameters).expect("it runs");
    let delivered = turn.counts().delivered;
    for now in 1..=1 + count / 1000 {
        turn.take(Stamp(now * 1000), false);
    }
    assert!(turn.counts().delivered - delivered >= count);
    let path = AgentPath::parse(&greeter).expect("a path");
    assert!(turn.unhost(path.physical_id()));
}

#[test]
fn an_idle_one_takes_the_bytes_of_its_state_and_a_pointer_and_all_go_when_they_end() {
    const MANY: usize = 100_000;
    let mut turn = turn();
    run_and_greet(&mut turn, "few", 10_000);
    let before = held_bytes();
    run_and_greet(&mut turn, "users", MANY as u64);
    let each = (held_bytes() - before) as usize / MANY;
    assert_eq!(each, size_of::<User>() + size_of::<usize>());
    let path = AgentPath::parse("users").expect("a path");
    assert!(turn.unhost(path.physical_id()));
    for now in 2..20 {
        turn.take(Stamp(now * 100_000_000), false);
    }
    let left = held_bytes() - before;
    assert!(left < 8192, "{left} bytes are left");
}

#[test]
fn how_many_there_are_is_to_be_written() {
    let refused = |parameters: &Parameters| -> Failure {
        let mut templates = Templates::new();
        templates.many("User", |_, _| -> Result<User, Failure> {
            Err(Failure::from("it needs a name"))
        });
        templates.make("User", parameters).err().expect("a failure")
    };
    for wrong in ["0", "16777217", "many"] {
        let parameters = Parameters::from([("count".to_owned(), wrong.to_owned())]);
        let why = refused(&parameters).why;
        assert!(why.contains(&format!("count = {wrong:?}: write how many")), "{why}");
    }
    assert!(refused(&Parameters::new()).why.contains("count = \"\""));
    assert_eq!(refused(&many(3)).why, "it needs a name");
}
