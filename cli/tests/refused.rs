//! What bad input gets from the command: a text that says what, where and what to do, and exit code 1.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::net::UdpSocket;

use system::{Folder, System};

#[test]
fn an_agent_that_is_not_there_is_called_as_it_was_typed() {
    let system = System::start();
    for path in ["nosuch", "kvs/shard9", "nosuch/shard1"] {
        let why = system.look(&["state", path]).unwrap_err();
        let told =
            format!("there is no agent \"{path}\"; `daedal tree` shows those that there are");
        assert!(why.contains(&told), "{why}");
    }
    let why = system.look(&["state", "/kvs"]).unwrap_err();
    assert!(why.contains("path \"/kvs\", byte 0: a name is missing; write one"), "{why}");
}

#[test]
fn a_taken_port_is_told_with_what_to_do() {
    let system = System::stated();
    let taken = system.boxes[0];
    let _holder = UdpSocket::bind(taken).unwrap();
    let why = system.folder.refused(&["box", "a", "--system", "system.toml"]);
    let (ip, port) = (taken.ip(), taken.port());
    assert!(why.starts_with(&format!(
        "box \"a\": port {port} of {ip} is taken; the box does not start; `ss -lunp 'sport = :{port}'` \
         shows by whom: stop"
    )));
}

#[test]
fn a_controller_that_did_not_start_is_not_the_one_started_last() {
    let system = System::stated();
    let _holder = UdpSocket::bind(system.controller).unwrap();
    let why = system.folder.refused(&["box", "controller", "--system", "system.toml"]);
    assert!(why.contains(&format!("port {} of 127.0.0.1 is taken", system.controller.port())));
    let why = system.folder.refused(&["tree"]);
    assert!(why.starts_with("no system was started by you on this host: name one by"), "{why}");
}

#[test]
fn a_wrong_system_file_is_told_by_file_line_and_fix() {
    let folder = Folder::new();
    let check = |change: (&str, &str), expect: &str, commands: &[&[&str]]| {
        let text = System::stated().text().replacen(change.0, change.1, 1);
        folder.write("wrong.toml", &text);
        for command in commands {
            let why = folder.refused(&[*command, &["--system", "wrong.toml"]].concat());
            assert!(why.starts_with(&format!("wrong.toml:{expect}")), "{why}");
        }
    };
    let all: [&[&str]; 4] = [&["box", "controller"], &["box", "a"], &["tree"], &["state", "kvs"]];
    check(
        ("shard = 2", "shrad = 2"),
        "6: agent \"kvs\": transform is \"shrad\"; did you mean",
        &all,
    );
    check(("[box.b]", "[box.b-1]"), "15: box \"b-1\": \"b-1\" cannot name a box: write", &all);
    check(("[box.b]", "[box.controller]"), "15: box \"controller\": controller is the box", &all);
    // What the program that runs the box can make of it.
    let boxes = &all[..2];
    let unknown =
        "5: agent \"kvs\": this program has no agents of kind \"KeyVal\"; it has: KeyValue, ";
    check(("KeyValue", "KeyVal"), unknown, boxes);
    let not_keyed = "10: agent \"gateway\": gateway: `shard = 2` requires a keyed agent: mark ";
    check(("kind = \"Resp\"", "kind = \"Resp\"\ntransform = [{ shard = 2 }]"), not_keyed, boxes);
    check(("[agent.kvs]", "[agent.box-kvs]"), "4: agent \"box-kvs\": box-kvs: ", boxes);
}

#[test]
fn files_and_boxes_that_are_not_there_are_named() {
    let system = System::stated();
    let missing = ["--system", "missing.toml"];
    for command in [&["box", "a"][..], &["tree"], &["state", "kvs"]] {
        let why = system.folder.refused(&[command, &missing].concat());
        assert!(why.starts_with("missing.toml: cannot be read: "), "{why}");
    }
    let why = system.folder.refused(&["box", "c", "--system", "system.toml"]);
    assert_eq!(why, "the system has no box \"c\"; it has: a, b, and controller");
}

#[test]
fn a_controller_that_is_away_is_told_with_what_to_do() {
    let system = System::stated();
    let told = format!(
        "the controller at {} does not answer within 5s: start it with `daedal box controller \
         --system FILE`, or name another by --controller or --system; a system with a secret_file answers \
         those alone who have the same, by --secret-file or --system",
        system.controller
    );
    std::thread::scope(|scope| {
        let reshard = &["reshard", "kvs", "2"];
        for command in [&["tree"][..], &["routes"], &["boxes"], &["state", "kvs"], reshard] {
            let (folder, told) = (&system.folder, &told);
            scope.spawn(move || {
                let why = folder.refused(&[command, &["--system", "system.toml"]].concat());
                assert_eq!(why, *told);
            });
        }
    });
}

#[test]
fn a_store_whose_port_is_taken_says_so_where_it_was_to_run() {
    let mut system = System::stated();
    let _holder = std::net::TcpListener::bind(system.serves).unwrap();
    for name in ["controller", "a", "b"] {
        system.start_box(name);
    }
    let told = format!(
        "box \"a\": an agent does not start (`daedal tree` shows it): cannot listen on {}",
        system.serves
    );
    system.processes["a"].await_words(&told);
    system::until("the tree", || {
        system.look(&["tree"]).is_ok_and(|tree| tree.contains("failed in a: cannot listen on "))
    });
    let why = system.folder.refused(&["demo", "--port", &system.serves.port().to_string()]);
    assert!(why.contains("cannot be served: write another --port, or leave it out"), "{why}");
}

#[cfg(not(feature = "planted"))]
#[test]
fn a_build_without_bugs_to_put_in_says_how_to_get_one_with() {
    let why = Folder::new().refused(&["sim", "--planted"]);
    assert!(why.contains("--package daedal-cli --features planted -- sim --planted`"), "{why}");
}
