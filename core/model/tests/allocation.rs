//! Encoding in place allocates nothing: a counting allocator says so.
#![expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use daedal_model::encode::{Body, Encoder, encode_to_vec};
use daedal_model::message;
use daedal_model::message::{Message, Wire};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing, since the
// counter is a constant-initialised `Cell` without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above; what is freed here was allocated by the system's allocator.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[message(crate = daedal_model)]
#[derive(Debug)]
enum Request {
    Put {
        #[point]
        key: String,
        value: Vec<u8>,
        before: Option<Vec<u8>>,
        stamp: u64,
    },
    List(Vec<String>, Vec<(u32, String)>),
}

fn allocations<R>(run: impl FnOnce() -> R) -> (usize, R) {
    let before = ALLOCATIONS.get();
    let result = run();
    (ALLOCATIONS.get() - before, result)
}

fn check(body: &impl Body<Message = Request>) {
    let mut bytes = [0_u8; 2048];
    let (count, written) = allocations(|| {
        let mut out = Encoder::new(&mut bytes);
        body.encode(&mut out).expect("2048 bytes are enough");
        out.written()
    });
    assert_eq!(count, 0, "encoding allocated");
    let (count, point) = allocations(|| {
        let archived = Request::access(&bytes[..written]).expect("valid");
        Request::point_of(archived)
    });
    assert_eq!(count, 0, "access allocated");
    assert_eq!(point, body.point());
}

#[test]
fn encoding_in_place_and_reading_in_place_allocate_nothing() {
    let (key, value, before) = ("key".repeat(20), vec![7; 1000], Some(vec![1; 64]));
    check(&RequestRef::Put { key: &key, value: &value, before: before.as_deref(), stamp: 5 });
    check(&Request::Put { key, value, before, stamp: 5 });
    let names: Vec<String> =
        (0..20).map(|number| format!("a name of some length {number}")).collect();
    let numbered = vec![(1, "one".to_owned()), (2, "the second of them".to_owned())];
    check(&RequestRef::List(&names, &numbered));
    check(&Request::List(names, numbered));
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| encode_to_vec::<u64>(&5)).0 > 0);
}
