//! What boxes count is seen from outside: by the command, by a scraper, and by who follows one message.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use system::{System, await_some, until};

/// A store of two shards on two boxes, all of whose messages are sampled, and which gives out its metrics.
fn watched() -> System {
    let mut system = System::stated();
    for name in ["controller", "a", "b"] {
        system.start_box_with(name, &["--metrics", "127.0.0.1:0", "--trace", "1", "--log", "info"]);
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
    let delivered = || system.metrics("b").sample("delivered_total", 0);
    let before = delivered();
    (0..200).for_each(|key| drop(client.ask(&format!("SET key{key} 2")).unwrap()));
    until("the other shard's counter grows", || delivered() >= before + 50);
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
