//! Redis's protocol on the wire: requests are read as RESP2 arrays or inline commands, answers are
//! written as RESP2 or, after HELLO 3, as RESP3. Knows no command.

pub mod encode;
pub mod parse;
