use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Command;

use daedal_model::agent::{Agent, Answer, Archived, ReplyTo};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, BoxId, Number, ReactorAddress, Space};
use daedal_model::path::AgentPath;
use daedal_model::{message, state};
use daedal_net::driver::{Counters, Outgoing, Received};
use daedal_net::pool::Pool;

use rustix::thread::CpuSet;

use super::*;
use crate::Placed;
use crate::journal::Journal;
use crate::links::Links;
use crate::template::{Parameters, Templates};

/// Long enough for the slowest machine: nobody waits for it unless something is broken.
pub(crate) const LONG: Duration = Duration::from_secs(60);

#[message(crate = daedal_model)]
pub(crate) enum Request {
    Echo {
        value: u64,
    },
    Add {
        value: u64,
    },
    /// Goes back and forth between two agents so many times, then is answered by each in turn.
    Bounce {
        left: u64,
    },
    /// Adds 1 at the peer so many times, at once.
    Flood {
        count: u64,
    },
    /// Is never answered.
    Ignore,
    Panic,
}

/// Echoes, adds up, and bounces to its peer.
#[state(crate = daedal_model)]
#[derive(Default)]
pub(crate) struct Worker {
    #[combine(sum)]
    sum: u64,
    #[combine(constant)]
    peer: u64,
    #[combine(forbid)]
    asked: Vec<(u64, u64, u32, u64)>,
}

impl Agent for Worker {
    type Message = Request;
    type Reply = u64;

    fn transition(&mut self, request: &Archived<Request>, context: &mut Context<'_, Self>) {
        match request {
            ArchivedRequest::Echo { value } => context.reply(&value.to_native()),
            ArchivedRequest::Add { value } => {
                self.sum += value.to_native();
                context.reply(&self.sum);
            }
            ArchivedRequest::Bounce { left } if *left == 0 => context.reply(&0),
            ArchivedRequest::Bounce { left } => {
                let asker = context.reply_address();
                let left = left.to_native() - 1;
                let number = context.ask(AgentId(self.peer), &Request::Bounce { left });
                self.asked.push((number.0, asker.source.0, asker.space.0, asker.number.0));
            }
            ArchivedRequest::Flood { count } => {
                for _ in 0..count.to_native() {
                    context.send(AgentId(self.peer), &Request::Add { value: 1 });
                }
            }
            ArchivedRequest::Ignore => {}
            ArchivedRequest::Panic => panic!("as it was told"),
        }
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        // What was only sent, as a flood is, is answered too.
        let at = self.asked.iter().position(|it| it.0 == answer.to.0);
        let Some(at) = at else { return };
        let hops = answer.open::<u64>().expect("the peer answers").to_native();
        let (_, source, space, number) = self.asked.swap_remove(at);
        let name = ReplyTo { source: AgentId(source), space: Space(space), number: Number(number) };
        context.reply_to(name, &(hops + 1));
    }
}

/// A network without a network.
#[derive(Debug)]
pub(crate) struct NoDriver(Pool);

impl Driver for NoDriver {
    fn pool(&self) -> &Pool {
        &self.0
    }
    fn receive(&mut self, _: u64, _: usize, _: &mut Vec<Received>) -> usize {
        0
    }
    fn transmit(&mut self, _: u64, frames: &mut VecDeque<Outgoing>) {
        frames.clear();
    }
    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }
    fn payload_bytes_max(&self) -> usize {
        1472
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
    fn mode(&self) -> String {
        "none".into()
    }
}

fn templates() -> Templates {
    let mut templates = Templates::new();
    templates.agent::<Worker>("worker", |parameters| {
        let peer = parameters.get("peer").map_or(AgentId(0), |peer| AgentId::from(peer.as_str()));
        Ok(Worker { peer: peer.0, ..Worker::default() })
    });
    templates
}

fn path_of(text: &str) -> AgentPath {
    AgentPath::parse(text).unwrap()
}

fn at(reactor: u8) -> ReactorAddress {
    ReactorAddress { agent_box: BoxId(1), reactor }
}

