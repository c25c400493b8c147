//! Real clients over TCP: agent and gateway on a reactor of their own.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use daedal::boxes::turn::Turn;
use daedal::{Parameters, Stamp, Templates};
use kvs::gateway::Gateway;
use kvs::key_value::KeyValue;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod server;
use server::{Server, read_answer};

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

/// Says `text` and hears as many bytes as are expected.
fn check(stream: &mut TcpStream, text: &str, expect: &str) {
    say(stream, text);
    hear(stream, expect);
}

fn hear(stream: &mut TcpStream, expect: &str) {
    let mut got = vec![0; expect.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), expect);
}

/// Everything that is said until the other side hangs up.
fn hear_out(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(got).unwrap()
}

#[test]
fn pipelined_and_inline_commands_are_answered_in_order() {
    let server = Server::start(3, &[]);
    let mut client = server.connect();
    check(
        &mut client,
        "SET a 1\r\nINCR a\r\nMSET b 2 c 3\r\nMGET a b c d\r\nDBSIZE\r\nPING\r\nDEL a b x\r\n",
        "+OK\r\n:2\r\n+OK\r\n*4\r\n$1\r\n2\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n:3\r\n+PONG\r\n:2\r\n",
    );
    check(&mut client, "*2\r\n$3\r\nGET\r\n$1\r\nc\r\n", "$1\r\n3\r\n");
    check(
        &mut client,
        "KEYS *\r\nSCAN 0\r\n",
        "*1\r\n$1\r\nc\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n",
    );
    check(&mut client, "FLUSHALL\r\nDBSIZE\r\n", "+OK\r\n:0\r\n");
    let many = 20_000;
    let expect: String = (1..=many).map(|count| format!(":{count}\r\n")).collect();
    let mut writes = client.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || say(&mut writes, &"INCR n\r\n".repeat(many)));
        hear(&mut client, &expect);
    });
}

#[test]
fn the_longest_value_goes_in_and_out() {
    let server = Server::start(2, &[]);
    let mut client = server.connect();
    let value = vec![b'x'; kvs::limits::VALUE_BYTES_MAX];
    say(&mut client, &format!("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n${}\r\n", value.len()));
    client.write_all(&value).unwrap();
    check(&mut client, "\r\n", "+OK\r\n");
    say(&mut client, "GET key\r\n");
    let (answer, _) = read_answer(&mut BufReader::new(&mut client));
    assert_eq!(answer.len(), value.len() + "$16777216\r\n\r\n".len());
    assert!(answer.iter().filter(|byte| **byte == b'x').count() == value.len());
}

#[test]
fn keys_expire_and_are_reclaimed() {
    let server = Server::start(1, &[]);
    let mut client = server.connect();
    check(&mut client, "SET a 1 PX 30\r\nSET b 1\r\nGET a\r\n", "+OK\r\n+OK\r\n$1\r\n1\r\n");
    // DBSIZE counts what is held, so that only reclaiming makes it 1.
    loop {
        say(&mut client, "DBSIZE\r\n");
        let (size, _) = read_answer(&mut BufReader::new(&mut client));
        match size.as_slice() {
            b":2\r\n" => {}
            size => break assert_eq!(size, b":1\r\n"),
        }
    }
    check(&mut client, "GET a\r\nTTL b\r\n", "$-1\r\n:-1\r\n");
}

