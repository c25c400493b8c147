//! What boxes count is seen from outside: by the command, by a scraper, and by who follows one message.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::io::{Read, Write};
use std::net::TcpStream;

use system::{Process, System, await_some, until};

/// A store of two shards on two boxes, all of whose messages are sampled, and which gives out its metrics.
fn watched() -> System {
    let mut system = System::stated();
    for name in ["controller", "a", "b"] {
        let arguments = ["box", name, "--system", "system.toml", "--metrics", "127.0.0.1:0"];
        let arguments = [&arguments[..], &["--trace", "1", "--log", "info"]].concat();
        let process = Process::start(&system.folder, &arguments);
        process.await_words(&format!("box \"{name}\" is at "));
        system.processes.insert(name, process);
    }
    system.await_service();
    system
}

/// What a command prints that needs no controller.
fn look(system: &System, arguments: &[&str]) -> String {
    let output = system.folder.daedal(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// GET of what a box says is the address of its metrics.
fn metrics(process: &Process) -> String {
    let line = await_some("the address of the metrics", || {
        let said = process.said();
        let (_, rest) = said.split_once("metrics at http://")?;
        Some(rest.split_once("/metrics")?.0.to_string())
    });
    let mut client = TcpStream::connect(&line).unwrap();
    client.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {line}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    body.to_string()
}

/// The value of a sample.
fn sample(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.trim().parse().unwrap()
}

#[test]
fn boxes_are_watched_by_the_command_and_by_a_scraper_while_they_work() {
    let mut system = watched();
    let mut client = system.client();
    (0..200).for_each(|key| drop(client.ask(&format!("SET key{key} 1")).unwrap()));
    let seen = look(&system, &["boxes", "--watch", "--times", "1"]);
    for words in ["box \"a\", process ", "box \"b\"", "reactor 0", "in all", "delivered "] {
        assert!(seen.contains(words), "{words} in {seen}");
    }
    for bound in ["links ", "/1024 (", "send_frames ", "/2048 (", "handle_calls 0/4096 (0 %)"] {
        assert!(seen.contains(bound), "{bound} in {seen}");
    }
    let twice = look(&system, &["boxes", "--watch", "--times", "2"]);
    assert!(twice.contains("a second"), "{twice}");
    let delivered = "daedal_delivered_total{box=\"b\",reactor=\"0\"}";
    let before = sample(&metrics(&system.processes["b"]), delivered);
    (0..200).for_each(|key| drop(client.ask(&format!("SET key{key} 2")).unwrap()));
    until("the other shard's counter grows", || {
        sample(&metrics(&system.processes["b"]), delivered) >= before + 50
    });
    // The edges are in the log, and nothing of each message is.
    let log = system.processes["b"].said();
    for edge in ["started reactor=\"b-0\"", "link opened agent_box=1 reactor=0"] {
        assert!(log.contains(edge), "{edge} in {log}");
    }
    assert!(log.lines().count() < 50, "{log}");
    // A box that is gone is not watched any more, however it went.
    system.kill("b");
    until("it is not shown", || {
        !look(&system, &["boxes", "--watch", "--times", "1"]).contains("\"b\"")
    });
}

#[test]
fn a_sampled_message_is_followed_from_the_gateway_to_a_shard_and_back() {
    let system = watched();
    let mut client = system.client();
    let walk = await_some("a walk to the other box", || {
        (0..8).for_each(|key| drop(client.ask(&format!("GET key{key}")).unwrap()));
        let seen = look(&system, &["trace", "200"]);
        seen.split("trace ").find(|walk| walk.contains(", by link")).map(str::to_string)
    });
    for hop in
        ["a.0      gateway sends message", "b.0      kvs/shard", "takes message", "is answered"]
    {
        assert!(walk.contains(hop), "{hop} in {walk}");
    }
}

#[test]
fn where_no_box_runs_the_command_says_how_to_start_one() {
    let system = System::stated();
    let why = system.folder.refused(&["boxes", "--watch"]);
    assert!(why.contains("start one by `daedal box`"), "{why}");
}