/// A turn with agent `w0`, `w1`, … and the shim of a handle, which knows of one such agent on each of
/// `count` reactors.
pub(crate) fn turn(me: u8, count: u8, shim: Option<HandleShim>) -> Turn<NoDriver> {
    turn_that_knows(me, count, shim, |_| ())
}

/// [`turn`], whose process knows more types than the worker's.
fn turn_that_knows(
    me: u8,
    count: u8,
    shim: Option<HandleShim>,
    others: impl Fn(&mut Templates),
) -> Turn<NoDriver> {
    let mut templates = templates();
    others(&mut templates);
    let templates = Arc::new(templates);
    let driver = NoDriver(Pool::new(8, 1472));
    let links = Links::new(at(me), driver, templates.kinds(), Default::default(), 1);
    let mut turn = Turn::new(at(me), templates.clone(), links);
    for reactor in 0..count {
        turn.fix_route(path_of(&format!("w{reactor}")), at(reactor));
    }
    let peer = format!("w{}", (me + 1) % count);
    let parameters = Parameters::from([("peer".to_string(), peer)]);
    let worker = templates.make("worker", &parameters).unwrap();
    let space = u32::from(me) * 2;
    turn.host(Placed::alone(path_of(&format!("w{me}")), Space(space + 1)), worker);
    if let Some(shim) = shim {
        let placed = Placed::alone(path_of(&format!("handle{me}")), Space(space + 2));
        turn.host(placed, shim.into_host());
    }
    turn
}

/// Runs a test on each executor that there is.
pub(crate) fn on_each(test: impl Fn(Executor)) {
    for (executor, name) in Executor::ALL {
        match executor.choose() {
            (chosen, None) => {
                assert_eq!(chosen, executor);
                test(executor);
            }
            (_, Some(why)) => println!("skipped: reactors on {name}: {why}"),
        }
    }
}

/// `count` reactors, each with a handle whose queue has room for `calls_max`.
pub(crate) fn reactors(
    executor: Executor,
    name: &str,
    count: u8,
    idle: Idle,
    calls_max: usize,
) -> Vec<(Reactor, Handle)> {
    let clock = Clock::start();
    let all = Neighbours::join(count).unwrap().into_iter().enumerate();
    let start = |(me, mut neighbours): (usize, Neighbours)| {
        let me = me as u8;
        let (handle, shim) = neighbours.handle(calls_max);
        let name = format!("{name}.{me}");
        let spec = ReactorSpec { name, cpu: None, executor, idle, clock, neighbours, page: None };
        let reactor = Reactor::start(spec, move |_| Ok(turn(me, count, Some(shim)))).unwrap();
        (reactor, handle)
    };
    all.map(start).collect()
}

pub(crate) fn stop(reactors: Vec<(Reactor, Handle)>) {
    for (reactor, _) in reactors {
        reactor.stop(LONG).unwrap();
    }
}

/// How often each thread of this name has gone to sleep; empty when there is none.
fn sleeps(name: &str) -> Vec<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let texts = tasks.filter_map(|task| {
        let task = task.ok()?.path();
        let comm = std::fs::read_to_string(task.join("comm")).ok()?;
        let status = std::fs::read_to_string(task.join("status")).ok()?;
        comm.trim().starts_with(name).then_some(status)
    });
    texts
        .map(|status| {
            let line = status.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
            line.expect("Linux counts them").trim().parse().unwrap()
        })
        .collect()
}

