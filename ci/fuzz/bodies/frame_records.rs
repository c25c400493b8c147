//! Any bytes behind the link header of a frame that belongs to an open session: the walk stays inside
//! the frame, and the link drops it, or takes it in and still works.
//! Input: 1 byte packet number, 1 byte flags, then records.

use daedal_net::wire::control::Control;
use daedal_net::wire::link::LinkHeader;
use daedal_net::wire::message::{MessageHeader, ShortHeader};
use daedal_net::wire::record::{Record, Records};
use daedal_net::wire::{U48, padded};

use crate::ends::{PAYLOAD, opened};

/// One input.
pub fn run(data: &[u8]) {
    let [packet, flags, records @ ..] = data else { return };
    let records = &records[..records.len().min(PAYLOAD - 32)];
    let (mut walked, mut walk) = (0, Records::new(records));
    while let Ok(Some(record)) = walk.step() {
        walked += match record {
            Record::Message(message) => {
                let header = MessageHeader::parse(&message.to_vec()).map(|it| *it.header);
                assert_eq!(header, Ok(*message.header));
                padded(ShortHeader::BYTES + message.body.len())
            }
            Record::Control(head, body) => {
                let _ = Control::parse(head, body);
                16 + padded(body.len())
            }
        };
    }
    assert!(walked <= records.len());

    let (mut ends, mut header) = opened(None);
    let end = &mut ends[1];
    header.flags = *flags;
    header.packet = U48::new(u64::from(*packet));
    let mut frame = vec![0; LinkHeader::BYTES + records.len()];
    header.emit(&mut frame);
    frame[LinkHeader::BYTES..].copy_from_slice(records);
    if let Ok(arrival) = end.hear(9, &frame).expect("most buffers are free")
        && let Some(packet) = arrival.packet
    {
        assert!(arrival.records().next_message().is_some());
        end.link.finish(packet, &[0]);
    }
    while end.link.next_event().is_some() {}
    for now in 10..14 {
        end.flush(now * 1_000_000_000);
    }
}
