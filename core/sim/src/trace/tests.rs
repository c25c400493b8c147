use proptest::prelude::*;

use super::*;

fn place() -> impl Strategy<Value = Place> {
    (any::<u16>(), any::<u8>()).prop_map(|(agent_box, reactor)| Place { agent_box, reactor })
}

fn event() -> impl Strategy<Value = Event> {
    use BoxStep::*;
    use FrameStep::*;
    use MessageStep::*;
    let message_step =
        prop::sample::select(vec![Sent, Queued, Delivered, Parked, Done, Replied, Redirected]);
    let message = (message_step, any::<(u64, u64, u64, u32, u64)>());
    let frame_step = prop_oneof![
        prop::sample::select(vec![Out, Dropped, Duplicated, In]),
        any::<u64>().prop_map(Delayed),
    ];
    let frame = (frame_step, place(), place(), any::<(u64, u32, u64)>());
    let box_step = prop::sample::select(vec![Crashed, Restarted, Paused, Resumed]);
    prop_oneof![
        message.prop_map(|(step, (trace, destination, source, space, number))| {
            Event::Message { step, message: Message { trace, destination, source, space, number } }
        }),
        any::<(u64, u64)>().prop_map(|(frame, trace)| Event::Packed { frame, trace }),
        frame.prop_map(|(step, from, to, (id, bytes, hash))| {
            Event::Frame { step, frame: Frame { id, from, to, bytes, hash } }
        }),
        box_step.prop_map(|step| Event::Box { step }),
        any::<(bool, u16, u16)>().prop_map(|(is_healed, from, to)| Event::Partition {
            is_healed,
            from,
            to
        }),
        any::<(u64, u64)>().prop_map(|(agent, timer)| Event::Timer { agent, timer }),
    ]
}

fn traced(records: &[Record], bytes_max: usize) -> Trace {
    let mut trace = Trace::new(bytes_max);
    for record in records {
        trace.record(record.at, record.place, record.event);
    }
    trace
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec((0..1_u64 << 50, place(), event()), 0..40).prop_map(|steps| {
        let mut at = 0;
        let record = |(elapsed, place, event)| {
            at += elapsed;
            Record { at, place, event }
        };
        steps.into_iter().map(record).collect()
    })
}

proptest! {
    #[test]
    fn what_was_recorded_is_read_back(records in records()) {
        let trace = traced(&records, usize::MAX);
        prop_assert_eq!(trace.records().collect::<Vec<_>>(), records);
    }

    #[test]
    fn the_digest_covers_what_is_not_kept(records in records(), bytes_max in 0..200_usize) {
        let (whole, cut) = (traced(&records, usize::MAX), traced(&records, bytes_max));
        prop_assert_eq!(whole.digest(), cut.digest());
        prop_assert_eq!(whole.first_difference(&cut), None);
        prop_assert!(cut.bytes.len() <= bytes_max);
        let kept: Vec<_> = cut.records().collect();
        prop_assert_eq!(&records[..cut.events_kept() as usize], kept);
    }

    #[test]
    fn any_bytes_are_an_event_or_none(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut rest = bytes.as_slice();
        while let Some(record) = event::decode(&mut rest, 0) {
            let mut again = Vec::new();
            event::encode(record.at, record.place, &record.event, &mut again);
            let read = event::decode(&mut again.as_slice(), 0);
            // The delay of a frame that is not delayed is read over.
            prop_assert_eq!(read, Some(record));
        }
    }

    #[test]
    fn a_changed_event_is_the_first_difference(
        records in records(),
        other in event(),
        at in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!records.is_empty());
        let index = at.index(records.len());
        prop_assume!(records[index].event != other);
        let mut changed = records.clone();
        changed[index].event = other;
        let difference =
            traced(&records, usize::MAX).first_difference(&traced(&changed, usize::MAX)).unwrap();
        prop_assert_eq!(difference.index, index as u64);
        prop_assert_eq!(difference.left[0], records[index]);
        prop_assert_eq!(difference.right[0], changed[index]);
        prop_assert_eq!(difference.before.as_slice(), &records[index.saturating_sub(6)..index]);
    }
}

