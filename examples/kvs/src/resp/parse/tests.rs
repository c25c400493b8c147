//! The parser under any split of any input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Commands = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds `pieces` one after the other; all commands, and the error that ended them.
fn parse_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Commands {
    let (mut parser, mut input, mut commands) = (Parser::default(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match parser.parse(&input) {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    commands.push(parser.arguments(&input).iter().map(<[u8]>::to_vec).collect());
                    input.drain(..bytes);
                }
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fn parse(input: &[u8]) -> Commands {
    parse_pieces([input])
}

fn encode(command: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for argument in command {
        bytes.extend(format!("${}\r\n", argument.len()).into_bytes());
        bytes.extend(argument);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Bytes that often mean something to the parser.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let tokens = ["*", "$", "\r\n", "\n", "1", "3", "-1", "0", "\"", "'", "\\x4", " ", "get", "\0"];
    let token = prop::sample::select(tokens.to_vec()).prop_map(|token| token.as_bytes().to_vec());
    vec(prop_oneof![9 => token, 1 => vec(any::<u8>(), 0..4)], 0..60).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_commands(input in noise(), cuts in vec(1usize..9, 1..60)) {
        let (mut pieces, mut rest) = (Vec::new(), input.as_slice());
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        prop_assert_eq!(parse_pieces(pieces), parse(&input));
    }

    #[test]
    fn a_command_comes_out_as_it_was_sent(commands in vec(vec(vec(any::<u8>(), 0..40), 1..6), 1..6)) {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        prop_assert_eq!(parse_pieces(bytes.chunks(1)), (commands, None));
    }

    #[test]
    fn no_bytes_panic(input in vec(any::<u8>(), 0..200)) {
        parse(&input);
    }
}

#[test]
fn sixteen_mebibytes_arrive_in_pieces() {
    let command = vec![b"SET".to_vec(), b"key".to_vec(), vec![b'x'; VALUE_BYTES_MAX]];
    let bytes = encode(&command);
    let mut parser = Parser::default();
    for end in (0..bytes.len()).step_by(64 << 10) {
        assert_eq!(parser.parse(&bytes[..end]), Ok(None));
    }
    assert_eq!(parser.parse(&bytes), Ok(Some(bytes.len())));
    assert_eq!(parser.arguments(&bytes).at(2).len(), VALUE_BYTES_MAX);
}

#[test]
fn every_error_has_its_input() {
    let long = "1".repeat(LINE_BYTES_MAX + 1);
    let huge = format!("${VALUE_BYTES_MAX}\r\n{}\r\n", "x".repeat(VALUE_BYTES_MAX));
    let check = |input: &str, expect, text: &str| {
        assert_eq!(parse(input.as_bytes()).1, Some(expect), "{:?}", &input[..input.len().min(40)]);
        assert_eq!(expect.to_string(), format!("ERR Protocol error: {text}"));
    };
    let too_many = format!("*{}\r\n", ARGUMENTS_MAX + 1);
    let too_long = format!("*1\r\n${}\r\n", VALUE_BYTES_MAX + 1);
    let multibulk = ProtocolError::InvalidMultibulkLength;
    check("*x\r\n", multibulk, "invalid multibulk length");
    check(&too_many, multibulk, "invalid multibulk length");
    check("*1\r\n$-1\r\n", ProtocolError::InvalidBulkLength, "invalid bulk length");
    check(&too_long, ProtocolError::InvalidBulkLength, "invalid bulk length");
    check("*1\r\nx\r\n", ProtocolError::ExpectedDollar(b'x'), "expected '$', got 'x'");
    check("\"\r\n", ProtocolError::UnbalancedQuotes, "unbalanced quotes in request");
    check(&long, ProtocolError::InlineTooBig, "too big inline request");
    let count = ProtocolError::MultibulkCountTooBig;
    check(&format!("*{long}"), count, "too big mbulk count string");
    let bulk = ProtocolError::BulkCountTooBig;
    check(&format!("*1\r\n${long}"), bulk, "too big bulk count string");
    let command = format!("*9\r\n{}", huge.repeat(COMMAND_BYTES_MAX / VALUE_BYTES_MAX));
    let too_big = format!("command exceeds {COMMAND_BYTES_MAX} bytes");
    check(&command, ProtocolError::CommandTooBig, &too_big);
}
