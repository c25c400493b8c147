//! A ring of slots that one process writes and another reads in place, and how the reader sleeps beside it.
//!
//! | word | written by | when |
//! |---|---|---|
//! | a slot's `published`: number, bytes | writer | behind the slot's payload |
//! | `consumed`: slots that may be written again | reader | when their frames have come back, in order |
//! | `state` = dozing | reader | before it looks for the last time |
//! | `state` = awake | reader; writer | after its sleep; before the wake-up is sent |
//! | `state` = closed | reader | when it ends |
//!
//! A slot says itself that it was published, on the line that its payload begins on: so a message costs its reader one
//! line from another processor where a counter and a descriptor beside would cost three, one after the other. Slots
//! are taken in turn, so neither side names one to the other.
//!
//! No word is believed: a number that is not the next one is none, a slot that is on loan is not there, a count that
//! runs away shows no room; how long a payload is its reader checks. So a peer that writes anything at all loses
//! frames of its own.
//!
//! Sleeper: publish the state, full fence, look once more, sleep. Writer: publish, full fence, look at the state. At
//! least one of the two sees what the other published (`core/boxes/src/doze.rs` has the same protocol between
//! threads).
//!
//! Knows no memory and no socket. Numbers count all slots ever, modulo 2^32.

use std::sync::atomic::Ordering;

/// A number that both processes reach.
pub(super) trait Atomic<N> {
    fn load(&self, order: Ordering) -> N;
    fn store(&self, value: N, order: Ordering);
    /// Turns `from` to `to`: whether it was `from`.
    fn turn(&self, from: N, to: N) -> bool;
}

macro_rules! atomic {
    ($atomic:ty, $number:ty) => {
        impl Atomic<$number> for $atomic {
            #[inline]
            fn load(&self, order: Ordering) -> $number {
                self.load(order)
            }

            #[inline]
            fn store(&self, value: $number, order: Ordering) {
                self.store(value, order);
            }

            #[inline]
            fn turn(&self, from: $number, to: $number) -> bool {
                self.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            }
        }
    };
}

atomic!(std::sync::atomic::AtomicU32, u32);
atomic!(std::sync::atomic::AtomicU64, u64);

/// What a ring consists of.
pub(super) trait Cells {
    type U32: Atomic<u32>;
    type U64: Atomic<u64>;

    /// How many slots there are: a power of two.
    fn count(&self) -> u32;
    fn state(&self) -> &Self::U32;
    fn consumed(&self) -> &Self::U32;
    fn published(&self, slot: u32) -> &Self::U64;
    /// A full fence.
    fn fence(&self);
}

const AWAKE: u32 = 0;
const DOZING: u32 = 1;
const CLOSED: u32 = 2;

/// What the other side needs once something was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// It sleeps, or is about to.
    WakeUp,
}

/// The side that writes.
pub(super) struct Writer {
    /// The number of the next slot.
    next: u32,
    /// What the reader had consumed, when we last looked.
    consumed: u32,
}

/// The slot of that number.
fn slot<C: Cells>(cells: &C, number: u32) -> u32 {
    number & (cells.count() - 1)
}

fn published(number: u32, bytes: u32) -> u64 {
    u64::from(number.wrapping_add(1)) << 32 | u64::from(bytes)
}

impl Writer {
    /// At the start of a ring of zeroes.
    pub(super) fn new() -> Writer {
        Writer { next: 0, consumed: 0 }
    }

    /// The slot that is written next. `None`: all are full.
    #[inline]
    pub(super) fn room<C: Cells>(&mut self, cells: &C) -> Option<u32> {
        if self.next.wrapping_sub(self.consumed) >= cells.count() {
            let consumed = cells.consumed().load(Ordering::Acquire);
            // It consumes what is there, and nothing else.
            if self.next.wrapping_sub(consumed) >= cells.count() {
                return None;
            }
            self.consumed = consumed;
        }
        Some(slot(cells, self.next))
    }

    /// Has the reader see the slot that there was room in, with so many bytes.
    #[inline]
    pub(super) fn publish<C: Cells>(&mut self, cells: &C, bytes: u32) {
        let word = cells.published(slot(cells, self.next));
        word.store(published(self.next, bytes), Ordering::Release);
        self.next = self.next.wrapping_add(1);
    }

    /// Whether the reader has ended.
    #[inline]
    pub(super) fn is_closed<C: Cells>(&self, cells: &C) -> bool {
        cells.state().load(Ordering::Relaxed) == CLOSED
    }

    /// What the reader needs after slots were published. To be called before the writer does anything else for long.
    #[inline]
    pub(super) fn call<C: Cells>(&self, cells: &C) -> Needs {
        cells.fence();
        let state = cells.state();
        if state.load(Ordering::Relaxed) == DOZING && state.turn(DOZING, AWAKE) {
            return Needs::WakeUp;
        }
        Needs::Nothing
    }
}

/// The side that reads.
pub(super) struct Reader {
    /// The number of the next slot.
    next: u32,
    /// Slots below this may be written again.
    returned: u32,
}

