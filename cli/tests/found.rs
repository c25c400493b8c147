//! How commands find the system that they are about, and boxes their place in it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use system::{Process, System, free_address};

#[test]
fn a_named_controller_goes_before_a_file_and_a_file_before_the_system_started_last() {
    let system = System::stated();
    let folder = &system.folder;
    let _controller = Process::start(folder, &["box", "controller", "--system", "system.toml"]);
    let boxes = |arguments: &[&str]| {
        let output = folder.daedal(&[&["boxes"], arguments].concat()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // At once: the controller may not have left word yet.
    assert!(boxes(&[]).contains("controller  "));
    let nobody = free_address().to_string();
    let other = system.text().replacen(&system.controller.to_string(), &nobody, 1);
    folder.write("other.toml", &other);
    let right = ["--controller", &system.controller.to_string(), "--system", "other.toml"];
    assert!(boxes(&right).contains("controller  "));
    let why = folder.refused(&["boxes", "--system", "other.toml"]);
    assert!(why.starts_with(&format!("the controller at {nobody} does not answer")), "{why}");
    let named = format!("localhost:{}", system.controller.port());
    assert!(boxes(&["--controller", &named]).contains("controller  "));
}

#[test]
fn a_box_waits_for_its_controller_says_so_and_joins() {
    let mut system = System::stated();
    system.start_box("a");
    system.start_box("b");
    let waits = |name: &str| {
        format!(
            "box \"{name}\" waits for the controller at {}, which does not answer: start it with \
             `daedal box controller --system system.toml`",
            system.controller
        )
    };
    for name in ["a", "b"] {
        system.processes[name].await_words(&waits(name));
    }
    system.start_box("controller");
    system.await_service();
    for name in ["a", "b"] {
        let said = system.processes[name].said();
        assert!(said.contains(&format!("box \"{name}\" is part of the system")), "{said}");
        assert_eq!(said.matches("waits for").count(), 1, "{said}");
    }
}

#[test]
fn a_second_box_of_one_name_is_refused_and_the_first_goes_on() {
    let system = System::start();
    let mut client = system.client();
    for index in 0..20 {
        assert_eq!(client.ask(&format!("SET key{index} {index}")).unwrap(), "+OK");
    }
    let (tree, second) = (system.look(&["tree"]).unwrap(), free_address());
    let text = system.text().replacen(&system.boxes[1].to_string(), &second.to_string(), 1);
    system.folder.write("second.toml", &text);
    let why = system.folder.refused(&["box", "b", "--system", "second.toml"]);
    let told = format!(
        "box \"b\": a box of this name is part of the system already, at {}, and this one is at \
         {second}: stop that one and start this one there, or give this one another name; if that one \
         has crashed, start this one at its address once",
        system.boxes[1]
    );
    assert_eq!(why, told);
    let why = system.folder.refused(&["box", "b", "--system", "system.toml"]);
    assert!(why.contains("is taken"), "{why}");
    assert_eq!(system.look(&["tree"]).unwrap(), tree);
    for index in 0..20 {
        assert_eq!(client.ask(&format!("GET key{index}")).unwrap(), index.to_string());
    }
}

#[test]
fn two_boxes_of_one_name_that_start_at_once_become_one() {
    let mut system = System::stated();
    let second = free_address();
    let text = system.text().replacen(&system.boxes[1].to_string(), &second.to_string(), 1);
    system.folder.write("second.toml", &text);
    for name in ["controller", "a", "b"] {
        system.start_box(name);
    }
    let arguments = ["box", "b", "--system", "second.toml"];
    let mut other = Process::start(&system.folder, &arguments);
    system.await_service();
    let is_refused = |process: &Process| process.said().contains("is part of the system already");
    let loser = match system::await_some("one of them to be refused", || {
        [&system.processes["b"], &other].iter().position(|process| is_refused(process))
    }) {
        0 => system.processes.get_mut("b").unwrap(),
        _ => &mut other,
    };
    assert_eq!(loser.await_end().code(), Some(1));
    let boxes = system.look(&["boxes"]).unwrap();
    assert_eq!(boxes.matches("\nb  box 2").count(), 1, "{boxes}");
    let mut client = system.client();
    for index in 0..20 {
        assert_eq!(client.ask(&format!("SET key{index} {index}")).unwrap(), "+OK");
        assert_eq!(client.ask(&format!("GET key{index}")).unwrap(), index.to_string());
    }
}

#[test]
fn a_box_whose_frames_are_all_lost_waits() {
    let mut system = System::stated();
    system.start_box("controller");
    let arguments = ["box", "a", "--system", "system.toml", "--faults", "drop=100"];
    let deaf = Process::start(&system.folder, &arguments);
    deaf.await_words("box \"a\" is at ");
    // It was there first, but only the other one joins.
    system.start_box("b");
    system.processes["b"].await_words("box \"b\" is part of the system");
    let boxes = system.look(&["boxes"]).unwrap();
    assert!(boxes.contains("a  has not come"), "{boxes}");
    drop(deaf);
    system.start_box("a");
    system.processes["a"].await_words("box \"a\" is part of the system");
    let wrong = ["box", "a", "--system", "system.toml", "--faults", "drop"];
    assert_eq!(system.folder.daedal(&wrong).output().unwrap().status.code(), Some(2));
}
