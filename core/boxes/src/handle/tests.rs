use super::desk::{DROPPED_MARK, PENDING_MAX};
use super::shim::CALLS_PER_VISIT;
use super::*;
use crate::doze::{Doorbell, Event};
use crate::executor::Executor;
use crate::idle::Idle;
use crate::reactor::tests::{Request, Worker, block_on, poll_once, reactors, stop, turn};
use crate::shim::Shim as _;
use daedal_model::context::Envelope;
use daedal_model::id::{AgentId, Stamp};
use daedal_model::outputs::Outputs;

/// A handle and its shim, whose reactor is a test's.
fn handle(calls_max: usize) -> (Handle, HandleShim) {
    let bell = Arc::new(Doorbell::new(Event::new().unwrap()));
    let desk = Arc::new(Desk::new(bell, calls_max));
    (Handle::new(desk.clone()), HandleShim::new(desk))
}

const ECHO: Request = Request::Echo { value: 7 };

#[test]
fn a_full_queue_refuses_who_tries_and_makes_wait_who_asks() {
    let (handle, shim) = handle(2);
    let mut turn = turn(0, 1, Some(shim));
    let tried = [(); 2].map(|()| handle.try_ask::<Worker>("w0", &ECHO).unwrap());
    let overloaded = AskError::Refused(Refusal::Overloaded);
    assert_eq!(handle.try_ask::<Worker>("w0", &ECHO).err(), Some(overloaded));
    assert_eq!(handle.try_send("w0", &ECHO), Err(overloaded));
    let (mut first, mut second) = (handle.ask::<Worker>("w0", &ECHO), handle.send("w0", &ECHO));
    assert_eq!((poll_once(&mut first), poll_once(&mut second)), (None, None));
    assert!(handle.0.is_called());
    while turn.take(Stamp(1), true) {}
    assert_eq!((poll_once(&mut second), poll_once(&mut first)), (Some(Ok(())), None));
    while turn.take(Stamp(1), true) {}
    assert!(!handle.0.is_called());
    assert_eq!(block_on(first), Ok(7));
    for ask in tried {
        assert_eq!(block_on(ask), Ok(7));
    }
}

#[test]
fn who_gives_up_waiting_for_room_leaves_nothing_behind() {
    let (handle, _shim) = handle(1);
    handle.try_send("w0", &ECHO).unwrap();
    let stays = &mut handle.send("w0", &ECHO);
    assert_eq!(poll_once(stays), None);
    for _ in 0..1000 {
        let mut ask = handle.ask::<Worker>("w0", &ECHO);
        assert_eq!((poll_once(&mut ask), poll_once(&mut ask)), (None, None));
        assert_eq!(handle.0.line_length(), 2);
    }
    assert_eq!(handle.0.line_length(), 1);
}

#[test]
fn who_gives_up_makes_room_also_while_nothing_may_be_sent_on() {
    let (handle, mut shim) = handle(2);
    let mut out = Outputs::default();
    out.is_pressed = true;
    let envelope = Envelope::default();
    let visit = |shim: &mut HandleShim, out: &mut Outputs| {
        shim.poll(&mut out.context(AgentId(1), &envelope));
        shim.pending()
    };
    let ask = || handle.try_ask::<Worker>("w0", &ECHO);
    // One more than the queue holds: the next one stands apart.
    let mut first = vec![ask().unwrap()];
    assert_eq!(visit(&mut shim, &mut out), 0);
    first.extend([ask().unwrap(), ask().unwrap()]);
    let mut waits = handle.send("w0", &ECHO);
    assert_eq!((ask().is_err(), poll_once(&mut waits)), (true, None));
    assert!(!handle.0.is_called(), "its reactor may sleep");
    drop(first);
    assert!(handle.0.is_called());
    assert_eq!(visit(&mut shim, &mut out), 0);
    assert_eq!(poll_once(&mut waits), Some(Ok(())));
    let last = ask().unwrap();
    // Nothing was sent that was given up; what was not, once it may be.
    assert_eq!(out.sent.len(), 0);
    out.is_pressed = false;
    assert_eq!((visit(&mut shim, &mut out), out.sent.len()), (1, 2));
    let late = ask().unwrap();
    drop(shim);
    assert_eq!(block_on(last), Err(AskError::Unknown));
    assert_eq!(block_on(late), Err(AskError::Stopped));
}

#[test]
fn asks_that_are_given_up_are_forgotten_though_they_are_never_answered() {
    let (handle, mut shim) = handle(1);
    let (mut out, envelope) = (Outputs::default(), Envelope::default());
    let mut pending_after_visit = || {
        shim.poll(&mut out.context(AgentId(1), &envelope));
        shim.pending()
    };
    for _ in 0..10 * DROPPED_MARK {
        let ask = handle.try_ask::<Worker>("w0", &Request::Ignore).unwrap();
        assert!(pending_after_visit() <= DROPPED_MARK as usize + 1);
        drop(ask);
    }
    assert!(handle.0.is_called(), "its reactor does not sleep on them");
    assert_eq!(pending_after_visit(), 0);
}

