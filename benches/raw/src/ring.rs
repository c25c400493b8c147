//! Messages through rtrb rings between two pinned, spinning threads.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::{Figure, STRIDE, ask, pin, tell};

const SLOTS: usize = 1024;

type Message<const BYTES: usize> = [u8; BYTES];

/// A round trip over two rings. `None` when `bytes` is no size that there is: the elements
/// of a ring have a fixed one.
pub fn ring_ask(bytes: usize) -> Option<Figure> {
    match bytes {
        8 => Some(ask_of::<8>()),
        16 => Some(ask_of::<16>()),
        64 => Some(ask_of::<64>()),
        256 => Some(ask_of::<256>()),
        1024 => Some(ask_of::<1024>()),
        4096 => Some(ask_of::<4096>()),
        _ => None,
    }
}

/// [`ring_tell`] of messages of 128 bytes that are made a word at a time, as fields are: what copies one loads more at
/// once than any store has written, and so waits until all stores before are done, those to the ring among them.
pub fn ring_fields_tell(batch: usize) -> Option<Figure> {
    (1..=SLOTS)
        .contains(&batch)
        .then(|| tell_of(batch, std::iter::repeat_with(made_of_fields::<128>)))
}

/// One way, published `batch` at a time. `None` when `bytes` is no size that there is, or
/// `batch` does not fit the ring.
pub fn ring_tell(bytes: usize, batch: usize) -> Option<Figure> {
    if !(1..=SLOTS).contains(&batch) {
        return None;
    }
    match bytes {
        16 => Some(tell_of(batch, alike::<16>())),
        64 => Some(tell_of(batch, alike::<64>())),
        128 => Some(tell_of(batch, alike::<128>())),
        256 => Some(tell_of(batch, alike::<256>())),
        1024 => Some(tell_of(batch, alike::<1024>())),
        4096 => Some(tell_of(batch, alike::<4096>())),
        16384 => Some(tell_of(batch, alike::<16384>())),
        65536 => Some(tell_of(batch, alike::<65536>())),
        _ => None,
    }
}

fn push<const BYTES: usize>(ring: &mut Producer<Message<BYTES>>, message: Message<BYTES>) {
    ring.push(message).expect("one message is under way, the ring has 1,024 places");
}

fn pop<const BYTES: usize>(
    ring: &mut Consumer<Message<BYTES>>,
    stop: &AtomicBool,
) -> Option<Message<BYTES>> {
    loop {
        if let Ok(message) = ring.pop() {
            return Some(message);
        }
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        spin_loop();
    }
}

fn ask_of<const BYTES: usize>() -> Figure {
    let (mut to_server, mut from_client) = RingBuffer::<Message<BYTES>>::new(SLOTS);
    let (mut to_client, mut from_server) = RingBuffer::<Message<BYTES>>::new(SLOTS);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while let Some(message) = pop(&mut from_client, &stop) {
                push(&mut to_client, black_box(message));
            }
        });
        let client = scope.spawn(|| {
            pin(0);
            let figure = ask(|| {
                push(&mut to_server, black_box([7; BYTES]));
                black_box(pop(&mut from_server, &stop));
            });
            stop.store(true, Ordering::Relaxed);
            figure
        });
        client.join().expect("both processors were there")
    })
}

fn alike<const BYTES: usize>() -> impl Iterator<Item = Message<BYTES>> {
    std::iter::repeat(black_box([7; BYTES]))
}

fn made_of_fields<const BYTES: usize>() -> Message<BYTES> {
    let mut message = [0; BYTES];
    for field in message.chunks_exact_mut(size_of::<u64>()) {
        field.copy_from_slice(&black_box(7u64).to_ne_bytes());
    }
    black_box(message)
}

fn tell_of<const BYTES: usize>(
    batch: usize,
    mut messages: impl Iterator<Item = Message<BYTES>> + Send,
) -> Figure {
    let (mut producer, mut consumer) = RingBuffer::<Message<BYTES>>::new(SLOTS);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..STRIDE {
                    produce(&mut producer, batch, &mut messages);
                }
            }
        });
        let handler = scope.spawn(|| {
            pin(0);
            let figure = tell(|| consume(&mut consumer));
            stop.store(true, Ordering::Relaxed);
            figure
        });
        handler.join().expect("both processors were there")
    })
}

fn produce<const BYTES: usize>(
    ring: &mut Producer<Message<BYTES>>,
    batch: usize,
    messages: &mut impl Iterator<Item = Message<BYTES>>,
) {
    match ring.write_chunk_uninit(batch) {
        Ok(chunk) => drop(chunk.fill_from_iter(messages)),
        Err(_) => spin_loop(),
    }
}

fn consume<const BYTES: usize>(ring: &mut Consumer<Message<BYTES>>) -> u64 {
    let Ok(chunk) = ring.read_chunk(ring.slots()) else { return 0 };
    let mut count = 0;
    for message in chunk {
        // The whole message is read, not only the line that the compiler would need.
        black_box(message);
        count += 1;
    }
    if count == 0 {
        spin_loop();
    }
    count
}
