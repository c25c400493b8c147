//! What `daedal boxes` shows of reactors, and frames that are written down: real boxes, real files.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use system::{Folder, Process, System, until};

/// Whether each frame of a pcap file comes from, or goes to, this port; and how many do each.
#[track_caller]
fn frames(file: &[u8], at: SocketAddr) -> [usize; 2] {
    // draft-ietf-opsawg-pcap: nanoseconds, version 2.4, Ethernet.
    assert_eq!(file[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
    assert_eq!(file[20..24], [1, 0, 0, 0]);
    let (mut rest, mut counts) = (&file[24..], [0, 0]);
    while !rest.is_empty() {
        let length = |at: usize| u32::from_le_bytes(*rest[at..].first_chunk().unwrap()) as usize;
        assert_eq!(length(8), length(12));
        let (frame, after) = rest[16..].split_at(length(8));
        rest = after;
        // Ethernet 14, IPv4 20: then the ports.
        let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        assert_eq!(frame[12..14], [8, 0]);
        let ends = [port(34), port(36)];
        let place = ends.iter().position(|port| *port == at.port()).expect("a frame of others");
        counts[place] += 1;
    }
    counts
}

#[test]
fn frames_of_a_box_are_written_to_the_file_that_its_system_file_names() {
    let mut system = System::stated();
    let with = system.text().replace("[box.b]\n", "[box.b]\npcap = \"b.pcap\"\n");
    system.folder.write("system.toml", &with);
    for name in ["controller", "a", "b"] {
        system.start_box(name);
    }
    system.await_service();
    let mut client = system.client();
    for index in 0..50 {
        assert_eq!(client.ask(&format!("SET key{index} {index}")).unwrap(), "+OK");
    }
    let boxes = system.look(&["boxes"]).unwrap();
    assert!(boxes.contains("b.0  pcap over shm ("), "{boxes}");
    // kill -9: what was written is there all the same.
    system.kill("b");
    let file = system.folder.path().join("b.pcap");
    let [sent, received] = frames(&fs::read(&file).unwrap(), system.boxes[1]);
    assert!(sent > 20 && received > 20, "{sent} sent, {received} received");
    match Command::new("tcpdump").args(["-nn", "-r"]).arg(&file).output() {
        Ok(output) => {
            let lines = String::from_utf8(output.stdout).unwrap();
            assert_eq!(lines.matches("UDP, length").count(), sent + received, "{lines}");
        }
        Err(_) => println!("skipped: tcpdump reads the file, no tcpdump"),
    }
}

#[test]
fn each_reactor_writes_a_file_of_its_own_and_the_command_line_goes_before_the_file() {
    let system = System::stated();
    let more = "[box.b]\nreactors = 2\npcap = \"no/b.pcap\"\n";
    let with = system.text().replace("[box.b]\n", more);
    system.folder.write("system.toml", &with);
    let box_of =
        |arguments: &[&str]| Process::start(&system.folder, &[&["box"], arguments].concat());
    let _controller = box_of(&["controller", "--system", "system.toml"]);
    let arguments = ["b", "--system", "system.toml", "--pcap", "b.pcap"];
    let b = box_of(&arguments);
    b.await_words("box \"b\" is part of the system");
    for (name, reactor) in [("b.pcap", 0), ("b.pcap.1", 1)] {
        let mut at = system.boxes[1];
        at.set_port(at.port() + reactor);
        let file = fs::read(system.folder.path().join(name)).unwrap();
        let [sent, received] = frames(&file, at);
        // Nobody has had anything to say to the second one.
        assert!(reactor == 1 || sent > 0 && received > 0, "{name}: {sent}, {received}");
    }
    // Its port is to be free.
    drop(b);
    let why = system.folder.refused(&["box", "b", "--system", "system.toml"]);
    assert!(
        why.contains("cannot write frames to \"no/b.pcap\": No such file or directory"),
        "{why}"
    );
    assert!(why.contains("; name another file by `pcap` in the system file or by --pcap"), "{why}");
}

#[test]
fn boxes_shows_how_each_reactor_runs() {
    let mut system = System::stated();
    let with = system.text().replace("[box.b]\n", "[box.b]\nreactors = 2\ncpus = [0]\n");
    system.folder.write("system.toml", &with);
    for name in ["controller", "b"] {
        system.start_box(name);
    }
    let faulty = ["box", "a", "--system", "system.toml", "--faults", "drop=1", "--pcap", "a.pcap"];
    let mut a = Process::start(&system.folder, &[&faulty[..], &["--idle", "balanced"]].concat());
    system.await_service();
    let boxes = system.look(&["boxes"]).unwrap();
    let shown = |start: &str, end: &str| {
        let line = boxes.lines().find(|line| line.trim_start().starts_with(start));
        assert!(line.is_some_and(|line| line.ends_with(end)), "{start} {end}: {boxes}");
    };
    shown("a.0  fault over pcap over shm (", "); executor thread; balanced; not pinned");
    shown("b.0  shm (", "); executor thread; frugal; pinned to processor 0");
    shown("b.1  shm (", "); executor thread; frugal; pinned to processor 0");
    shown("controller.0  kernel (", "); executor thread; frugal; not pinned");
    // What the kernel says of the threads.
    let threads = fs::read_dir(format!("/proc/{}/task", system.processes["b"].id())).unwrap();
    let pinned = threads.flatten().filter(|it| {
        let read = |name| fs::read_to_string(it.path().join(name)).unwrap();
        read("comm").starts_with("b-") && read("status").contains("Cpus_allowed_list:\t0\n")
    });
    assert_eq!(pinned.count(), 2);
    // Nobody tells the controller that it was killed; it does not answer.
    a.kill();
    let boxes = system.look(&["boxes"]).unwrap();
    assert!(boxes.contains("a.0  does not answer within 2s: it may be gone"), "{boxes}");
}

#[test]
fn a_busy_peer_shows_as_one() {
    let system = System::start_by("kernel");
    let mut client = system.client();
    until("a socket of its own", || {
        for index in 0..100 {
            assert_eq!(client.ask(&format!("SET key{index} {index}")).unwrap(), "+OK");
        }
        let boxes = system.look(&["boxes"]).unwrap();
        boxes.lines().any(|line| line.contains("a.0  kernel (") && line.contains("busy peer"))
    });
}

#[test]
fn processors_that_are_not_there_are_told() {
    let system = System::stated();
    let with = |keys: &str| {
        let text = system.text().replace("[box.b]\n", &format!("[box.b]\n{keys}\n"));
        system.folder.write("system.toml", &text);
        system.folder.refused(&["box", "b", "--system", "system.toml"])
    };
    let why = with("cpus = [1023]");
    assert!(
        why.starts_with("box \"b\": core 1023 is not there, or not for this process; "),
        "{why}"
    );
    assert!(why.contains("name those by `cpus` in the system file, or by --cpus"), "{why}");
    let why = with("cpus = [0, 1]");
    assert!(
        why.starts_with("system.toml:16: box \"b\": 2 cpus for 1 reactor; write at most 1"),
        "{why}"
    );
    system.folder.write("system.toml", &system.text());
    let two = ["box", "b", "--system", "system.toml", "--cpus", "0,1"];
    let why = system.folder.refused(&two);
    assert_eq!(why, "--cpus names 2 processors, box \"b\" has 1 reactor: name no more");
}

#[test]
fn commands_say_what_they_were_given_wrong() {
    let folder = Folder::new();
    let said = |arguments: &[&str]| {
        let output = folder.daedal(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let why = said(&["boxes", "--controller", "here"]);
    assert!(why.contains("write an address and a port, such as 127.0.0.1:7000"), "{why}");
    let why = said(&["box", "a", "--system", "system.toml", "--cpus", "0,x"]);
    assert!(why.contains("write processors' numbers, such as 0,1"), "{why}");
    assert!(said(&["boxes", "--controller", "127.0.0.1"]).contains("such as 127.0.0.1:7000"));
}