#[test]
fn clients_that_leave_in_the_middle_of_a_command_take_nobody_along() {
    let server = Server::start(1, &[]);
    let mut stays = server.connect();
    for round in 0..50 {
        let mut leaves = server.connect();
        match round % 3 {
            0 => say(&mut leaves, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\nhal"),
            1 => say(&mut leaves, &"INCR n\r\n".repeat(500)),
            _ => say(&mut leaves, "GET "),
        }
        drop(leaves);
        check(&mut stays, "PING\r\n", "+PONG\r\n");
    }
    loop {
        say(&mut stays, "INFO clients\r\n");
        let (info, _) = read_answer(&mut BufReader::new(&mut stays));
        if String::from_utf8_lossy(&info).contains("connected_clients:1\r\n") {
            break;
        }
    }
}

#[test]
fn who_only_stops_talking_is_answered_first() {
    let server = Server::start(2, &[]);
    let mut client = server.connect();
    say(&mut client, &("INCR a\r\n".repeat(3000) + "MGET a b\r\nGET a\r\nGET"));
    client.shutdown(Shutdown::Write).unwrap();
    let heard = hear_out(&mut client);
    assert!(heard.ends_with(":3000\r\n*2\r\n$4\r\n3000\r\n$-1\r\n$4\r\n3000\r\n"), "{heard}");
}

#[test]
fn another_protocol_is_told_so_and_hung_up_on() {
    let server = Server::start(1, &[]);
    let mut client = server.connect();
    say(&mut client, "PING\r\n*x\r\nPING\r\n");
    assert_eq!(hear_out(&mut client), "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n");
    let mut client = server.connect();
    say(&mut client, "QUIT\r\n");
    assert_eq!(hear_out(&mut client), "+OK\r\n");
}

#[test]
fn a_client_that_reads_slowly_is_waited_for_and_delays_nobody() {
    let server = Server::start(1, &[]);
    let (mut slow, mut quick) = (server.connect(), server.connect());
    let value = "x".repeat(1 << 20);
    check(&mut quick, &format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$1048576\r\n{value}\r\n"), "+OK\r\n");
    say(&mut slow, &"GET v\r\n".repeat(40));
    for _ in 0..100 {
        check(&mut quick, "PING\r\n", "+PONG\r\n");
    }
    let mut slow = BufReader::new(slow);
    for _ in 0..40 {
        assert_eq!(read_answer(&mut slow).0.len(), value.len() + "$1048576\r\n\r\n".len());
    }
}

#[test]
fn one_client_too_many_is_turned_away() {
    let server = Server::start(1, &[("clients", "2")]);
    let mut first = server.connect();
    let mut second = server.connect();
    check(&mut first, "PING\r\n", "+PONG\r\n");
    check(&mut second, "PING\r\n", "+PONG\r\n");
    let mut third = server.connect();
    assert_eq!(hear_out(&mut third), "-ERR max number of clients reached\r\n");
    drop(first);
    // There is room once the gateway has seen that the first has gone.
    while {
        let mut fourth = server.connect();
        say(&mut fourth, "PING\r\nQUIT\r\n");
        hear_out(&mut fourth) != "+PONG\r\n+OK\r\n"
    } {}
}

/// As many descriptors as this process may allow itself: at least as many as `clients` and a few.
fn raise_descriptors(clients: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not, the limit says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.is_none_or(|most| most as usize >= clients + 100)
}

/// A server in a process of its own: clients and their other ends do not share one limit of descriptors.
struct Apart(std::process::Child, std::net::SocketAddr);

impl Apart {
    fn start(shards: &str) -> Apart {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvs"));
        command.args(["127.0.0.1:0", shards]).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let port = said.trim().strip_prefix("redis-cli -p ").unwrap().parse().unwrap();
        Apart(child, ([127, 0, 0, 1], port).into())
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.1).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It may have ended already, which the test has seen.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ten_thousand_clients_are_served_at_once_and_leave() {
    const CLIENTS: usize = 10_000;
    if !raise_descriptors(CLIENTS) {
        println!("skipped: {CLIENTS} clients at once, too few descriptors: raise `ulimit -Hn`");
        return;
    }
    let server = Apart::start("2");
    let mut clients: Vec<TcpStream> = Vec::new();
    for index in 0..CLIENTS {
        clients.push(server.connect());
        if index % 100 == 99 {
            // Not faster than they are taken in: the kernel's queue is short.
            check(clients.last_mut().unwrap(), "PING\r\n", "+PONG\r\n");
        }
    }
    for client in &mut clients {
        say(client, "INCR n\r\nGET none\r\nAPPEND log x\r\n");
    }
    let (mut counts, mut lengths) = (Vec::new(), Vec::new());
    for client in &mut clients {
        let mut client = BufReader::new(client);
        let number = |answer: Vec<u8>| -> usize {
            String::from_utf8_lossy(&answer[1..]).trim_end().parse().unwrap()
        };
        counts.push(number(read_answer(&mut client).0));
        assert_eq!(read_answer(&mut client).0, b"$-1\r\n");
        lengths.push(number(read_answer(&mut client).0));
    }
    // Every number once: none lost, none done twice.
    for mut numbers in [counts, lengths] {
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=CLIENTS));
    }
    // Half of them leave in the middle of a command, the others between two.
    for (index, mut client) in clients.into_iter().enumerate() {
        if index % 2 == 0 {
            say(&mut client, "*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$100\r\nnot all of it");
        }
    }
    let mut stays = server.connect();
    while {
        say(&mut stays, "INFO clients\r\n");
        let (info, _) = read_answer(&mut BufReader::new(&mut stays));
        !String::from_utf8_lossy(&info).contains("connected_clients:1\r\n")
    } {}
    check(&mut stays, "GET n\r\n", &format!("${}\r\n{CLIENTS}\r\n", CLIENTS.to_string().len()));
    check(&mut stays, "EXISTS half\r\n", ":0\r\n");
}

#[test]
fn requests_that_wait_for_their_agent_delay_nobody_else() {
    let server = Server::start(1, &[("agent", "nobody")]);
    let (mut asks, mut pings) = (server.connect(), server.connect());
    say(&mut asks, &"GET a\r\n".repeat(500));
    for _ in 0..100 {
        check(&mut pings, "PING\r\n", "+PONG\r\n");
    }
}

#[test]
fn requests_that_came_before_their_agent_are_answered_once_it_is_there() {
    let (tell, address) = std::sync::mpsc::channel();
    let mut templates = Templates::new();
    templates.agent("KeyValue", |_| Ok(KeyValue::default()));
    templates.shim("Resp", move |parameters| {
        let gateway = Gateway::open(parameters)?;
        tell.send(gateway.address().unwrap()).unwrap();
        Ok(gateway)
    });
    let mut turn = Turn::alone(Arc::new(templates));
    let parameters = Parameters::from([("listen".to_owned(), "127.0.0.1:0".to_owned())]);
    turn.run("resp", "Resp", &parameters).unwrap();
    let mut client = TcpStream::connect(address.recv().unwrap()).unwrap();
    say(&mut client, &"INCR a\r\n".repeat(5000));
    client.set_nonblocking(true).unwrap();
    let (mut heard, mut now) = (Vec::new(), 0);
    let mut hear = |turn: &mut Turn<_>| {
        now += 1_000_000;
        turn.take(Stamp(now), true);
        match client.read_to_end(&mut heard) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?}"),
        }
        heard.len()
    };
    (0..100).for_each(|_| assert_eq!(hear(&mut turn), 0));
    turn.run("kvs", "KeyValue", &Parameters::new()).unwrap();
    let expect: String = (1..=5000).map(|count| format!(":{count}\r\n")).collect();
    let turns = (0..100_000).find(|_| hear(&mut turn) == expect.len());
    assert!(turns.is_some() && heard == expect.as_bytes());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let server = Server::start(1, &[]);
    let address = server.address.to_string();
    let parameters = Parameters::from([("listen".to_owned(), address.clone())]);
    let error = kvs::serve::serve(&parameters, 1, |_| (), || true).unwrap_err();
    assert!(error.contains(&address) && error.contains("listen"), "{error}");
}

#[test]
fn redis_cli_and_redis_benchmark_are_served() {
    let server = Server::start(2, &[]);
    let port = server.address.port().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(["-p", &port]).args(arguments).output();
        match output {
            Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("skipped: {program} not found");
                None
            }
            Err(error) => panic!("{program}: {error}"),
        }
    };
    if let Some(said) = run("redis-cli", &["set", "a", "b"]) {
        assert_eq!(said, "OK\n");
        assert_eq!(run("redis-cli", &["get", "a"]).unwrap(), "b\n");
        assert_eq!(run("redis-cli", &["-3", "mget", "a", "c"]).unwrap(), "b\n\n");
    }
    let load = ["-t", "set,get,incr,mset", "-n", "5000", "-P", "16", "-r", "100", "-q"];
    if let Some(said) = run("redis-benchmark", &load) {
        assert_eq!(said.matches("requests per second").count(), 4, "{said}");
    }
}
