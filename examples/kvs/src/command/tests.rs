//! What commands become. That the words are Redis's own is shown beside a real one, in
//! `tests/differential.rs`.

use super::*;
use crate::request::{ExpireCondition, TimeUnit};
use crate::resp::parse::Parser;

const NOW_MS: u64 = 1_800_000_000_000;

/// Plans an inline command and shows the plan, or the answer.
fn check(line: &str, expect: &str) {
    check_as(line, &mut Session::default(), expect);
}

fn check_as(line: &str, session: &mut Session, expect: &str) {
    let input = format!("{line}\r\n");
    let mut parser = Parser::default();
    parser.parse(input.as_bytes()).unwrap().unwrap();
    let arguments = parser.arguments(input.as_bytes());
    let facts = Facts { now_ms: NOW_MS, keys: 3, clients: 2, ..Facts::default() };
    let mut answer = Vec::new();
    let shown = match plan(arguments, &mut Desk { session, facts: &facts, answer: &mut answer }) {
        Plan::Immediate => String::from_utf8(answer).unwrap(),
        plan => format!("{plan:?}"),
    };
    assert_eq!(shown, expect, "{line}");
}

fn one(request: RequestRef<'_>) -> String {
    format!("{:?}", Plan::One(request))
}

#[test]
fn the_table_has_no_name_twice_and_none_too_long_to_pack() {
    for (index, command) in COMMANDS.iter().enumerate() {
        assert_ne!(command.packed, 0);
        assert!(COMMANDS[..index].iter().all(|other| other.packed != command.packed));
        assert!(find(command.name.to_uppercase().as_bytes()).is_some());
    }
    assert!(
        find(b"").is_none() && find(b"\0get").is_none() && find(b"getgetgetgetgetget").is_none()
    );
}

#[test]
fn set_takes_all_its_options() {
    let check_set = |line: &str, condition, expiry, return_old| {
        check(
            line,
            &one(RequestRef::Set { key: b"k", value: b"v", condition, expiry, return_old }),
        );
    };
    check_set("SET k v", Condition::Always, Expiry::Never, false);
    check_set("set k v nx GET", Condition::IfAbsent, Expiry::Never, true);
    check_set("set k v xx keepttl", Condition::IfPresent, Expiry::Keep, false);
    check_set("set k v EX 2 ex 3", Condition::Always, Expiry::AfterMs(3000), false);
    check_set("set k v PX 2", Condition::Always, Expiry::AfterMs(2), false);
    check_set("set k v EXAT 2", Condition::Always, Expiry::AtMs(2000), false);
    check_set("set k v PXAT 2", Condition::Always, Expiry::AtMs(2), false);
    check("set k v nx xx", "-ERR syntax error\r\n");
    check("set k v ex 1 keepttl", "-ERR syntax error\r\n");
    check("set k v ex 0", "-ERR invalid expire time in 'set' command\r\n");
    check("set k v ex 9223372036854775", "-ERR invalid expire time in 'set' command\r\n");
}

#[test]
fn expire_takes_all_its_options() {
    let check_expire = |line: &str, condition| {
        check(line, &one(RequestRef::Expire { key: b"k", after_ms: 5000, condition }));
    };
    check_expire("expire k 5", ExpireCondition::Always);
    check_expire("pexpire k 5000 nx", ExpireCondition::IfNone);
    check_expire("expire k 5 XX", ExpireCondition::IfSome);
    check_expire("expire k 5 gt xx", ExpireCondition::IfLater);
    check_expire("expire k 5 lt", ExpireCondition::IfEarlier);
    check_expire("expire k 5 lt xx", ExpireCondition::IfSomeAndEarlier);
    check("pttl k", &one(RequestRef::TimeToLive { key: b"k", unit: TimeUnit::Milliseconds }));
}

#[test]
fn several_keys_become_several_requests_and_one_stays_one() {
    check("mget a", "Many(Get)");
    check("mset a 1 b 2", "Many(Set)");
    check("del a b", "Many(Del)");
    check("del a", &one(RequestRef::Del { key: b"a" }));
    check("exists a a", "Many(Exists)");
    check("mset a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
}

#[test]
fn keys_and_patterns_are_bounded() {
    let key = "k".repeat(KEY_BYTES_MAX + 1);
    for line in [format!("get {key}"), format!("mget a {key}"), format!("mset a b {key} c")] {
        check(&line, &format!("-ERR key exceeds {KEY_BYTES_MAX} bytes\r\n"));
    }
    let pattern = "k".repeat(PATTERN_BYTES_MAX + 1);
    for line in [format!("keys {pattern}"), format!("scan 0 match {pattern}")] {
        check(&line, &format!("-ERR pattern exceeds {PATTERN_BYTES_MAX} bytes\r\n"));
    }
}

#[test]
fn a_client_is_remembered() {
    let mut session = Session { id: 7, ..Session::default() };
    check_as("client getname", &mut session, "$-1\r\n");
    check_as("client setname bob", &mut session, "+OK\r\n");
    check_as("client setinfo lib-name redis-rs", &mut session, "+OK\r\n");
    check_as("client getname", &mut session, "$3\r\nbob\r\n");
    check_as("client id", &mut session, ":7\r\n");
    check_as("hello 4", &mut session, "-NOPROTO unsupported protocol version\r\n");
    assert_eq!(session.protocol, Protocol::Resp2);
    let hello = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n\
        :3\r\n$2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
        $7\r\nmodules\r\n*0\r\n";
    check_as("hello 3 setname eve", &mut session, hello);
    check_as("client getname", &mut session, "$3\r\neve\r\n");
    check_as("config get save", &mut session, "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
    check_as("quit", &mut session, "+OK\r\n");
    assert!(session.is_closing);
}

#[test]
fn info_shows_the_sections_asked_for() {
    check("info keyspace", "$24\r\n# Keyspace\r\ndb0:keys=3\r\n\r\n");
    check("info clients", "$32\r\n# Clients\r\nconnected_clients:2\r\n\r\n");
    check("info nothing", "$0\r\n\r\n");
}

#[test]
fn command_describes_the_table() {
    check("command count", &format!(":{}\r\n", COMMANDS.len()));
    check("command docs get", "*0\r\n");
    let get = "*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n";
    check("command info get nope", &format!("*2\r\n{get}$-1\r\n"));
}
