//! How a reactor parks without missing a wake-up.
//!
//! | field | written by | when |
//! |---|---|---|
//! | `flag` = dozing | its reactor | before it looks at rings and queues for the last time |
//! | `flag` = awake | its reactor; whoever wakes it | after its sleep; before the wake-up is written |
//! | event descriptor | the one that turned `flag` to awake | after that; read by its reactor after its sleep |
//!
//! Sleeper: publish the flag, full fence, look once more, sleep. Producer: publish the message, full
//! fence, look at the flag. Of the two looks at least one sees what the other side published, since the
//! fences stand in one order: so either the sleeper does not sleep, or it is woken. A wake-up may come
//! for something that was seen already; then a turn finds nothing.

#![expect(unsafe_code, reason = "drivers and shims name what to park on by raw descriptors")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::sync::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const DOZING: u32 = 1;

/// What wakes a sleeper: an event descriptor, or a model of one. A wake-up that comes before the sleep
/// ends it at once.
pub(crate) trait Wake {
    fn wake(&self);
}

/// A reactor's door bell.
#[derive(Debug)]
pub(crate) struct Bell<W> {
    flag: AtomicU32,
    wake: W,
}

/// The bell of a reactor on a thread.
pub(crate) type Doorbell = Bell<Event>;

impl<W: Wake> Bell<W> {
    pub fn new(wake: W) -> Self {
        Bell { flag: AtomicU32::new(AWAKE), wake }
    }

    /// Wakes the reactor if it dozes. To be called after something was published for it.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        self.ring_behind_fence();
    }

    /// [`Bell::ring`] for who has put a full fence behind what it published, for several reactors.
    #[inline]
    pub fn ring_behind_fence(&self) {
        // Only one of several producers pays for the system call.
        if self.flag.load(Ordering::Relaxed) == DOZING
            && self.flag.swap(AWAKE, Ordering::Relaxed) == DOZING
        {
            self.wake.wake();
        }
    }

    /// What the reactor sleeps on.
    pub fn wake(&self) -> &W {
        &self.wake
    }

    /// Sleeps, unless `look` sees something to do. Only for the reactor itself.
    pub fn doze(&self, look: impl FnOnce() -> bool, sleep: impl FnOnce(&W)) {
        self.flag.store(DOZING, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !look() {
            sleep(&self.wake);
        }
        self.flag.store(AWAKE, Ordering::Relaxed);
    }
}