impl Reader {
    /// At the start of a ring of zeroes.
    pub(super) fn new() -> Reader {
        Reader { next: 0, returned: 0 }
    }

    /// The next slot, and how many bytes its writer says that it has. `None`: nothing has come.
    #[inline]
    pub(super) fn peek<C: Cells>(&self, cells: &C) -> Option<(u32, u32)> {
        let slot = slot(cells, self.next);
        let word = cells.published(slot).load(Ordering::Acquire);
        let bytes = word as u32;
        (word == published(self.next, bytes)).then_some((slot, bytes))
    }

    /// Goes on to the next slot.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.next = self.next.wrapping_add(1);
    }

    /// Gives back the slots that are free again, up to the first that is not.
    #[inline]
    pub(super) fn give_back<C: Cells>(&mut self, cells: &C, is_free: impl Fn(u32) -> bool) {
        let before = self.returned;
        while self.returned != self.next && is_free(slot(cells, self.returned)) {
            self.returned = self.returned.wrapping_add(1);
        }
        if self.returned != before {
            cells.consumed().store(self.returned, Ordering::Release);
        }
    }

    /// Says that a writer has to wake this side. Whether something is there all the same: then it must not sleep.
    pub(super) fn doze<C: Cells>(&self, cells: &C) -> bool {
        cells.state().store(DOZING, Ordering::Relaxed);
        cells.fence();
        self.peek(cells).is_some()
    }

    /// Says that it looks again by itself.
    pub(super) fn wake<C: Cells>(&self, cells: &C) {
        cells.state().store(AWAKE, Ordering::Relaxed);
    }

    /// Says that it ends.
    pub(super) fn close<C: Cells>(&self, cells: &C) {
        cells.state().store(CLOSED, Ordering::Relaxed);
    }
}

/// For tests: a ring without payloads, in this process.
#[cfg(test)]
struct Words<U32, U64, const COUNT: usize> {
    state: U32,
    consumed: U32,
    published: [U64; COUNT],
    fence: fn(),
}

#[cfg(test)]
impl<U32: Default, U64: Default, const COUNT: usize> Words<U32, U64, COUNT> {
    fn new(fence: fn()) -> Self {
        let published = std::array::from_fn(|_| U64::default());
        Words { state: U32::default(), consumed: U32::default(), published, fence }
    }
}

#[cfg(test)]
impl<U32: Atomic<u32>, U64: Atomic<u64>, const COUNT: usize> Cells for Words<U32, U64, COUNT> {
    type U32 = U32;
    type U64 = U64;

    fn count(&self) -> u32 {
        COUNT as u32
    }

    fn state(&self) -> &U32 {
        &self.state
    }

    fn consumed(&self) -> &U32 {
        &self.consumed
    }

    fn published(&self, slot: u32) -> &U64 {
        &self.published[slot as usize]
    }

    fn fence(&self) {
        (self.fence)();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeSet, VecDeque};
    use std::sync::atomic::{AtomicU32, AtomicU64, fence};

    use proptest::prelude::*;

    use super::*;

    const COUNT: u32 = 8;
    /// Counters have run over once by the end of a test.
    const BEGIN: u32 = u32::MAX - 20;

    type Here = Words<AtomicU32, AtomicU64, { COUNT as usize }>;

    fn ring() -> (Here, Writer, Reader) {
        let here = Here::new(|| fence(Ordering::SeqCst));
        here.consumed.store(BEGIN, Ordering::Relaxed);
        let writer = Writer { next: BEGIN, consumed: BEGIN };
        (here, writer, Reader { next: BEGIN, returned: BEGIN })
    }

    proptest! {
        #[test]
        fn a_ring_is_a_queue_whose_slots_come_back_in_order(
            steps in prop::collection::vec((0u8..3, 0usize..8), 0..400),
        ) {
            let (here, mut writer, mut reader) = ring();
            let (mut queue, mut lent) = (VecDeque::new(), VecDeque::new());
            let on_loan = RefCell::new(BTreeSet::new());
            // Slots that were read and not given back, free ones among them.
            let mut unreturned = VecDeque::new();
            for (bytes, (step, which)) in (1u32..).zip(steps) {
                match step {
                    0 => {
                        let room = writer.room(&here);
                        let has_room = queue.len() + unreturned.len() < COUNT as usize;
                        prop_assert_eq!(room.is_some(), has_room);
                        if let Some(slot) = room {
                            prop_assert!(!on_loan.borrow().contains(&slot));
                            writer.publish(&here, bytes);
                            queue.push_back((slot, bytes));
                        }
                    }
                    1 => {
                        let found = reader.peek(&here);
                        prop_assert_eq!(found, queue.pop_front());
                        if let Some((slot, _)) = found {
                            reader.advance();
                            on_loan.borrow_mut().insert(slot);
                            lent.push_back(slot);
                            unreturned.push_back(slot);
                        }
                    }
                    _ => {
                        if let Some(slot) = lent.remove(which) {
                            on_loan.borrow_mut().remove(&slot);
                        }
                        reader.give_back(&here, |slot| !on_loan.borrow().contains(&slot));
                        while unreturned.front().is_some_and(|it| !on_loan.borrow().contains(it)) {
                            unreturned.pop_front();
                        }
                    }
                }
            }
        }

        #[test]
        fn whatever_the_other_side_writes_there_is_no_more_than_there_are_slots(
            words in prop::collection::vec(any::<u64>(), COUNT as usize),
            consumed in any::<u32>(),
            state in any::<u32>(),
        ) {
            let (here, mut writer, mut reader) = ring();
            for (cell, word) in here.published.iter().zip(words) {
                cell.store(word, Ordering::Relaxed);
            }
            here.consumed.store(consumed, Ordering::Relaxed);
            here.state.store(state, Ordering::Relaxed);
            let read = (0..100).take_while(|_| {
                let found = reader.peek(&here).is_some();
                reader.advance();
                found
            });
            prop_assert!(read.count() <= COUNT as usize);
            for _ in 0..COUNT {
                prop_assert!(writer.room(&here).is_some_and(|slot| slot < COUNT));
                writer.publish(&here, 16);
            }
            // A count that cannot be shows no room.
            let ran_away = writer.next.wrapping_sub(consumed) > COUNT;
            prop_assert!(!ran_away || writer.room(&here).is_none());
            writer.call(&here);
        }
    }

