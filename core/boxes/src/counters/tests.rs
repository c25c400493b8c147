use std::fs;

use super::*;
use crate::executor::Executor;
use crate::idle::Idle;
use crate::reactor::tests::{LONG, Request, Worker, turn};
use crate::reactor::{Clock, Neighbours, Reactor, ReactorSpec};
use crate::walk::Step;

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("daedal-{name}-{}", std::process::id()))
}

#[test]
fn names_are_short_enough_for_the_file_and_each_stands_once() {
    let names = names();
    for name in &names {
        assert!(name.len() <= FIELD_WORDS * 8, "{name} is cut");
        assert_eq!(names.iter().filter(|it| *it == name).count(), 1, "{name}");
        if let Some(level) = name.strip_suffix("_max") {
            assert!(names.iter().any(|it| it == level), "{name} bounds nothing");
        }
    }
}

#[test]
fn an_outside_reader_sees_what_a_reactor_did_and_a_samples_walk() {
    let folder = folder("counters");
    let board = Board::create(&folder, ("a", "127.0.0.1:1"), 1, Stamp(7)).unwrap();
    let reading = BoxReading::open(board.path()).unwrap();
    let mut neighbours = Neighbours::join(1).unwrap().remove(0);
    let (handle, shim) = neighbours.handle(8);
    let spec = ReactorSpec {
        name: "counted".into(),
        cpu: None,
        executor: Executor::Thread,
        idle: Idle::Frugal,
        clock: Clock::start(),
        neighbours,
        page: Some(board.page(0)),
    };
    let make = |_: &_| {
        let mut turn = turn(0, 1, Some(shim));
        turn.sample(2);
        Ok(turn)
    };
    let reactor = Reactor::start(spec, make).unwrap();
    for value in 0..10 {
        let echoed = handle.ask_blocking::<Worker>("w0", &Request::Echo { value });
        assert_eq!(echoed, Ok(value));
    }
    // Ten requests, and their answers. It writes before it parks, and it parks when there is nothing to do.
    while reading.reactor(0).get("delivered") != Some(20) {
        std::thread::yield_now();
    }
    let counted = reading.reactor(0);
    assert_eq!(counted.get("agents_now"), Some(2));
    assert_eq!(counted.get("handle_calls_max"), Some(8));
    assert!(counted.get("parks") > Some(0) && counted.get("no_such").is_none());
    let notes = reading.notes(0);
    let walks: std::collections::BTreeSet<u64> = notes.iter().map(|note| note.trace).collect();
    assert_eq!(walks.len(), 5, "{notes:?}");
    let first: Vec<_> = notes.iter().filter(|note| note.trace == notes[0].trace).collect();
    let steps: Vec<_> = first.iter().map(|note| (note.step, note.agent.as_str())).collect();
    let expect = [
        (Step::Sent, "handle0"),
        (Step::Came, "w0"),
        (Step::Sent, "w0"),
        (Step::Answered, "handle0"),
    ];
    assert_eq!(steps, expect);
    assert!(first.windows(2).all(|two| two[0].at <= two[1].at));
    reactor.stop(LONG).unwrap();
    drop(board);
    assert!(read_all(&folder).unwrap().is_empty());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn notes_that_were_written_over_are_not_read() {
    let folder = folder("notes");
    let board = Board::create(&folder, ("a", "127.0.0.1:1"), 2, Stamp(7)).unwrap();
    let mut page = board.page(1);
    for number in 0..NOTES_KEPT as u64 + 10 {
        page.note(&Note {
            trace: 1,
            at: Stamp(number),
            step: Step::Came,
            via: "ring",
            source: daedal_model::id::AgentId(3),
            number,
            agent: "kvs/shard1".into(),
        });
    }
    let reading = BoxReading::open(board.path()).unwrap();
    let notes = reading.notes(1);
    assert!(reading.notes(0).is_empty());
    // The oldest place may be under the pen.
    assert_eq!(notes.len(), NOTES_KEPT - 1);
    assert_eq!(notes[0].number, 11);
    assert_eq!((notes[9].via, notes[9].agent.as_str()), ("ring", "kvs/shard1"));
    drop(board);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn files_that_are_damaged_or_none_of_ours_are_refused_or_passed_over() {
    let folder = folder("damaged");
    let board = Board::create(&folder, ("a", "127.0.0.1:1"), 2, Stamp(7)).unwrap();
    let whole = fs::read(board.path()).unwrap();
    let path = folder.join("damaged.counters");
    let refused = |bytes: &[u8], why: &str| {
        fs::write(&path, bytes).unwrap();
        let error = BoxReading::open(&path).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(&whole[8..], "not a file of counters");
    refused(&whole[..whole.len() / 2], "damaged");
    for word in [1, 2, 3, 4, 7] {
        let mut other = whole.clone();
        other[word * 8..][..8].fill(0xff);
        fs::write(&path, &other).unwrap();
        assert!(BoxReading::open(&path).is_err(), "word {word}");
    }
    assert_eq!(read_all(&folder).unwrap().len(), 1);
    drop(board);
    fs::remove_dir_all(folder).unwrap();
}
