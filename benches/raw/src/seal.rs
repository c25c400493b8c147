//! What sealing costs by itself: AES-256-GCM over bytes that lie in the cache, in place, by the library that daedal has.

use std::hint::black_box;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{Figure, ask, pin};

/// What is covered, but not encrypted: the header of a frame of daedal's.
const HEADER_BYTES: usize = 22;
/// What sealing adds.
const SEAL_BYTES: usize = 16;

/// Two seals and two opens of `bytes`: those of a round trip.
pub fn seal(bytes: usize) -> Figure {
    pin(0);
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key of its length");
    let key = LessSafeKey::new(key);
    let (header, mut buffer) = ([7; HEADER_BYTES], vec![7; bytes + SEAL_BYTES]);
    let mut number = 0u64;
    ask(|| {
        for _ in 0..2 {
            number += 1;
            let nonce = || {
                let mut nonce = [0; NONCE_LEN];
                nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
                Nonce::assume_unique_for_key(nonce)
            };
            let (plain, seal) = buffer.split_at_mut(bytes);
            let tag = key.seal_in_place_separate_tag(nonce(), Aad::from(&header), plain);
            seal.copy_from_slice(tag.expect("it is short").as_ref());
            let sealed = black_box(&mut buffer);
            key.open_in_place(nonce(), Aad::from(&header), sealed).expect("it was just sealed");
        }
    })
}