    #[test]
    fn a_reader_that_dozes_is_woken_once_and_one_that_has_ended_never() {
        let (here, mut writer, reader) = ring();
        assert_eq!(writer.call(&here), Needs::Nothing);
        assert!(!reader.doze(&here));
        writer.publish(&here, 16);
        assert_eq!(writer.call(&here), Needs::WakeUp);
        assert_eq!(writer.call(&here), Needs::Nothing);
        // Something is there already: it does not sleep.
        assert!(reader.doze(&here));
        reader.wake(&here);
        assert_eq!(writer.call(&here), Needs::Nothing);
        reader.close(&here);
        assert!(writer.is_closed(&here));
        assert_eq!(writer.call(&here), Needs::Nothing);
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::*;

    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);

    const COUNT: u32 = 2;
    const PREEMPTIONS: usize = 3;

    struct Model {
        words: Words<AtomicU32, AtomicU64, { COUNT as usize }>,
        payloads: [loom::cell::UnsafeCell<u32>; COUNT as usize],
        written: Mutex<bool>,
        readable: Condvar,
    }

    // SAFETY: loom reports whoever touches a payload while the other side may.
    #[expect(unsafe_code, reason = "a model of memory that two processes share")]
    unsafe impl Sync for Model {}

    impl Model {
        fn new(fence: fn()) -> Model {
            Model {
                words: Words::new(fence),
                payloads: Default::default(),
                written: Mutex::default(),
                readable: Condvar::new(),
            }
        }

        fn wake(&self) {
            *self.written.lock().unwrap() = true;
            self.readable.notify_one();
        }

        fn sleep(&self) {
            let mut written = self.written.lock().unwrap();
            while !*written {
                written = self.readable.wait(written).unwrap();
            }
            *written = false;
        }
    }

    /// Sends `count` payloads through the ring, of which the reader sleeps whenever there is none. A lost wake-up is a
    /// deadlock, and a slot that both sides touch at once a race: loom reports both.
    fn pass(fence: fn(), count: u32) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(move || {
            let ring = Arc::new(Model::new(fence));
            let there = ring.clone();
            let thread = thread::spawn(move || {
                let mut writer = Writer::new();
                for number in 0..count {
                    let slot = loop {
                        match writer.room(&there.words) {
                            Some(slot) => break slot,
                            None => thread::yield_now(),
                        }
                    };
                    #[expect(unsafe_code, reason = "a model's memory")]
                    // SAFETY: there was room, so nobody else touches it; loom would say so.
                    there.payloads[slot as usize].with_mut(|it| unsafe { it.write(number) });
                    writer.publish(&there.words, 16);
                    if writer.call(&there.words) == Needs::WakeUp {
                        there.wake();
                    }
                }
            });
            let mut reader = Reader::new();
            for number in 0..count {
                let slot = loop {
                    match reader.peek(&ring.words) {
                        Some((slot, 16)) => break slot,
                        Some(other) => panic!("{other:?}"),
                        None => {}
                    }
                    if !reader.doze(&ring.words) {
                        ring.sleep();
                    }
                    reader.wake(&ring.words);
                };
                #[expect(unsafe_code, reason = "a model's memory")]
                // SAFETY: it was published, and not given back; loom would say so.
                let read = ring.payloads[slot as usize].with(|it| unsafe { it.read() });
                assert_eq!(read, number);
                reader.advance();
                reader.give_back(&ring.words, |_| true);
            }
            thread.join().unwrap();
        });
    }

    #[test]
    fn loom_finds_no_slot_that_both_sides_touch_and_no_lost_wake_up() {
        pass(|| fence(Ordering::SeqCst), 3);
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn loom_finds_the_wake_up_that_is_lost_without_the_fences() {
        pass(|| {}, 1);
    }
}
