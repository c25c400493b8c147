//! The README's three processes, started as it says, from the file that it shows. Only ports are others, as
//! somebody may have those.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::process::{Command, Stdio};

use system::{Client, Folder, free_address, until};

/// The block of this language that begins with `start`.
fn block(language: &str, start: &str) -> String {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let fence = format!("```{language}\n{start}");
    let at = text.find(&fence).expect("it is in the README") + "```\n".len() + language.len();
    text[at..].split("```").next().unwrap().to_owned()
}

#[test]
fn the_system_of_the_readme_runs_as_it_is_written() {
    let folder = Folder::new();
    let (mut file, serves) = (block("toml", "[controller]"), free_address());
    let addresses = ["127.0.0.1:7000", "127.0.0.1:7100", "127.0.0.1:7200", "127.0.0.1:6379"];
    for address in addresses {
        assert!(file.contains(address), "{file}");
        let free = if address.ends_with(":6379") { serves } else { free_address() };
        file = file.replace(address, &free.to_string());
    }
    folder.write("system.toml", &file);
    let commands = block("sh", "daedal preflight");
    let (first, commands) = commands.split_once('\n').unwrap();
    let (starts, looks): (Vec<&str>, Vec<&str>) =
        commands.lines().partition(|it| it.ends_with('&'));
    assert_eq!((starts.len(), looks.len()), (3, 5), "{commands}");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_daedal"));
    let shell = |commands: &str| {
        let mut shell = Command::new("sh");
        let path =
            format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        shell.args(["-ec", commands]).current_dir(folder.path()).env("PATH", path);
        shell.env("XDG_RUNTIME_DIR", folder.path()).stdin(Stdio::null()).stderr(Stdio::inherit());
        shell
    };
    let said = shell(first).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}");
    // The boxes are its children: they end with their input, and that with this test.
    let kept = format!("{}\nread end", starts.join("\n").replace(" &", " --with-parent <&3 &"));
    let mut boxes = shell(&format!("exec 3<&0\n{kept}"));
    let mut boxes = boxes.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    until("DBSIZE is answered", || {
        let Ok(mut client) = Client::connect(serves) else { return false };
        client.ask("DBSIZE").is_ok_and(|answer| answer == ":0")
    });
    let mut client = Client::connect(serves).unwrap();
    assert_eq!(client.ask("SET readme works").unwrap(), "+OK");
    let said = shell(&looks.join("\n")).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}");
    for part in ["as kvs/shard1, ", "kvs  pick by point of ", "a.0  shm (", "values: 1 key: readme"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    drop(boxes.stdin.take());
    boxes.wait().unwrap();
    until("the boxes to end", || std::net::TcpListener::bind(serves).is_ok());
}
