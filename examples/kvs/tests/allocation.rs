//! GET, and SET over an older value, allocate nothing: counted, from bytes to requests, in the
//! agent, through a real turn's local queue, and from replies to bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;

use daedal::boxes::alone::NoNetwork;
use daedal::boxes::turn::Turn;
use daedal::prelude::*;
use daedal::{Parameters, Stamp};
use daedal_allocations::{allocations, held_bytes};
use kvs::command::Facts;
use kvs::connection::Connection;
use kvs::gateway::Gateway;
use kvs::key_value::KeyValue;
use kvs::request::{Condition, Expiry, Reply, ReplyRef, RequestRef};

#[test]
fn get_and_a_repeated_set_allocate_nothing() {
    let set = RequestRef::Set {
        key: b"key",
        value: b"value",
        condition: Condition::Always,
        expiry: Expiry::Never,
        return_old: false,
    };
    let get = RequestRef::Get { key: b"key" };
    let mut store = KeyValue::default();
    store.apply(&set, 0, |_| ());
    let (counted, ()) = allocations(|| {
        store.apply(&set, 0, |reply| assert_eq!(*reply, ReplyRef::Ok));
        store.apply(&get, 0, |reply| assert_eq!(*reply, ReplyRef::Bulk(b"value")));
    });
    assert_eq!(counted, 0);
}

#[test]
fn a_connection_that_is_warm_allocates_nothing() {
    let commands =
        b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
    let mut connection = Connection::new(1);
    let mut round = || {
        let mut tickets = [None; 2];
        connection.receive(commands);
        connection.advance(&Facts::default(), &mut |ticket, request| {
            assert_eq!(request.key(), Some(b"key".as_slice()));
            tickets[usize::from(tickets[0].is_some())] = Some(ticket);
            true
        });
        for (ticket, reply) in tickets.into_iter().zip([ReplyRef::Ok, ReplyRef::Bulk(b"value")]) {
            connection.complete(ticket.expect("both were asked"), &reply);
        }
        assert_eq!(connection.output(), b"+OK\r\n$5\r\nvalue\r\n");
        connection.written(connection.output().len());
    };
    round();
    assert_eq!(allocations(round), (0, ()));
}

/// Asks for one key over and over.
#[state]
#[derive(Default)]
struct Client {
    #[combine(sum)]
    answers: u64,
}

impl Client {
    fn ask(context: &mut Context<'_, Client>) {
        context.ask("kvs", &RequestRef::Get { key: b"key" });
    }
}

impl Agent for Client {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        let (condition, expiry) = (Condition::Always, Expiry::Never);
        let (key, value): (&[u8], &[u8]) = (b"key", b"value");
        let return_old = false;
        context.ask("kvs", &RequestRef::Set { key, value, condition, expiry, return_old });
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        let reply = answer.open::<Reply>().expect("the agent is there");
        let is_first = self.answers == 0;
        let expect = if is_first { ReplyRef::Ok } else { ReplyRef::Bulk(b"value") };
        reply.read(|reply| assert_eq!(*reply, expect));
        self.answers += 1;
        Client::ask(context);
    }
}

#[test]
fn a_get_through_the_local_queue_allocates_nothing() {
    let mut templates = Templates::new();
    templates.agent("KeyValue", |_| Ok(KeyValue::default()));
    templates.agent("Client", |_| Ok(Client::default()));
    let mut turn = Turn::alone(Arc::new(templates));
    turn.run("kvs", "KeyValue", &Parameters::new()).unwrap();
    turn.run("client", "Client", &Parameters::new()).unwrap();
    assert!(turn.take(Stamp(1), false));
    let before = turn.counts().delivered;
    let (counted, ()) = allocations(|| {
        turn.take(Stamp(2), false);
    });
    assert!(turn.counts().delivered - before > 1000);
    assert_eq!(counted, 0);
}

/// Connects, sends one command, and hears the answer, or is gone before.
fn call(turn: &mut Turn<NoNetwork>, at: SocketAddr, (nth, now): (u64, &mut u64)) {
    let mut client = TcpStream::connect(at).expect("the gateway listens");
    client.set_nonblocking(true).expect("a socket can be");
    let key = nth % 100;
    client.write_all(format!("SET key{key:03} value\r\n").as_bytes()).expect("there is room");
    let mut answer = [0; 5];
    let mut heard = nth.is_multiple_of(3);
    while !heard {
        *now += 1_000;
        turn.take(Stamp(*now), true);
        heard = client.read(&mut answer).is_ok_and(|bytes| answer[..bytes] == *b"+OK\r\n");
    }
}

#[test]
fn clients_that_send_one_command_and_go_leave_nothing() {
    let mut templates = Templates::new();
    let (tell, address) = channel();
    templates.agent("KeyValue", |_| Ok(KeyValue::default()));
    templates.shim("Resp", move |parameters| {
        let gateway = Gateway::open(parameters)?;
        tell.send(gateway.address()).expect("the test listens");
        Ok(gateway)
    });
    let mut turn = Turn::alone(Arc::new(templates));
    turn.run_sharded("kvs", 3, "KeyValue", &Parameters::new()).expect("it runs");
    let listen = Parameters::from([("listen".to_owned(), "127.0.0.1:0".to_owned())]);
    turn.run("resp", "Resp", &listen).expect("a free port");
    let address = address.recv().expect("it was made").expect("it listens");
    let mut now = 0;
    let mut held = Vec::new();
    for nth in 0..6_000 {
        call(&mut turn, address, (nth, &mut now));
        if nth % 2_000 == 1_999 {
            while turn.take(Stamp(now), true) {
                now += 1_000;
            }
            held.push((held_bytes(), turn.kept()));
        }
    }
    assert_eq!(held[1], held[2], "after 4,000 clients, and after 6,000");
}