/// An event descriptor (eventfd(2)).
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Event> {
        Ok(Event(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Sleeps until somebody wakes it, one of `others` becomes readable, or `at_most` has gone by.
    /// May also return for no reason.
    pub fn sleep(&self, others: &[RawFd], at_most: Option<Duration>) {
        let mut polled = vec![PollFd::new(&self.0, PollFlags::IN)];
        polled.extend(others.iter().map(|descriptor| {
            // SAFETY: the driver or shim that named the descriptor owns it, and is itself owned by
            // the reactor that sleeps here.
            let descriptor = unsafe { BorrowedFd::borrow_raw(*descriptor) };
            PollFd::from_borrowed_fd(descriptor, PollFlags::IN)
        }));
        let at_most = at_most.map(|it| Timespec {
            tv_sec: it.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: it.subsec_nanos().into(),
        });
        // An error is a signal that came in between, or a descriptor that went away: a turn will see.
        let _ = rustix::event::poll(&mut polled, at_most.as_ref());
        if polled[0].revents().contains(PollFlags::IN) {
            // Somebody else's wake-up that has already been read is no harm.
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
    }
}

impl AsRawFd for Event {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Wake for Event {
    fn wake(&self) {
        // It can fail only when 2^64 - 2 wake-ups have not been read: the descriptor is readable then.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// Times that a thread is interrupted in a model with several dozes, which has too many orders for
    /// all of them. That of one doze is looked through whole.
    const PREEMPTIONS: usize = 2;

    /// An event descriptor, as loom knows it.
    #[derive(Default)]
    struct Model {
        written: Mutex<bool>,
        readable: Condvar,
    }

    impl Model {
        fn sleep(&self) {
            let mut written = self.written.lock().unwrap();
            while !*written {
                written = self.readable.wait(written).unwrap();
            }
            *written = false;
        }
    }

    impl Wake for Model {
        fn wake(&self) {
            *self.written.lock().unwrap() = true;
            self.readable.notify_one();
        }
    }

    /// A reactor that dozes as `doze` says until it has seen all that two producers, who ring as `ring`
    /// says, have published. A lost wake-up is a deadlock, which loom reports.
    fn two_producers(ring: fn(&Bell<Model>), doze: fn(&Bell<Model>, &dyn Fn() -> bool)) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(move || {
            let bell = Arc::new(Bell::new(Model::default()));
            let published = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let producers: Vec<_> = (0..2)
                .map(|index| {
                    let (bell, published) = (bell.clone(), published.clone());
                    thread::spawn(move || {
                        published[index].store(1, Ordering::Release);
                        ring(&bell);
                    })
                })
                .collect();
            let mut seen = [0; 2];
            let count = |seen: &[usize; 2]| seen[0] + seen[1];
            while count(&seen) < 2 {
                let look = || [0, 1].map(|index| published[index].load(Ordering::Acquire));
                let now = look();
                if now == seen {
                    doze(&bell, &|| look() != seen);
                }
                seen = now;
            }
            for producer in producers {
                producer.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_finds_no_lost_wake_up_with_two_producers() {
        two_producers(Bell::ring, |bell, look| bell.doze(look, Model::sleep));
    }

    /// The same with one doze, whose sleep waits for the producers to be through: the wake-up must be
    /// there by then. (A deadlock would take the test run with it.)
    fn one_doze(ring: fn(&Bell<Model>), doze: fn(&Bell<Model>, &dyn Fn() -> bool, &dyn Fn())) {
        loom::model(move || {
            let bell = Arc::new(Bell::new(Model::default()));
            let published = Arc::new(AtomicUsize::new(0));
            let producers = [(); 2].map(|()| {
                let (bell, published) = (bell.clone(), published.clone());
                thread::spawn(move || {
                    published.fetch_add(1, Ordering::Release);
                    ring(&bell);
                })
            });
            let producers = std::cell::RefCell::new(Vec::from(producers));
            let join = || producers.take().into_iter().for_each(|it| it.join().unwrap());
            let sleep = || {
                join();
                assert!(*bell.wake.written.lock().unwrap(), "a wake-up was lost");
            };
            doze(&bell, &|| published.load(Ordering::Acquire) > 0, &sleep);
            join();
        });
    }

    #[test]
    fn loom_finds_no_sleep_without_a_wake_up() {
        one_doze(Bell::ring, |bell, look, sleep| bell.doze(look, |_| sleep()));
    }

    #[test]
    #[should_panic(expected = "a wake-up was lost")]
    fn loom_finds_the_wake_up_that_is_lost_without_a_second_look() {
        one_doze(Bell::ring, |bell, _, sleep| bell.doze(|| false, |_| sleep()));
    }

    #[test]
    #[should_panic(expected = "a wake-up was lost")]
    fn loom_finds_the_wake_up_that_is_lost_without_the_producers_fence() {
        one_doze(Bell::ring_behind_fence, |bell, look, sleep| bell.doze(look, |_| sleep()));
    }

    #[test]
    #[should_panic(expected = "a wake-up was lost")]
    fn loom_finds_the_wake_up_that_is_lost_without_the_sleepers_fence() {
        one_doze(Bell::ring, |bell, look, sleep| {
            bell.flag.store(DOZING, Ordering::Relaxed);
            if !look() {
                sleep();
            }
            bell.flag.store(AWAKE, Ordering::Relaxed);
        });
    }
}
