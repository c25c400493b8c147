//! Encoding in place allocates nothing: a counting allocator says so.

use daedal_allocations::allocations;
use daedal_model::encode::{Body, Encoder};
use daedal_model::message;
use daedal_model::message::{Message, Wire};

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

fn check(body: &impl Body<Message = Request>) {
    let mut bytes = [0_u8; 2048];
    let (count, written) = allocations(|| {
        let mut out = Encoder::new(&mut bytes);
        body.encode(&mut out).expect("2048 bytes are enough");
        out.written().len()
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
