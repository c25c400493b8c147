//! A system whose frames are sealed: boxes and commands take part that know its secret, and no others.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use system::{Process, System, free_address};

/// Writes a secret, of these two digits again and again.
fn write_secret(system: &System, name: &str, digits: &str, mode: u32) {
    system.folder.write(name, &digits.repeat(32));
    let path = system.folder.path().join(name);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn boxes_and_commands_that_know_the_secret_take_part_and_no_others() {
    let mut system = System::stated();
    write_secret(&system, "right", "a7", 0o600);
    write_secret(&system, "wrong", "b7", 0o600);
    let text = system.text();
    system.folder.write("system.toml", &format!("secret_file = \"right\"\n{text}"));
    for name in ["controller", "a", "b"] {
        system.start_box(name);
    }
    system.await_service();
    let mut client = system.client();
    for index in 0..50 {
        assert_eq!(client.ask(&format!("SET key{index} {index}")).unwrap(), "+OK");
        assert_eq!(client.ask(&format!("GET key{index}")).unwrap(), index.to_string());
    }

    // By the word that the controller left, by the file, and by the secret alone.
    let folder = &system.folder;
    let look = |arguments: &[&str]| {
        let output = folder.daedal(&[&["boxes"], arguments].concat()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let at = system.controller.to_string();
    let named = ["--controller", &at, "--secret-file", "right"];
    for arguments in [&[][..], &["--system", "system.toml"], &named] {
        let boxes = look(arguments);
        assert!(boxes.contains("links are sealed"), "{arguments:?}: {boxes}");
    }
    for others in [&["--controller", &at][..], &["--controller", &at, "--secret-file", "wrong"]] {
        let why = folder.refused(&[&["tree"], others].concat());
        assert!(why.contains("does not answer") && why.contains("secret_file"), "{why}");
    }

    // A box of that name that has another secret is none of the system.
    let second = free_address();
    let other = text.replacen(&system.boxes[1].to_string(), &second.to_string(), 1);
    folder.write("other.toml", &format!("secret_file = \"wrong\"\n{other}"));
    let stranger = Process::start(folder, &["box", "b", "--system", "other.toml"]);
    stranger.await_words("and see that its secret_file holds the same");
    assert_eq!(client.ask("DBSIZE").unwrap(), ":50");
    assert!(!stranger.said().contains("is part of the system"));
}

#[test]
fn a_secret_that_cannot_be_used_is_told_before_anything_starts() {
    let system = System::stated();
    let text = format!("secret_file = \"secret\"\n{}", system.text());
    system.folder.write("system.toml", &text);
    let start = || system.folder.refused(&["box", "a", "--system", "system.toml"]);
    let why = start();
    assert!(why.contains("secret_file secret: ") && why.contains("openssl rand"), "{why}");
    write_secret(&system, "secret", "a7", 0o644);
    assert!(start().contains("run `chmod 600 secret`"));
    write_secret(&system, "secret", "x", 0o600);
    assert!(start().contains("64 hexadecimal digits"));
}
