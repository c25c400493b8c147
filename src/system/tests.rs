//! Each problem has a text that causes it; whatever was read is written so that it reads the same.

use proptest::prelude::*;

use super::*;
use crate::assemble::HOME;

/// What the fuzz target does with its bytes.
mod fuzz {
    use crate as daedal;

    include!("../../ci/fuzz/bodies/system_file.rs");
}

/// Two boxes, the first with two reactors, and an agent to which lines can be added.
const HEAD: &str = "[box.a]
address = \"127.0.0.1:7201\"
reactors = 2
[box.bob]
address = \"127.0.0.1:7211\"
[agent.kvs]
kind = \"KeyValue\"
";

fn read(text: &str) -> SystemSpec {
    parse(text, "system.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> String {
    parse(text, "system.toml").expect_err(text).to_string()
}

/// `text` after [`HEAD`], so that its first line is line 8, is refused with `expect`.
#[track_caller]
fn check(text: &str, expect: &str) {
    let refusal = refusal(&format!("{HEAD}{text}\n"));
    let first = refusal.lines().next().unwrap_or_default();
    assert_eq!(first.strip_prefix("system.toml:"), Some(expect), "{text}");
}

#[test]
fn boxes_have_names_that_leave_some_for_their_managers_and_reactors() {
    let taken = "8: box \"controller\": controller is the box that the controller runs in, stated under \
                 [controller]; write another name";
    check("[box.controller]\naddress = \"127.0.0.1:7301\"", taken);
    let like_a_port = refusal(&format!("{HEAD}[box.c-1]\naddress = \"127.0.0.1:7301\"\n"));
    assert!(
        like_a_port.starts_with("system.toml:8: box \"c-1\": \"c-1\" cannot name a box: write")
    );
}

#[test]
fn a_whole_file_is_read() {
    let spec = read(
        r#"
        [controller]
        address = "127.0.0.1:7100"
        journal = "kvs.journal"
        [agent.kvs]
        kind = "KeyValue"
        transform = [{ shard = 2 }, { balance = 3 }]
        boxes = ["b", "a"]
        apart = ["shard"]
        [agent.gateway]
        kind = "Resp"
        listen = "127.0.0.1:6379"
        backlog = 0x80
        strict = true
        ratio = 0.5
        box = "b"
        reactor = 1
        [box.b]
        address = "[::1]:7301"
        reactors = 2
        idle = "frugal"
        driver = "kernel"
        cpus = [1, 0]
        pcap = "b.pcap"
        [box.a]
        address = "127.0.0.1:7201"
        "#,
    );
    assert_eq!(spec.controller.address.port(), 7100);
    assert_eq!(spec.controller.journal.as_deref(), Some("kvs.journal"));
    let kvs = &spec.agents["kvs"];
    assert_eq!(kvs.transform, [Transform::Shard(2), Transform::Balance(3)]);
    assert_eq!(kvs.boxes, ["b", "a"]);
    assert_eq!(kvs.apart, ["shard"]);
    let gateway = &spec.agents["gateway"];
    assert_eq!((gateway.boxes.as_slice(), gateway.reactor), (&["b".to_owned()][..], Some(1)));
    let parameters = gateway.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let expect =
        [("backlog", "128"), ("listen", "127.0.0.1:6379"), ("ratio", "0.5"), ("strict", "true")];
    assert!(parameters.eq(expect), "{:?}", gateway.parameters);
    assert_eq!(spec.boxes["b"].idle, Some(Idle::Frugal));
    assert_eq!(spec.boxes["b"].cpus, [1, 0]);
    assert_eq!(spec.boxes["b"].pcap.as_deref(), Some("b.pcap"));
    assert_eq!(spec.boxes["a"].reactors, 1);
}

#[test]
fn what_is_left_out_has_its_default() {
    let spec = read("[box.a]\naddress = \"127.0.0.1:7201\"");
    assert_eq!(spec.controller, ControllerSpec::default());
    assert_eq!(spec.controller.address, CONTROLLER_ADDRESS);
    assert!(spec.agents.is_empty());
    let expect = BoxSpec {
        address: "127.0.0.1:7201".parse().expect("an address"),
        reactors: 1,
        executor: Executor::Thread,
        metrics: None,
        idle: None,
        driver: None,
        cpus: Vec::new(),
        pcap: None,
        links: LinkSpec::default(),
    };
    assert_eq!(spec.boxes["a"], expect);
    assert_eq!(BoxSpec::at(expect.address), expect);
}

#[test]
fn processors_and_files_of_a_box_are_checked() {
    let check = |keys: &str, expect: &str| {
        let text = format!("[box.c]\naddress = \"127.0.0.1:7301\"\nreactors = 2\n{keys}");
        check(&text, &format!("11: box \"c\": {expect}"));
    };
    check("cpus = 1", "cpus is an integer; write a list of processors' numbers, such as [0, 1]");
    check("cpus = [0, \"1\"]", "cpus is a string; write a whole number");
    check("cpus = [0, 1024]", "cpus is 1024; write a number from 0 to 1023");
    check("cpus = [1, 1]", "\"1\" stands twice in cpus; write it once");
    check("cpus = [0, 1, 2]", "3 cpus for 2 reactors; write at most 2, or more reactors");
    check(
        "cpu = [0]",
        "unknown key \"cpu\"; did you mean \"cpus\"? Write address, reactors, executor, idle, \
                        driver, cpus, pcap, metrics, queue_us or repeat_us",
    );
    check("pcap = \"\"", "pcap is empty; write a file name, such as \"a.pcap\", or leave pcap out");
    check("pcap = true", "pcap is a boolean; write a file name, such as \"a.pcap\"");
}

#[test]
fn limits_of_links_are_those_that_the_file_states() {
    let limits = |text: &str, name: &str| {
        let config = crate::running::config_of(&read(text), name).expect("it is there");
        (config.links.queue_ns, config.links.timeout_ns_min)
    };
    let default = daedal_net::link::LinkLimits::default();
    let default = (default.queue_ns, default.timeout_ns_min);
    assert_eq!((limits(HEAD, "a"), limits(HEAD, HOME)), (default, default));
    let a = "[box.a]\naddress = \"127.0.0.1:7201\"\n";
    let text = format!("{a}queue_us = 250\n[controller]\nqueue_us = 1\nrepeat_us = 65535");
    assert_eq!(limits(&text, "a"), (250_000, default.1));
    assert_eq!(limits(&text, HOME), (1000, 65_535_000));
    let check = |keys: &str, expect: &str| {
        let text = format!("[box.c]\naddress = \"127.0.0.1:7301\"\n{keys}");
        check(&text, &format!("10: box \"c\": {expect}"));
    };
    check("queue_us = 0", "queue_us is 0; write a number from 1 to 65535");
    check("repeat_us = 65536", "repeat_us is 65536; write a number from 1 to 65535");
    check("repeat_us = \"5 ms\"", "repeat_us is a string; write a whole number");
    check(
        "queue_ns = 1",
        "unknown key \"queue_ns\"; did you mean \"queue_us\"? Write address, reactors, executor, idle, \
                        driver, cpus, pcap, metrics, queue_us or repeat_us",
    );
}

#[test]
fn boxes_are_numbered_by_name_from_1() {
    let spec = read(HEAD);
    assert_eq!(spec.box_id("a"), Some(BoxId(1)));
    assert_eq!(spec.box_id("bob"), Some(BoxId(2)));
    assert_eq!(spec.box_id("c"), None);
}

#[test]
fn an_error_shows_the_line_and_marks_what_is_meant() {
    let expect = "system.toml:8: agent \"kvs\": shard count is 0; write a number from 1 to 4096
    8 | transform = [{ shard = 0 }]
      |                        ^";
    let refusal = refusal(&format!("{HEAD}transform = [{{ shard = 0 }}]"));
    assert_eq!(refusal, expect);
}

#[test]
fn a_long_line_is_shown_around_the_mark_and_without_control_characters() {
    let long = format!("{HEAD}{}\t\"ä\" = \u{1b}", " ".repeat(300));
    let refusal = refusal(&long);
    assert!(refusal.lines().all(|line| line.chars().count() < 160), "{refusal}");
    assert!(!refusal.contains('\u{1b}'), "{refusal}");
}

#[test]
fn a_file_that_is_no_toml_is_refused_where_it_stops_being_it() {
    check("a = \"", "8: not TOML: invalid basic string, expected `\"`; correct what is marked");
    check("kind = \"K\"", "8: not TOML: duplicate key; correct what is marked");
    let deep = format!("a = {}", "[".repeat(100_000));
    check(
        &deep,
        "8: not TOML: cannot recurse further; max recursion depth met; correct what is marked",
    );
}

#[test]
fn keys_that_nothing_reads_are_refused_with_the_nearest_that_is_read() {
    check(
        "[agents.x]",
        "8: unknown key \"agents\"; did you mean \"agent\"? Write secret_file, controller, agent or box",
    );
    check("[place]", "8: unknown key \"place\"; write secret_file, controller, agent or box");
    check(
        "[box.c]\nadress = 1",
        "9: box \"c\": unknown key \"adress\"; did you mean \"address\"? Write address, reactors, executor, idle, driver, cpus, pcap, metrics, queue_us or repeat_us",
    );
    check(
        "[box.c]\naddress = \"127.0.0.1:7203\"\nexecutor = \"glomio\"",
        "10: box \"c\": executor is \"glomio\"; did you mean \"glommio\"? Write thread or glommio",
    );
    check(
        "[controller]\njournla = \"\"",
        "9: controller: unknown key \"journla\"; did you mean \"journal\"? Write address, journal, executor, metrics, queue_us or repeat_us",
    );
    check(
        "transfrom = 3",
        "8: agent \"kvs\": \"transfrom\" looks like \"transform\"; write that, or give the parameter another name",
    );
}

#[test]
fn what_is_missing_empty_or_of_another_type_is_named() {
    check(
        "[agent.gw]",
        "8: agent \"gw\": kind is missing; write the state machine's name, such as kind = \"KeyValue\"",
    );
    check("[box.c]", "8: box \"c\": address is missing; write address = \"127.0.0.1:7201\"");
    check(
        "[agent.gw]\nkind = 3",
        "9: agent \"gw\": kind is an integer; write the name of a state machine",
    );
    check("[[box.c]]", "8: box: c is an array; write a table");
    check(
        "transform = { shard = 4 }",
        "8: agent \"kvs\": transform is a table; write a list, such as [{ shard = 4 }]",
    );
    check(
        "listen = [1]",
        "8: agent \"kvs\": listen is an array; write a string, a number, true or false",
    );
    check(
        "[controller]\njournal = \"\"",
        "9: controller: journal is empty; write a file name, such as \"kvs.journal\", or leave journal out",
    );
}

#[test]
fn names_follow_their_grammar() {
    let segment = "write a letter, then up to 62 letters, digits and hyphens";
    let word = "write a letter, then up to 62 letters, digits, hyphens and underscores";
    check("[agent.\"a/b\"]", &format!("8: agent \"a/b\": \"a/b\" is no name; {segment}"));
    check("[box.\"1\"]", &format!("8: box \"1\": \"1\" is no name; {segment}"));
    check("box = \"a\\nb\"", &format!("8: agent \"kvs\": \"a\\nb\" is no name; {segment}"));
    check("[agent.gw]\nkind = \"\"", &format!("9: agent \"gw\": \"\" is no name; {word}"));
    check("\"a b\" = 1", &format!("8: agent \"kvs\": \"a b\" is no name; {word}"));
}

#[test]
fn transformations_are_those_that_are_built_with_counts_in_their_range() {
    let cases = [
        ("[{ shard = 0 }]", "shard count is 0; write a number from 1 to 4096"),
        ("[{ balance = 4097 }]", "balance count is 4097; write a number from 1 to 4096"),
        ("[{ shard = -1 }]", "shard count is -1; write a number from 1 to 4096"),
        ("[{ shard = \"4\" }]", "shard is a string; write a whole number"),
        (
            "[{ shrad = 4 }]",
            "transform is \"shrad\"; did you mean \"shard\"? Write shard, balance or ordered",
        ),
        ("[{ frob = 4 }]", "transform is \"frob\"; write shard, balance or ordered"),
        (
            "[{ replicate = 3 }]",
            "transformation \"replicate\" is not built yet; write shard, balance or ordered",
        ),
        (
            "[\"encrypt\"]",
            "transformation \"encrypt\" is not built yet; write shard, balance or ordered",
        ),
        (
            "[{ shard = 64 }, { balance = 65 }]",
            "its transformations make 4160 leaves; write counts whose product is at most 4096",
        ),
    ];
    for (text, expect) in cases {
        check(&format!("transform = {text}"), &format!("8: agent \"kvs\": {expect}"));
    }
    let shape = "a transformation is one name and one count; write { shard = 4 }, { balance = 3 }, \
                 or \"ordered\", which has no count";
    for text in ["\"shard\"", "{}", "7", "{ shard = 1, balance = 1 }", "{ ordered = 2 }"] {
        check(&format!("transform = [{text}]"), &format!("8: agent \"kvs\": {shape}"));
    }
    let deep = vec!["{ shard = 1 }"; 16].join(",");
    check(
        &format!("transform = [{deep}]"),
        "8: agent \"kvs\": 16 transformations; write at most 15",
    );
    let huge = vec!["{ shard = 4096 }"; 15].join(",");
    let leaves = "its transformations make 18446744073709551615 leaves; write counts whose product is at most 4096";
    check(&format!("transform = [{huge}]"), &format!("8: agent \"kvs\": {leaves}"));
}

#[test]
fn an_agent_runs_where_boxes_and_reactors_are() {
    let cases = [
        ("boxes = [\"a\", \"a\"]", "8: ", "\"a\" stands twice in boxes; write it once"),
        (
            "boxes = [\"bab\"]",
            "8: ",
            "there is no box \"bab\"; did you mean \"bob\"? Or describe it under [box.bab]",
        ),
        (
            "box = \"c\"",
            "8: ",
            "there is no box \"c\"; describe it under [box.c], or name one that is",
        ),
        (
            "box = \"a\"\nboxes = [\"a\"]",
            "8: ",
            "both box and boxes are written; write one of them",
        ),
        (
            "boxes = [\"a\", \"bob\"]\nreactor = 0",
            "9: ",
            "reactor without the one box that it belongs to; write box = \"NAME\" too, or leave reactor out",
        ),
        (
            "box = \"a\"\nreactor = 2",
            "9: ",
            "box \"a\" has no reactor 2; write a number from 0 to 1, or more reactors in [box.a]",
        ),
        (
            "box = \"bob\"\nreactor = 1",
            "9: ",
            "box \"bob\" has no reactor 1; write reactor = 0, or more reactors in [box.bob]",
        ),
        ("box = \"a\"\nreactor = 300", "9: ", "reactor is 300; write a number from 0 to 254"),
    ];
    for (text, line, expect) in cases {
        check(text, &format!("{line}agent \"kvs\": {expect}"));
    }
}

#[test]
fn children_can_be_apart_only_if_there_are_such_children_and_boxes_for_them() {
    let nothing = "8: agent \"kvs\": no transformation of it makes children named shard; give it a transformation, or leave apart out";
    check("apart = [\"shard\"]", nothing);
    let other = "9: agent \"kvs\": no transformation of it makes children named shrad; write shard";
    check("transform = [{ shard = 2 }]\napart = [\"shrad\"]", other);
    let many = "9: agent \"kvs\": 3 children named copy cannot be apart on 2 boxes; write more boxes, or fewer children";
    check("transform = [{ balance = 3 }]\napart = [\"copy\"]", many);
    let one = "10: agent \"kvs\": 2 children named shard cannot be apart on 1 box; write more boxes, or fewer children";
    check("transform = [{ shard = 2 }]\nbox = \"a\"\napart = [\"shard\"]", one);
}

#[test]
fn an_address_can_be_sent_to_and_is_used_once() {
    let other = "write ports that no other uses (reactor k of a box has its port + k)";
    let cases = [
        (
            "h:1",
            "\"h:1\" is no address; write an IP address and a port, such as \"127.0.0.1:7201\""
                .to_owned(),
        ),
        (
            "0.0.0.0:1",
            "0.0.0.0 cannot be sent to by other boxes; write an address of the machine itself"
                .to_owned(),
        ),
        (
            "[ff02::1]:1",
            "ff02::1 cannot be sent to by other boxes; write an address of the machine itself"
                .to_owned(),
        ),
        (
            "1.1.1.1:0",
            "port 0 cannot be known to other boxes; write a port from 1 to 65535".to_owned(),
        ),
        (
            "127.0.0.1:7202",
            format!("port 7202 of 127.0.0.1 is taken by box \"a\" on line 2; {other}"),
        ),
        (
            "[::ffff:127.0.0.1]:7211",
            format!("port 7211 of 127.0.0.1 is taken by box \"bob\" on line 5; {other}"),
        ),
        (
            "127.0.0.1:7000",
            format!(
                "port 7000 of 127.0.0.1 is taken by the controller, which has it unless [controller] says another; {other}"
            ),
        ),
    ];
    for (address, expect) in cases {
        check(&format!("[box.c]\naddress = \"{address}\""), &format!("9: box \"c\": {expect}"));
    }
    check(
        "[box.c]\naddress = \"1.1.1.1:65535\"\nreactors = 2",
        "9: box \"c\": 2 reactors from port 65535 need ports past 65535; write a port up to 65534",
    );
    check(
        "[controller]\naddress = \"127.0.0.1:7202\"",
        &format!(
            "2: box \"a\": port 7202 of 127.0.0.1 is taken by the controller on line 9; {other}"
        ),
    );
}

#[test]
fn a_box_may_have_the_last_port() {
    let spec = read("[box.a]\naddress = \"127.0.0.1:65535\"\nreactors = 1");
    assert_eq!(spec.boxes["a"].address.port(), u16::MAX);
}

#[test]
fn settings_of_a_box_are_those_that_there_are() {
    let cases = [
        ("reactors = 0", "reactors is 0; write a number from 1 to 255"),
        (
            "idle = \"latenc\"",
            "idle is \"latenc\"; did you mean \"latency\"? Write latency, balanced or frugal",
        ),
        #[cfg(not(feature = "dpdk"))]
        (
            "driver = \"dpdk:eth0\"",
            "driver dpdk is not in this build; `cargo build --release -p daedal-cli --features dpdk` makes one that has it, or write kernel, xdp, shm or shm+xdp",
        ),
        #[cfg(feature = "dpdk")]
        (
            "driver = \"dpdk:net_null0 fast\"",
            "driver: \"fast\" is none of: prefix=BITS, gateway=ADDRESS, mac=ADDRESS, neighbour=ADDRESS@MAC; options of DPDK's follow, from the first that begins with -; write one such as \"shm\", \"xdp\" or \"xdp:native,busy-poll=64\"",
        ),
        (
            "driver = \"xdp:eth0\"",
            "driver: \"eth0\" is none of: native, generic, zero-copy, busy-poll, busy-poll=PACKETS, queue=NUMBER; write one such as \"shm\", \"xdp\" or \"xdp:native,busy-poll=64\"",
        ),
        (
            "driver = \"xdp:queue=x\"",
            "driver: queue=x: a whole number from 0 to 65535 belongs there; write one such as \"shm\", \"xdp\" or \"xdp:native,busy-poll=64\"",
        ),
        (
            "driver = \"kernel:fast\"",
            "driver: kernel has no options, such as \"fast\"; write one such as \"shm\", \"xdp\" or \"xdp:native,busy-poll=64\"",
        ),
        (
            "driver = \"shm:fast\"",
            "driver: \"fast\" is none of: copy; write one such as \"shm\", \"xdp\" or \"xdp:native,busy-poll=64\"",
        ),
        (
            "driver = \"shm+kernel\"",
            "driver: \"kernel\" does not stand beside shm, but xdp does; write one such as \"shm\", \"xdp\" or \"xdp:native,busy-poll=64\"",
        ),
        #[cfg(not(feature = "dpdk"))]
        ("driver = \"token-ring\"", "driver is \"token-ring\"; write kernel, xdp, shm or shm+xdp"),
        #[cfg(not(feature = "dpdk"))]
        ("driver = \"shm+foo\"", "driver is \"shm+foo\"; write kernel, xdp, shm or shm+xdp"),
        #[cfg(feature = "dpdk")]
        ("driver = \"shm+foo\"", "driver is \"shm+foo\"; write kernel, xdp, shm, shm+xdp or dpdk"),
    ];
    for (text, expect) in cases {
        let text = format!("[box.c]\naddress = \"127.0.0.1:7221\"\n{text}");
        check(&text, &format!("10: box \"c\": {expect}"));
    }
}

#[test]
fn a_file_has_a_box_and_a_bounded_size() {
    assert_eq!(
        refusal(""),
        "system.toml: no box, so nothing can run; write [box.a] and under it address = \"127.0.0.1:7201\""
    );
    let boxes: String = (0..=BOXES_MAX).map(|n| format!("[box.b{n}]\n")).collect();
    assert_eq!(refusal(&boxes), "system.toml: 4097 boxes; write at most 4096");
    let large = "#".repeat(FILE_BYTES_MAX + 1);
    let expect =
        "system.toml: larger than 1048576 bytes; describe fewer agents, or create them at run time";
    assert_eq!(refusal(&large), expect);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = std::env::temp_dir().join(format!("daedal-system-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let path = folder.join("system.toml");
    let refusal = || load(&path).expect_err("not a system file").to_string();
    let name = path.display();
    let missing = "cannot be read: No such file or directory (os error 2); name a file that can, or write one";
    assert_eq!(refusal(), format!("{name}: {missing}"));

    std::fs::write(&path, b"[box.a]\n# \xff\n").expect("written");
    let shown = "    2 | # \u{fffd}\n      |   ^";
    assert_eq!(refusal(), format!("{name}:2: not UTF-8; save the file as UTF-8 text\n{shown}"));

    std::fs::write(&path, "ä".repeat(FILE_BYTES_MAX)).expect("written");
    let large = "larger than 1048576 bytes; describe fewer agents, or create them at run time";
    assert_eq!(refusal(), format!("{name}: {large}"));

    std::fs::write(&path, HEAD).expect("written");
    assert_eq!(load(&path).expect("a system file"), read(HEAD));
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn a_spec_is_written_as_a_person_would_write_it() {
    let text = "[controller]
address = \"127.0.0.1:7100\"
journal = \"kvs.journal\"

[agent.gateway]
kind = \"Resp\"
box = \"a\"
reactor = 1
listen = \"127.0.0.1:6379\"

[agent.kvs]
kind = \"KeyValue\"
transform = [{ shard = 2 }, { balance = 3 }]
boxes = [\"a\", \"b\"]
apart = [\"shard\"]

[box.a]
address = \"127.0.0.1:7201\"
reactors = 2
idle = \"latency\"

[box.b]
address = \"127.0.0.1:7211\"
";
    assert_eq!(read(text).to_toml(), text);
}

fn agents() -> impl Strategy<Value = AgentSpec> {
    let transform = prop_oneof![
        (1..=64u16).prop_map(Transform::Shard),
        (1..=64u16).prop_map(Transform::Balance),
        Just(Transform::Ordered)
    ];
    let parameters = proptest::collection::btree_map("p[a-zA-Z0-9_-]{0,20}", any::<String>(), 0..4);
    let places = (0..=2usize, proptest::option::of(0..3u8), any::<bool>());
    ("[A-Za-z][A-Za-z0-9_-]{0,62}", proptest::collection::vec(transform, 0..3), places, parameters)
        .prop_map(|(kind, transform, (boxes, reactor, apart), parameters)| {
            let boxes: Vec<String> = ["a", "b"][..boxes].iter().map(|b| b.to_string()).collect();
            let room = if boxes.len() == 1 { 1 } else { 2 };
            let mut like: Vec<&Transform> = transform.iter().filter(|_| apart).collect();
            like.truncate(1);
            like.retain(|first| {
                transform.iter().all(|t| t.child() != first.child() || t.children() <= room)
            });
            AgentSpec {
                kind,
                apart: like.iter().map(|transform| transform.child().to_owned()).collect(),
                transform,
                reactor: reactor.filter(|_| boxes.len() == 1),
                boxes,
                parameters,
            }
        })
}

fn specs() -> impl Strategy<Value = SystemSpec> {
    let idle = prop_oneof![
        Just(None),
        Just(Some(Idle::Latency)),
        Just(Some(Idle::Balanced)),
        Just(Some(Idle::Frugal))
    ];
    let executor = prop_oneof![Just(Executor::Thread), Just(Executor::Glommio)];
    let cpus = proptest::collection::btree_set(0..1024u16, 0..3);
    let pcap = proptest::option::of("\\PC{1,20}");
    let us = || proptest::option::of(1..=u16::MAX);
    let links = (us(), us()).prop_map(|(queue_us, repeat_us)| LinkSpec { queue_us, repeat_us });
    let keys = (3..9u8, executor, idle, any::<bool>(), cpus, pcap, links);
    let boxes = proptest::collection::vec(keys, 2..4);
    let agents = proptest::collection::btree_map("[A-Za-z][A-Za-z0-9-]{0,62}", agents(), 0..4);
    let journal = proptest::option::of("\\PC{1,20}");
    (any::<u16>(), journal, agents, boxes).prop_map(|(port, journal, agents, boxes)| SystemSpec {
        secret_file: journal.as_ref().map(|it| format!("{it}.secret")),
        controller: ControllerSpec {
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.max(1)),
            journal,
            executor: Executor::default(),
            metrics: None,
            links: LinkSpec::default(),
        },
        agents,
        boxes: boxes
            .into_iter()
            .enumerate()
            .map(|(place, (reactors, executor, idle, v6, cpus, pcap, links))| {
                let ip = if v6 { "::1" } else { "10.0.0.1" }.parse().expect("an address");
                let address = SocketAddr::new(ip, 7000 + 10 * place as u16);
                let spec = BoxSpec {
                    address,
                    reactors,
                    executor,
                    metrics: v6.then_some(address),
                    idle,
                    driver: v6.then(|| "shm:copy+xdp:generic".parse().expect("there is one")),
                    cpus: cpus.into_iter().collect(),
                    pcap,
                    links,
                };
                (["a", "b", "c"][place].to_owned(), spec)
            })
            .collect(),
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same_spec(spec in specs()) {
        let text = spec.to_toml();
        let read = parse(&text, "system.toml").map_err(|error| error.to_string());
        prop_assert_eq!(read, Ok(spec), "{}", text);
    }

    #[test]
    fn no_bytes_panic_and_every_refusal_is_a_few_short_lines(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        fuzz::run(&bytes);
    }

    /// Bytes alone seldom get past the first line of the reader: so, a good file with a piece replaced.
    #[test]
    fn no_damage_to_a_good_file_panics(
        spec in specs(),
        at in any::<prop::sample::Index>(),
        cut in 0..20usize,
        piece in "[\\[\\]{}=\"'a-z0-9 .,\n\\PC]{0,12}",
    ) {
        let mut text: Vec<char> = spec.to_toml().chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + cut).min(text.len()), piece.chars());
        fuzz::run(text.into_iter().collect::<String>().as_bytes());
    }
}

#[test]
fn the_corpus_of_the_fuzz_target_still_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/fuzz/corpus/system_file");
    let files = std::fs::read_dir(folder).expect("the corpus is part of the tree");
    let mut count = 0;
    for file in files {
        let path = file.expect("a readable folder").path();
        fuzz::run(&std::fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{folder} is empty");
}
