//! One connection, its replies in any order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::limits::ANSWER_BYTES_MAX;

/// A connection and what it asked, shown.
struct Client {
    connection: Connection,
    asked: Vec<(Ticket, String)>,
    /// So many requests are taken before one was answered.
    room: usize,
}

impl Client {
    fn new() -> Client {
        Client { connection: Connection::new(9), asked: Vec::new(), room: usize::MAX }
    }

    fn say(&mut self, text: &str) {
        self.connection.receive(text.as_bytes());
        self.advance();
    }

    fn advance(&mut self) {
        let Client { asked, room, .. } = self;
        self.connection.advance(&Facts::default(), &mut |ticket, request| {
            let key = request.key().unwrap_or(b"*");
            let is_taken = asked.len() < *room;
            if is_taken {
                asked.push((ticket, String::from_utf8_lossy(key).into_owned()));
            }
            is_taken
        });
    }

    /// Answers the request at `index` among those not answered yet with `reply`.
    fn answer(&mut self, index: usize, reply: &ReplyRef<'_>) {
        let (ticket, _) = self.asked.remove(index);
        self.connection.complete(ticket, reply);
        self.advance();
    }

    fn asked(&self) -> Vec<&str> {
        self.asked.iter().map(|(_, key)| key.as_str()).collect()
    }

    fn hear(&mut self) -> String {
        let output = String::from_utf8(self.connection.output().to_vec()).unwrap();
        self.connection.written(output.len());
        output
    }
}

#[test]
fn answers_come_in_the_order_of_commands() {
    let mut client = Client::new();
    client.say("GET a\r\nPING\r\nGET b\r\nGET c\r\n");
    assert_eq!(client.asked(), ["a", "b", "c"]);
    client.answer(2, &ReplyRef::Bulk(b"C"));
    client.answer(1, &ReplyRef::Bulk(b"B"));
    assert_eq!(client.hear(), "");
    client.answer(0, &ReplyRef::Nil);
    assert_eq!(client.hear(), "$-1\r\n+PONG\r\n$1\r\nB\r\n$1\r\nC\r\n");
}

#[test]
fn a_command_over_several_shards_waits_and_is_waited_for() {
    let mut client = Client::new();
    client.say("GET a\r\nGET b\r\nMGET c d c\r\nGET e\r\nDBSIZE\r\n");
    assert_eq!(client.asked(), ["a", "b"]);
    client.answer(1, &ReplyRef::Nil);
    assert_eq!(client.asked(), ["a"]);
    client.answer(0, &ReplyRef::Nil);
    assert_eq!(client.asked(), ["c", "d", "c"]);
    client.answer(1, &ReplyRef::Nil);
    client.answer(1, &ReplyRef::Bulk(b"2"));
    assert_eq!(client.asked(), ["c"]);
    client.answer(0, &ReplyRef::Bulk(b"1"));
    assert_eq!(client.hear(), "$-1\r\n$-1\r\n*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n");
    assert_eq!(client.asked(), ["e"]);
    client.answer(0, &ReplyRef::Integer(5));
    assert_eq!(client.asked(), ["*"]);
    client.answer(0, &ReplyRef::Integer(6));
    assert_eq!(client.hear(), ":5\r\n:6\r\n");
}

#[test]
fn sums_add_up_and_a_refusal_is_the_whole_answer() {
    let mut client = Client::new();
    client.say("DEL a b\r\nMSET a 1 b 2\r\nMGET a b\r\n");
    client.answer(0, &ReplyRef::Integer(1));
    client.answer(0, &ReplyRef::Integer(1));
    client.answer(0, &ReplyRef::Ok);
    client.answer(0, &ReplyRef::Error("ERR away"));
    client.answer(0, &ReplyRef::Error("ERR away"));
    client.answer(0, &ReplyRef::Nil);
    assert_eq!(client.hear(), ":2\r\n-ERR away\r\n-ERR away\r\n");
}

#[test]
fn a_pipeline_is_bounded_and_goes_on() {
    let mut client = Client::new();
    client.say(&"GET a\r\n".repeat(PIPELINE_MAX + 5));
    assert_eq!(client.asked.len(), PIPELINE_MAX);
    assert!(!client.connection.wants_input());
    while !client.asked.is_empty() {
        client.answer(client.asked.len() - 1, &ReplyRef::Nil);
    }
    assert!(client.connection.wants_input());
    assert_eq!(client.hear(), "$-1\r\n".repeat(PIPELINE_MAX + 5));
}

#[test]
fn one_command_over_many_keys_keeps_to_the_bound_too() {
    let mut client = Client::new();
    let keys = 3 * PIPELINE_MAX;
    client.say(&format!("DEL{}\r\nPING\r\n", " key".repeat(keys)));
    for _ in 0..keys {
        assert!(client.asked.len() <= PIPELINE_MAX);
        client.answer(0, &ReplyRef::Integer(1));
    }
    assert_eq!(client.hear(), format!(":{keys}\r\n+PONG\r\n"));
}

#[test]
fn nothing_is_read_while_answers_wait_to_be_written() {
    let mut client = Client::new();
    client.say("GET a\r\n");
    client.answer(0, &ReplyRef::Bulk(&vec![b'x'; OUTPUT_BYTES_MARK]));
    client.say("GET b\r\n");
    assert!(client.asked.is_empty() && !client.connection.wants_input());
    client.hear();
    client.advance();
    assert_eq!(client.asked(), ["b"]);
}