#[test]
fn a_hundred_thousand_asks_of_four_threads_are_each_answered_once() {
    on_each(|executor| {
        const THREADS: u64 = 4;
        const ASKS: u64 = 100_000 / THREADS;
        const AT_ONCE: usize = 100;
        let all = reactors(executor, "many", 2, Idle::Balanced, 256);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let handle = all[(thread % 2) as usize].1.clone();
                scope.spawn(move || {
                    let mut open = VecDeque::new();
                    for asked in 0..ASKS {
                        let value = thread << 32 | asked;
                        let to = if asked % 2 == 0 { "w0" } else { "w1" };
                        let request = if asked % 4 < 2 {
                            Request::Echo { value }
                        } else {
                            Request::Add { value: 1 }
                        };
                        let mut ask = handle.ask::<Worker>(to, &request);
                        // Nothing is sent before it is polled.
                        let early = poll_once(&mut ask);
                        open.push_back((asked, value, early, ask));
                        if open.len() == AT_ONCE || asked == ASKS - 1 {
                            for (asked, value, early, ask) in open.drain(..) {
                                let reply = early.unwrap_or_else(|| block_on(ask)).unwrap();
                                assert!(asked % 4 >= 2 || reply == value, "{reply} for {value}");
                            }
                        }
                    }
                });
            }
        });
        // Each of the additions was done once: half of the asks, half of them at each agent.
        for to in ["w0", "w1"] {
            let sum = all[0].1.ask_blocking::<Worker>(to, &Request::Add { value: 0 });
            assert_eq!(sum, Ok(THREADS * ASKS / 4));
        }
        stop(all);
    });
}

/// The smallest executor: one future, one thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        let mut task = std::task::Context::from_waker(&waker);
        match future.as_mut().poll(&mut task) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// What it is, if it is ready.
pub(crate) fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut task) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn an_async_task_asks_agents_of_both_reactors() {
    on_each(|executor| {
        let all = reactors(executor, "task", 2, Idle::Balanced, 4);
        let handle = all[0].1.clone();
        let sum = block_on(async move {
            let mut sum = 0;
            for value in 0..200 {
                sum += handle.ask::<Worker>("w0", &Request::Echo { value }).await?;
                sum += handle.ask::<Worker>("w1", &Request::Echo { value }).await?;
            }
            Ok::<_, crate::handle::AskError>(sum)
        });
        assert_eq!(sum, Ok(2 * (0..200).sum::<u64>()));
        stop(all);
    });
}

#[test]
fn messages_wake_reactors_that_park_between_any_two_of_them() {
    on_each(|executor| {
        for idle in [Idle::Frugal, Idle::Balanced] {
            let name = format!("bounce-{}", &idle.to_string()[..3]);
            let all = reactors(executor, &name, 2, idle, 4);
            for round in 0..100 {
                let bounced =
                    all[round % 2].1.ask_blocking::<Worker>("w0", &Request::Bounce { left: 40 });
                assert_eq!(bounced, Ok(40));
            }
            if idle == Idle::Frugal {
                // A glommio executor has a helper beside, of the same name, which does nothing here.
                let sleepers = sleeps(&name).into_iter().filter(|count| *count > 100);
                assert_eq!(sleepers.count(), 2);
            }
            stop(all);
        }
    });
}

#[test]
fn what_finds_no_room_in_a_ring_is_sent_when_there_is_some() {
    on_each(|executor| {
        const COUNT: u64 = 20_000;
        let all = reactors(executor, "flood", 2, Idle::Frugal, 4);
        all[0].1.send_blocking("w0", &Request::Flood { count: COUNT }).unwrap();
        let handle = &all[1].1;
        while handle.ask_blocking::<Worker>("w1", &Request::Add { value: 0 }) != Ok(COUNT) {}
        stop(all);
    });
}

#[test]
fn a_stopped_reactor_leaves_no_thread() {
    on_each(|executor| {
        let all = reactors(executor, "gone", 3, Idle::Frugal, 4);
        let handle = all[0].1.clone();
        assert_eq!(handle.ask_blocking::<Worker>("w2", &Request::Echo { value: 7 }), Ok(7));
        assert!(sleeps("gone.").len() >= 3);
        stop(all);
        // A glommio executor tells its helper to end, and does not wait for it.
        while executor == Executor::Glommio && !sleeps("gone.").is_empty() {
            std::thread::yield_now();
        }
        assert!(sleeps("gone.").is_empty());
    });
}

