//! `#[message]` as a user meets it: round trips, twins, points, schemas; and no allocation.

use daedal_model::encode::{Body, Encode, Encoder, Full, append, encode_to_vec};
use daedal_model::message::{Message, Wire};
use daedal_model::point::Point;
use proptest::prelude::*;

mod plain {
    use daedal_model::message;

    #[message(crate = daedal_model)]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Request {
        /// Documented.
        Put {
            #[point]
            key: String,
            value: Vec<u8>,
        },
        Get(#[point] String),
        Scan {
            #[point(prefix)]
            from: Vec<u8>,
            limit: Option<u32>,
            after: Option<String>,
            proof: Option<Vec<u8>>,
        },
        Move(#[point] u64, Inner, Vec<Inner>, (u8, String), [u8; 3]),
        #[broadcast]
        Size,
    }

    #[message(crate = daedal_model, version = 7)]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Inner {
        pub id: i64,
        pub names: Vec<String>,
        pub nothing: (),
    }

    #[message(crate = daedal_model)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Tick;

    #[message(crate = daedal_model)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Pair(#[point(prefix)] pub u32, pub bool);
}
use plain::{Inner, Pair, Request, RequestRef, Tick};

fn in_place<M: Wire>(body: &impl Encode<M>, bytes: &mut [u8]) -> Result<usize, Full> {
    let mut out = Encoder::new(bytes);
    body.encode(&mut out)?;
    Ok(out.written().len())
}

/// Encodes in all ways, accesses at an odd address, and gives back an owned value.
fn through<M: Wire>(body: &impl Encode<M>) -> M {
    let long = encode_to_vec(body);
    let mut bytes = vec![0xaa; long.len() + 1];
    if let Ok(written) = in_place(body, &mut bytes[1..]) {
        assert_eq!(&bytes[1..1 + written], long);
    }
    let mut behind = vec![0xbb; 48];
    append(body, &mut behind);
    assert_eq!((&behind[..48], &behind[48..]), (&[0xbb; 48][..], &long[..]));
    bytes.truncate(1);
    bytes.extend(&long);
    M::owned(M::access(&bytes[1..]).expect("what was encoded is valid"))
}

fn check_points<M: Message, B: Body<Message = M>>(body: &B) -> Option<Point> {
    let bytes = encode_to_vec(body);
    let archived = M::access(&bytes).expect("what was encoded is valid");
    assert_eq!(body.point(), M::point_of(archived));
    assert_eq!(body.is_broadcast(), M::is_broadcast(archived));
    body.point()
}

fn inner() -> impl Strategy<Value = Inner> {
    (any::<i64>(), prop::collection::vec(".{0,12}", 0..4)).prop_map(|(id, names)| Inner {
        id,
        names,
        nothing: (),
    })
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn request() -> impl Strategy<Value = Request> {
    let scan =
        (bytes(12), any::<Option<u32>>(), prop::option::of(".{0,9}"), prop::option::of(bytes(9)));
    let moving = (
        any::<u64>(),
        inner(),
        prop::collection::vec(inner(), 0..4),
        any::<u8>(),
        ".*",
        any::<[u8; 3]>(),
    );
    prop_oneof![
        (".*", bytes(300)).prop_map(|(key, value)| Request::Put { key, value }),
        ".*".prop_map(Request::Get),
        scan.prop_map(|(from, limit, after, proof)| Request::Scan { from, limit, after, proof }),
        moving.prop_map(|(to, one, more, a, b, c)| Request::Move(to, one, more, (a, b), c)),
        Just(Request::Size),
    ]
}

fn twin(request: &Request) -> RequestRef<'_> {
    match request {
        Request::Put { key, value } => RequestRef::Put { key, value },
        Request::Get(key) => RequestRef::Get(key),
        Request::Scan { from, limit, after, proof } => RequestRef::Scan {
            from,
            limit: *limit,
            after: after.as_deref(),
            proof: proof.as_deref(),
        },
        Request::Move(to, one, more, pair, bytes) => RequestRef::Move(*to, one, more, pair, bytes),
        Request::Size => RequestRef::Size,
    }
}

proptest! {
    #[test]
    fn a_message_and_its_twin_arrive_as_what_was_sent(request in request()) {
        let twin = twin(&request);
        prop_assert_eq!(&through::<Request>(&request), &request);
        prop_assert_eq!(&through::<Request>(&twin), &request);
        prop_assert_eq!(encode_to_vec(&request), encode_to_vec(&twin));
        prop_assert_eq!(check_points(&request), check_points(&twin));
    }

    #[test]
    fn garbage_is_refused_or_readable_but_never_a_panic(garbage in bytes(200)) {
        if let Ok(archived) = Request::access(&garbage) {
            let owned = Request::owned(archived);
            prop_assert_eq!(through::<Request>(&owned), owned);
            let _ = format!("{archived:?}");
        }
        let _ = Inner::access(&garbage).map(Inner::owned);
        let _ = Vec::<String>::access(&garbage).map(Vec::<String>::owned);
        let _ = <Option<(u8, String, Vec<u8>)>>::access(&garbage).map(<Option<(u8, String, Vec<u8>)>>::owned);
    }

    #[test]
    fn a_damaged_archive_is_refused_or_readable_but_never_a_panic(
        request in request(), at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in 0_usize..4,
    ) {
        let mut bytes = encode_to_vec(&request);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        if let Ok(archived) = Request::access(&bytes) {
            let _ = (Request::owned(archived), Request::point_of(archived), format!("{archived:?}"));
        }
    }

    #[test]
    fn too_few_bytes_are_full_and_just_enough_are_not(request in request()) {
        let needed = encode_to_vec(&request).len();
        let mut bytes = vec![0; needed];
        prop_assert_eq!(in_place::<Request>(&request, &mut bytes), Ok(needed));
        for less in 0..needed {
            prop_assert_eq!(in_place::<Request>(&request, &mut bytes[..less]), Err(Full));
        }
    }
}

