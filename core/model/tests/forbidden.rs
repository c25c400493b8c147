//! Who forbids unsafe code may declare messages: what `#[message]` promises, it promises itself.
#![forbid(unsafe_code)]

use daedal_model::encode::encode_to_vec;
use daedal_model::message::Wire;

#[daedal_model::message(crate = daedal_model)]
#[derive(Debug, PartialEq)]
enum Request {
    Put {
        #[point]
        key: String,
        value: Option<Vec<u8>>,
        part: Part,
    },
}

#[daedal_model::message(crate = daedal_model)]
#[derive(Debug, PartialEq)]
struct Part(bool, Vec<String>);

#[test]
fn messages_are_declared_without_unsafe_code() {
    let names = ["one".to_owned()];
    let part = Part(true, names.to_vec());
    let bytes = encode_to_vec(&RequestRef::Put { key: "key", value: Some(b"value"), part: &part });
    let expected = Request::Put { key: "key".into(), value: Some(b"value".to_vec()), part };
    assert_eq!(Request::access(&bytes).map(Request::owned), Ok(expected));
    assert_eq!(
        encode_to_vec(&PartRef(true, &names)).len(),
        encode_to_vec(&Part(true, names.to_vec())).len()
    );
}
