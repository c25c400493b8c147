//! One handle, used by tasks of tokio, by plain threads, and by tasks of another executor, at once; cancelled,
//! and pushed back.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod service;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use daedal::running::{RunningBox, RunningSystem, config_of};
use daedal::{Ask, AskError, Handle, Sent};
use embed::counts::{Counts, Request};
use service::{LONG, start_system, system_text};

/// Their futures may move between threads.
const fn is_send<T: Send>() {}
const _: () = is_send::<Handle>();
const _: () = is_send::<Ask<u64>>();
const _: () = is_send::<Sent>();

const TASKS: u64 = 100;
const EACH: u64 = 20;

fn add(by: u64) -> Request {
    Request::Add { name: "n".to_owned(), by }
}

/// The task's asks, one after the other: each sees the count grow.
async fn count_on(handle: Handle) {
    let mut before = 0;
    for _ in 0..EACH {
        let count = handle.ask::<Counts>("counts", &add(1)).await.unwrap();
        assert!(count > before);
        before = count;
    }
}

fn in_system(run: impl FnOnce(&RunningSystem)) {
    let (system, journal) = start_system();
    run(&system);
    system.stop().unwrap();
    std::fs::remove_file(journal).unwrap();
}

#[test]
fn threads_tokio_and_another_executor_ask_at_once_through_one_handle() {
    in_system(|system| {
        std::thread::scope(|scope| {
            let handle = || system.handle().clone();
            let tokio_handle = handle();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
                runtime.unwrap().block_on(async {
                    let task = |_| tokio::spawn(count_on(tokio_handle.clone()));
                    for task in (0..TASKS).map(task).collect::<Vec<_>>() {
                        task.await.unwrap();
                    }
                });
            });
            let other_handle = handle();
            // One thread for all of its tasks: each is woken by its waker, or all stand still.
            scope.spawn(move || {
                use futures_executor::LocalPool;
                let mut pool = LocalPool::new();
                let mut tasks: Vec<_> =
                    (0..TASKS).map(|_| Box::pin(count_on(other_handle.clone()))).collect();
                pool.run_until(std::future::poll_fn(move |task| {
                    tasks.retain_mut(|it| it.as_mut().poll(task).is_pending());
                    match tasks.is_empty() {
                        true => std::task::Poll::Ready(()),
                        false => std::task::Poll::Pending,
                    }
                }));
            });
            for _ in 0..4 {
                let handle = handle();
                scope.spawn(move || {
                    for _ in 0..TASKS * EACH / 4 {
                        handle.ask_blocking::<Counts>("counts", &add(1)).unwrap();
                    }
                });
            }
        });
        let sum = system.handle().ask_blocking::<Counts>("counts", &Request::Sum);
        assert_eq!(sum, Ok(3 * TASKS * EACH));
    });
}

#[test]
fn what_is_sent_arrives_though_nobody_waits_for_answers() {
    in_system(|system| {
        futures_executor::block_on(async {
            for _ in 0..1000 {
                system.handle().send("counts", &add(1)).await.unwrap();
            }
        });
        let sum = || system.handle().ask_blocking::<Counts>("counts", &Request::Sum).unwrap();
        while sum() < 1000 {}
        assert_eq!(sum(), 1000);
    });
}

/// Of an ask that was dropped it is unknown whether it was done; in no case is it done twice, or half.
#[test]
fn asks_that_are_cancelled_are_done_once_or_not_at_all() {
    const ASKS: u64 = 20_000;
    in_system(|system| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (mut answered, mut cancelled) = (0, 0);
        runtime.block_on(async {
            for turn in 0..ASKS {
                let ask = system.handle().ask::<Counts>("counts", &add(1));
                let patience = Duration::from_micros(turn % 50);
                match tokio::time::timeout(patience, ask).await {
                    Ok(answer) => answered += u64::from(answer.is_ok()),
                    Err(_) => cancelled += 1,
                }
            }
        });
        let sum = system.handle().ask_blocking::<Counts>("counts", &Request::Sum).unwrap();
        assert!(cancelled > 0, "none of {answered} was cancelled");
        assert!((answered..=answered + cancelled).contains(&sum), "{sum}: {answered}, {cancelled}");
    });
}

/// A box whose controller is not there keeps what it is asked: its queue fills.
#[test]
fn a_full_queue_tells_who_tries_makes_tasks_wait_and_forgets_those_that_give_up() {
    let spec = daedal::system::parse(&system_text(), "system.toml").unwrap();
    let config = config_of(&spec, "a").unwrap();
    let alone = RunningBox::start(config, &Arc::new(embed::templates())).unwrap();
    let handle = alone.handle();
    let (mut kept, mut refused) = (Vec::new(), 0);
    while refused < 1000 {
        match handle.try_ask::<Counts>("counts", &Request::Sum) {
            Ok(ask) => kept.push(ask),
            Err(error) => {
                assert_eq!(error, AskError::Refused(daedal::Refusal::Overloaded));
                refused += 1;
                std::thread::yield_now();
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let patience = Duration::from_millis(1);
        for _ in 0..100 {
            let waits =
                tokio::time::timeout(patience, handle.ask::<Counts>("counts", &Request::Sum));
            assert!(waits.await.is_err(), "nobody answers");
        }
        // A task that waits for room is woken by it.
        let sends = handle.send("counts", &add(1));
        let (sent, ()) = tokio::join!(tokio::time::timeout(LONG, sends), async { drop(kept) });
        sent.expect("there is room").unwrap();
    });
    let waits = handle.ask::<Counts>("counts", &Request::Sum);
    let outcome = std::thread::scope(|scope| {
        let waits = scope.spawn(move || futures_executor::block_on(waits));
        alone.stop().unwrap();
        waits.join().unwrap()
    });
    assert!(matches!(outcome, Err(AskError::Unknown | AskError::Stopped)), "{outcome:?}");
}