#[test]
fn plain_values_arrive_as_what_was_sent_and_so_do_their_loans() {
    fn same<M: Wire + Encode<M> + PartialEq + std::fmt::Debug>(value: M, loan: impl Encode<M>) {
        assert_eq!(through::<M>(&value), value);
        assert_eq!(through::<M>(&loan), value);
        assert_eq!(encode_to_vec(&value), encode_to_vec(&loan));
    }
    same((), ());
    same(true, true);
    same(i64::MIN, i64::MIN);
    same(u16::MAX, u16::MAX);
    same("text".to_owned(), "text");
    same(vec![1_u8, 2], &[1_u8, 2][..]);
    same(vec!["a".to_owned(), "b".repeat(99)], &["a".to_owned(), "b".repeat(99)][..]);
    same(Some(vec![1_u8]), Some(&[1_u8][..]));
    same(Some(vec![1_u8]), Some(&vec![1_u8]));
    same(None, None::<&[u8]>);
    same(Some("s".to_owned()), Some("s"));
    same(Some("s".to_owned()), Some(&"s".to_owned()));
    same(Some(5_u32), Some(5));
    same((1_u8, "x".to_owned(), Some(3_i16), [7_u8; 5]), &(1, "x".to_owned(), Some(3), [7; 5]));
    same(Tick, Tick);
}

#[test]
fn a_list_too_long_for_the_scratch_goes_by_the_heap() {
    let long: Vec<String> =
        (0..10_000).map(|number| format!("the string number {number}")).collect();
    assert_eq!(in_place(&long, &mut vec![0; 1 << 20]), Err(Full));
    assert_eq!(through::<Vec<String>>(&long), long);
    let large = vec![5_u8; 16 << 20];
    assert_eq!(through::<Vec<u8>>(&large), large);
}

#[test]
fn a_point_is_that_of_the_key_in_every_form() {
    let put = Request::Put { key: "key".to_owned(), value: vec![] };
    assert_eq!(check_points(&put), Some(Point::of("key")));
    assert_eq!(check_points(&Request::Get("key".to_owned())), Some(Point::of("key")));
    assert_eq!(check_points(&Pair(7, true)), Some(Point(7 << 32)));
    assert_eq!(check_points(&Request::Size), None);
    assert!(Request::Size.is_broadcast() && RequestRef::Size.is_broadcast());
    const { assert!(Request::KEYED && Pair::KEYED && !Tick::KEYED && !String::KEYED) };
}

#[test]
fn a_version_is_the_declared_one() {
    const { assert!(Inner::VERSION == 7 && Request::VERSION == 1) };
}

/// One name, one schema each: `schema!(struct M { a: u8 })`.
macro_rules! schema {
    ($($item:tt)*) => {{
        #[daedal_model::message(crate = daedal_model)]
        #[allow(dead_code)]
        $($item)*
        M::SCHEMA
    }};
}

#[test]
#[allow(non_camel_case_types)]
fn a_schema_changes_with_every_name_type_and_order() {
    let schemas = [
        schema!(
            struct M {
                a: u8,
                b: u16,
            }
        ),
        schema!(
            struct M {
                b: u16,
                a: u8,
            }
        ),
        schema!(
            struct M {
                a: u16,
                b: u8,
            }
        ),
        schema!(
            struct M {
                a: u8,
                c: u16,
            }
        ),
        schema!(
            struct M {
                a: u8,
            }
        ),
        schema!(
            struct M {
                a: Vec<u8>,
            }
        ),
        schema!(
            struct M {
                a: Option<u8>,
            }
        ),
        schema!(
            struct M {
                a: [u8; 1],
            }
        ),
        schema!(
            struct M {
                a: [u8; 2],
            }
        ),
        schema!(
            struct M {
                a: (u8, u16),
            }
        ),
        schema!(
            struct M(u8, u16);
        ),
        schema!(
            struct M;
        ),
        schema!(
            enum M {
                a(u8),
                b(u16),
            }
        ),
        schema!(
            enum M {
                a,
                b,
            }
        ),
        schema!(
            enum M {
                b,
                a,
            }
        ),
        schema!(
            enum M {
                a { b: () },
            }
        ),
    ];
    for (index, one) in schemas.iter().enumerate() {
        assert!(!schemas[..index].contains(one), "schema {index} is the same as an earlier one");
    }
    let again = schema!(
        struct M {
            a: u8,
            b: u16,
        }
    );
    assert_eq!(again, schemas[0]);
}

#[test]
fn schemas_are_those_of_every_other_version() {
    assert_eq!(Pair::SCHEMA.0, 12404869544604306645);
    assert_eq!(Request::SCHEMA.0, 85570999119680581);
}
