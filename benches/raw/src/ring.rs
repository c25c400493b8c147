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

/// One way, published `batch` at a time. `None` when `bytes` is no size that there is, or
/// `batch` does not fit the ring.
pub fn ring_tell(bytes: usize, batch: usize) -> Option<Figure> {
    if !(1..=SLOTS).contains(&batch) {
        return None;
    }
    match bytes {
        16 => Some(tell_of::<16>(batch)),
        64 => Some(tell_of::<64>(batch)),
        128 => Some(tell_of::<128>(batch)),
        256 => Some(tell_of::<256>(batch)),
        1024 => Some(tell_of::<1024>(batch)),
        4096 => Some(tell_of::<4096>(batch)),
        16384 => Some(tell_of::<16384>(batch)),
        65536 => Some(tell_of::<65536>(batch)),
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

fn tell_of<const BYTES: usize>(batch: usize) -> Figure {
    let (mut producer, mut consumer) = RingBuffer::<Message<BYTES>>::new(SLOTS);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..STRIDE {
                    produce(&mut producer, batch);
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

fn produce<const BYTES: usize>(ring: &mut Producer<Message<BYTES>>, batch: usize) {
    match ring.write_chunk_uninit(batch) {
        Ok(chunk) => drop(chunk.fill_from_iter(std::iter::repeat(black_box([7; BYTES])))),
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