#[test]
fn a_thread_that_waits_for_a_while_is_answered_or_gives_up() {
    let all = reactors(Executor::Thread, "patience", 1, Idle::Frugal, 8);
    let handle = &all[0].1;
    let patience = std::time::Duration::from_millis(1);
    let ignored = handle.ask::<Worker>("w0", &Request::Ignore);
    assert_eq!(ignored.wait_within(patience), None);
    let answered = handle.ask::<Worker>("w0", &ECHO).wait_within(crate::reactor::tests::LONG);
    assert_eq!(answered, Some(Ok(7)));
    stop(all);
}

#[test]
fn callers_that_wait_for_room_are_all_woken() {
    let all = reactors(Executor::Thread, "narrow", 1, Idle::Frugal, 1);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let handle = all[0].1.clone();
            scope.spawn(move || {
                for _ in 0..500 {
                    handle.send_blocking("w0", &Request::Add { value: 1 }).unwrap();
                }
            });
        }
    });
    let add = Request::Add { value: 0 };
    while all[0].1.ask_blocking::<Worker>("w0", &add) != Ok(4000) {}
    stop(all);
}

#[test]
fn an_ask_that_is_dropped_in_the_queue_is_not_sent() {
    let (handle, shim) = handle(2);
    let mut turn = turn(0, 1, Some(shim));
    drop(handle.try_ask::<Worker>("w0", &Request::Add { value: 1 }).unwrap());
    let sum = handle.try_ask::<Worker>("w0", &Request::Add { value: 0 }).unwrap();
    while turn.take(Stamp(1), true) {}
    assert_eq!(block_on(sum), Ok(0));
}

#[test]
fn a_reactor_that_ends_leaves_what_was_sent_unknown_and_the_rest_not_sent() {
    let (handle, shim) = handle(2);
    let mut turn = turn(0, 1, Some(shim));
    let sent = handle.try_ask::<Worker>("w0", &Request::Ignore).unwrap();
    while turn.take(Stamp(1), true) {}
    let queued = handle.try_ask::<Worker>("w0", &ECHO).unwrap();
    drop(turn);
    assert_eq!(block_on(sent), Err(AskError::Unknown));
    assert_eq!(block_on(queued), Err(AskError::Stopped));
    assert_eq!(handle.ask_blocking::<Worker>("w0", &ECHO), Err(AskError::Stopped));
}

#[test]
fn threads_that_wait_are_told_when_their_reactor_stops() {
    let all = reactors(Executor::Thread, "ends", 1, Idle::Frugal, 1);
    let handle = all[0].1.clone();
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| handle.ask_blocking::<Worker>("w0", &Request::Ignore));
        assert_eq!(handle.ask_blocking::<Worker>("w0", &ECHO), Ok(7));
        stop(all);
        waiting.join().unwrap()
    });
    // Unless it came too late to be sent.
    assert!(matches!(outcome, Err(AskError::Unknown | AskError::Stopped)));
}

#[test]
fn messages_that_are_too_large_are_refused_where_they_are_made() {
    let (handle, _shim) = handle(1);
    let error = handle.try_send("w0", &vec![0u8; LARGE_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, AskError::TooLarge(bytes) if bytes > LARGE_BYTES_MAX));
    handle.try_send("w0", &vec![0u8; 1 << 20]).unwrap();
}

#[test]
fn refusals_come_back_as_what_they_are() {
    let (handle, shim) = handle(1);
    let mut turn = turn(0, 1, Some(shim));
    let asked = handle.try_ask::<HandleShim>("w0", &()).unwrap();
    while turn.take(Stamp(1), true) {}
    assert_eq!(block_on(asked), Err(AskError::Refused(Refusal::WrongSchema)));
}

#[test]
fn asks_beyond_the_bound_wait_in_the_queue_until_others_are_given_up() {
    let (handle, shim) = handle(CALLS_PER_VISIT);
    let mut turn = turn(0, 1, Some(shim));
    let mut open = Vec::new();
    while open.len() < PENDING_MAX {
        open.push(handle.try_ask::<Worker>("w0", &Request::Ignore).unwrap());
        if open.len() % CALLS_PER_VISIT == 0 {
            while turn.take(Stamp(1), true) {}
        }
    }
    let late = handle.try_ask::<Worker>("w0", &ECHO).unwrap();
    while turn.take(Stamp(1), true) {}
    assert!(!handle.0.is_called(), "its reactor may sleep");
    open.truncate(PENDING_MAX - DROPPED_MARK as usize);
    assert!(handle.0.is_called(), "its reactor was woken");
    while turn.take(Stamp(1), true) {}
    assert_eq!(block_on(late), Ok(7));
}
