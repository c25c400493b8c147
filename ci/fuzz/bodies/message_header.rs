//! Any bytes as a message: refused, or its parts lie one behind the other and fill its length.

use daedal_net::wire::message::MessageHeader;

/// One input.
pub fn run(data: &[u8]) {
    let Ok(message) = MessageHeader::parse(data) else { return };
    let header = message.header;
    assert!(MessageHeader::new_checked(data).is_ok());
    assert_eq!(header.before_body() + message.body.len(), header.length.get() as usize);
    assert_eq!(message.steps.len(), usize::from(header.steps));
    let mut out = [0; MessageHeader::BYTES];
    header.emit(&mut out);
    assert_eq!(out, data[..MessageHeader::BYTES]);
}