fn walk() -> Trace {
    let (left, right) = (Place { agent_box: 1, reactor: 0 }, Place { agent_box: 2, reactor: 3 });
    let message = Message { trace: 0xa1, destination: 2, source: 1, space: 7, number: 12 };
    let other = Message { trace: 0xb2, ..message };
    let frame = |id| Frame { id, from: left, to: right, bytes: 128, hash: 0xfeed };
    let mut trace = Trace::new(usize::MAX);
    let mut note = |at, place, event| trace.record(at, place, event);
    use Event::{Box, Frame as OfFrame, Message as OfMessage, Packed, Partition, Timer};
    note(0, left, Timer { agent: 1, timer: 4 });
    note(1_000, left, OfMessage { step: MessageStep::Sent, message });
    note(1_000, left, OfMessage { step: MessageStep::Sent, message: other });
    note(1_500, left, Packed { frame: 5, trace: 0xa1 });
    note(1_500, left, Packed { frame: 6, trace: 0xb2 });
    note(1_500, left, OfFrame { step: FrameStep::Out, frame: frame(5) });
    note(1_500, left, OfFrame { step: FrameStep::Dropped, frame: frame(5) });
    note(1_600, left, Partition { is_healed: false, from: 1, to: 2 });
    note(1_700, right, Box { step: BoxStep::Paused });
    note(1_200_000, left, Packed { frame: 8, trace: 0xa1 });
    note(1_200_000, left, OfFrame { step: FrameStep::Out, frame: frame(8) });
    note(1_200_000, left, OfFrame { step: FrameStep::Delayed(70), frame: frame(8) });
    note(1_220_000, right, OfFrame { step: FrameStep::In, frame: frame(8) });
    note(1_220_100, right, OfMessage { step: MessageStep::Delivered, message });
    trace
}

#[test]
fn a_walk_is_told_with_the_frames_that_carried_it_and_nothing_else() {
    let text: Vec<String> = walk().explain(0xa1).iter().map(Record::to_string).collect();
    let expect = "          \
          1_000  1.0    sent        0000000000000001/7#12 to 0000000000000002, trace a1
          1_500  1.0    packed      trace a1 into frame 5
          1_500  1.0    frame out   frame 5, 1.0 to 2.3, 128 bytes, hash 000000000000feed
          1_500  1.0    dropped     frame 5, 1.0 to 2.3, 128 bytes, hash 000000000000feed
      1_200_000  1.0    packed      trace a1 into frame 8
      1_200_000  1.0    frame out   frame 8, 1.0 to 2.3, 128 bytes, hash 000000000000feed
      1_200_000  1.0    delayed     frame 8, 1.0 to 2.3, 128 bytes, hash 000000000000feed by 70 ns
      1_220_000  2.3    frame in    frame 8, 1.0 to 2.3, 128 bytes, hash 000000000000feed
      1_220_100  2.3    delivered   0000000000000001/7#12 to 0000000000000002, trace a1";
    assert_eq!(text.join("\n"), expect);
}

#[test]
fn the_digest_of_a_trace_is_the_same_in_every_build() {
    assert_eq!(format!("{:?}", walk()), "Trace(14 events, b76f6e484669e0be36ca093174ae5e15)");
}

#[test]
fn a_difference_shows_both_sides() {
    let (mut left, mut right) = (Trace::new(usize::MAX), Trace::new(usize::MAX));
    let place = Place { agent_box: 1, reactor: 0 };
    for trace in [&mut left, &mut right] {
        trace.record(5, place, Event::Timer { agent: 1, timer: 1 });
    }
    assert_eq!(left.first_difference(&right), None);
    right.record(6, place, Event::Box { step: BoxStep::Crashed });
    let expect = "\
the traces differ from event 1 on
                5  1.0    timer       1 of 0000000000000001
< (ends)
>               6  1.0    box crashed
";
    assert_eq!(left.first_difference(&right).unwrap().to_string(), expect);
}

#[test]
fn a_difference_after_what_is_kept_says_so() {
    let (mut left, mut right) = (Trace::new(0), Trace::new(0));
    left.record(5, Place::default(), Event::Timer { agent: 1, timer: 1 });
    right.record(5, Place::default(), Event::Timer { agent: 1, timer: 2 });
    let text = left.first_difference(&right).unwrap().to_string();
    assert_eq!(text, "the traces differ after event 0, the last that was kept; keep more bytes\n");
    assert_eq!(left.to_string(), "… and 1 more events, not kept\n");
}

#[test]
#[should_panic(expected = "virtual time went back")]
fn time_does_not_go_back() {
    let mut trace = Trace::new(0);
    trace.record(5, Place::default(), Event::Box { step: BoxStep::Paused });
    trace.record(4, Place::default(), Event::Box { step: BoxStep::Resumed });
}