#[test]
fn a_reactor_is_pinned_to_its_core_or_says_why_not() {
    on_each(|executor| {
        let start = |cpu| {
            let neighbours = Neighbours::join(1).unwrap().remove(0);
            let clock = Clock::start();
            let name = "pinned".to_string();
            let spec = ReactorSpec {
                name,
                cpu: Some(cpu),
                executor,
                idle: Idle::Frugal,
                clock,
                neighbours,
                page: None,
            };
            Reactor::start(spec, |_| Ok(turn(0, 1, None)))
        };
        let allowed = rustix::thread::sched_getaffinity(None).unwrap();
        let cpu = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
        start(cpu).unwrap().stop(LONG).unwrap();
        let error = start(CpuSet::MAX_CPU).unwrap_err().to_string();
        assert!(error.contains("\"pinned\"") && error.contains("taskset"), "{error}");
    });
}

#[test]
fn time_goes_on_from_the_wall_clock() {
    let clock = Clock::start();
    let (one, other) = (clock.now(), clock.now());
    assert!(one <= other && one.0 > 1_700_000_000_000_000_000);
}

/// Not a test but the process that the test below looks at: does nothing otherwise.
#[test]
fn process_whose_reactor_panics() {
    if std::env::var_os("DAEDAL_TEST_PANIC").is_some() {
        let all = reactors(Executor::Thread, "unlucky", 1, Idle::Frugal, 4);
        let _ = all[0].1.ask_blocking::<Worker>("w0", &Request::Panic);
    }
}

#[test]
fn a_panic_ends_the_process_and_names_the_reactor() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--nocapture", "reactor::tests::process_whose_reactor_panics"]);
    let output = child.env("DAEDAL_TEST_PANIC", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("reactor \"unlucky.0\" panicked: the box ends"), "{said}");
}

#[test]
fn a_journal_on_any_executor_answers_what_is_in_its_file() {
    use daedal_model::control::{Raise, Raised};

    on_each(|executor| {
        let folder =
            std::env::temp_dir().join(format!("daedal-journal-{executor}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("journal");
        let mut neighbours = Neighbours::join(1).unwrap().remove(0);
        let (handle, shim) = neighbours.handle(64);
        let spec = ReactorSpec {
            name: "journal".into(),
            cpu: None,
            executor,
            idle: Idle::Frugal,
            clock: Clock::start(),
            neighbours,
            page: None,
        };
        let at = path.clone();
        let make = move |files: &Files| {
            let mut turn = turn_that_knows(0, 1, Some(shim), |it| {
                it.talks_to::<Journal>();
            });
            let journal = Journal::open(&at, files).map_err(|error| error.to_string())?;
            turn.fix_route(path_of("journal"), self::at(0));
            turn.host(Placed::alone(path_of("journal"), Space(9)), journal.into_host());
            Ok(turn)
        };
        let reactor = Reactor::start(spec, make).unwrap();
        // Several at once, so that some come while the first is being written.
        let raise = Raise { spaces: 10, epochs: 1 };
        let mut asks: Vec<_> = (0..20).map(|_| handle.ask::<Journal>("journal", &raise)).collect();
        let early: Vec<_> = asks.iter_mut().map(poll_once).collect();
        let answers = asks.into_iter().zip(early);
        let given: Vec<_> = answers
            .map(|(ask, early)| early.unwrap_or_else(|| block_on(ask)).unwrap().space)
            .collect();
        assert_eq!(given, (1..=20).map(|it| it * 10).collect::<Vec<u32>>());
        assert_eq!(Journal::check(&path).unwrap().space, 200);
        // Who asks while it cannot be written is told so, and may ask again.
        std::fs::remove_dir_all(&folder).unwrap();
        let ask = || block_on(handle.ask::<Journal>("journal", &raise)).unwrap();
        assert_eq!([ask(), ask()], [Raised::NOTHING; 2]);
        std::fs::create_dir_all(&folder).unwrap();
        let given = ask();
        assert!(given.space > 200, "{given:?}");
        assert_eq!(Journal::check(&path).unwrap(), given);
        reactor.stop(LONG).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    });
}