#[test]
fn an_answer_that_does_not_fit_is_refused() {
    let mut client = Client::new();
    let value = vec![b'x'; 16 << 20];
    let keys = ANSWER_BYTES_MAX / value.len() + 2;
    client.say(&format!("MGET{}\r\n", " key".repeat(keys)));
    for _ in 0..keys {
        client.answer(0, &ReplyRef::Bulk(&value));
    }
    assert_eq!(client.hear(), "-ERR the values do not fit one answer\r\n");
}

#[test]
fn a_late_or_repeated_reply_reaches_nobody() {
    let mut client = Client::new();
    client.say("GET a\r\nGET b\r\n");
    let late = client.asked[1].0;
    client.answer(1, &ReplyRef::Bulk(b"B"));
    client.connection.complete(late, &ReplyRef::Bulk(b"again"));
    client.answer(0, &ReplyRef::Nil);
    client.connection.complete(late, &ReplyRef::Bulk(b"again"));
    assert_eq!(client.hear(), "$-1\r\n$1\r\nB\r\n");
}

#[test]
fn a_connection_ends_after_its_last_answer() {
    for (end, last) in [("QUIT", "+OK"), ("*x", "-ERR Protocol error: invalid multibulk length")] {
        let mut client = Client::new();
        client.say(&format!("GET a\r\n{end}\r\nGET b\r\n"));
        assert_eq!(client.asked(), ["a"]);
        assert!(!client.connection.wants_input() && !client.connection.is_finished());
        client.answer(0, &ReplyRef::Nil);
        assert!(!client.connection.is_finished());
        assert_eq!(client.hear(), format!("$-1\r\n{last}\r\n"));
        assert!(client.connection.is_finished());
    }
}

#[test]
fn hello_changes_only_what_follows() {
    let mut client = Client::new();
    client.say("GET a\r\nHELLO 3\r\nGET b\r\n");
    client.answer(1, &ReplyRef::Nil);
    client.answer(0, &ReplyRef::Nil);
    let heard = client.hear();
    assert!(heard.starts_with("$-1\r\n%7\r\n") && heard.ends_with("*0\r\n_\r\n"), "{heard}");
}

proptest! {
    #[test]
    fn a_ticket_fits_64_bits(connection: u32, sequence in 0..=SEQUENCE_MASK, slot in 0u32..1 << SLOT_BITS) {
        let ticket = Ticket { connection, sequence, slot };
        prop_assert_eq!(Ticket::from(u64::from(ticket)), ticket);
    }

    #[test]
    fn any_order_of_replies_gives_the_same_output(
        commands in vec(0usize..4, 1..60),
        order in vec(any::<prop::sample::Index>(), 1..300),
        cut in 1usize..50,
    ) {
        // Each request is answered with its own key, so the output says who got what.
        let (mut said, mut expect) = (String::new(), String::new());
        for (index, command) in commands.iter().enumerate() {
            match command {
                0 => {
                    said += "PING\r\n";
                    expect += "+PONG\r\n";
                }
                1 => {
                    said += &format!("MGET {index} x{index}\r\n");
                    let (one, two) = (index.to_string(), format!("x{index}"));
                    expect += &format!("*2\r\n${}\r\n{one}\r\n${}\r\n{two}\r\n", one.len(), two.len());
                }
                _ => {
                    said += &format!("GET {index}\r\n");
                    expect += &format!("${}\r\n{index}\r\n", index.to_string().len());
                }
            }
        }
        let mut client = Client::new();
        let mut order = order.into_iter().cycle();
        for piece in said.as_bytes().chunks(cut) {
            client.say(std::str::from_utf8(piece).unwrap());
        }
        while !client.asked.is_empty() {
            let index = order.next().unwrap().index(client.asked.len());
            let key = client.asked[index].1.clone();
            client.answer(index, &ReplyRef::Bulk(key.as_bytes()));
        }
        prop_assert_eq!(client.hear(), expect);
        prop_assert_eq!(client.connection.early_bytes, 0);
    }
}

#[test]
fn a_request_that_is_not_taken_is_tried_again_and_those_behind_it_wait() {
    let mut client = Client { room: 2, ..Client::new() };
    client.say("SET a 1\r\nSET b 1\r\nSET c 1\r\nMSET d 1 e 1 f 1\r\n");
    assert_eq!(client.asked(), ["a", "b"]);
    assert!(client.connection.is_held_back());
    client.answer(0, &ReplyRef::Ok);
    assert_eq!(client.asked(), ["b"]);
    client.answer(0, &ReplyRef::Ok);
    assert_eq!(client.asked(), ["c"]);
    client.answer(0, &ReplyRef::Ok);
    assert_eq!(client.asked(), ["d", "e"]);
    assert!(client.connection.is_held_back());
    for rest in [vec!["e", "f"], vec!["f"], vec![]] {
        client.answer(0, &ReplyRef::Ok);
        assert_eq!(client.asked(), rest);
    }
    assert_eq!(client.hear(), "+OK\r\n".repeat(4));
    assert!(client.connection.is_idle());
}
