//! The README's commands, run as they stand there: cargo's are those that cargo would run, and ports are others,
//! as somebody may have those. And the program as a box of a system of several processes.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod service;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use service::{Browser, free_address, system_text};

const SERVICE: &str = env!("CARGO_BIN_EXE_embed");
const DAEDAL: &str = env!("CARGO_BIN_EXE_embed-daedal");

/// A folder with a system file; what was started in it ends with it.
struct Lab(PathBuf, Vec<Child>);

impl Lab {
    fn new(text: &str) -> Lab {
        let folder = std::env::temp_dir().join(format!("embed-{}", free_address().port()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("system.toml"), text).unwrap();
        Lab(folder, Vec::new())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", &self.0).env("TMPDIR", &self.0);
        command
    }

    fn start(&mut self, program: &str, arguments: &[&str]) {
        let child = self.command(program, arguments).stdout(Stdio::null()).spawn().unwrap();
        self.1.push(child);
    }

    fn look(&self, arguments: &[&str]) -> Output {
        self.command(DAEDAL, arguments).output().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.1 {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// All commands of the README, and the counts that its comments promise.
fn commands() -> (String, Vec<String>) {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|it| it.split("```").next().unwrap());
    let commands: String = blocks.collect();
    let promised =
        commands.lines().filter_map(|line| Some(line.split_once('#')?.1.trim().to_owned()));
    let promised = promised.collect();
    (commands, promised)
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: the commands of examples/embed/README.md, no curl");
        return;
    }
    let lab = Lab::new(&system_text());
    let (mut text, promised) = commands();
    assert_eq!(promised, ["0", "3", "1", "4"]);
    let spec = daedal::system::load(&lab.0.join("system.toml")).unwrap();
    let run = "cargo run --release -p embed ";
    for (from, to) in [
        (format!("{run}-- "), format!("exec {SERVICE} --system system.toml ")),
        (format!("{run}--bin embed-daedal -- "), format!("{DAEDAL} ")),
        ("127.0.0.1:8080".to_owned(), free_address().to_string()),
        ("127.0.0.1:7300".to_owned(), spec.controller.address.to_string()),
    ] {
        assert!(text.contains(&from), "{from}: {text}");
        text = text.replace(&from, &to);
    }
    let script = format!("{text}\nkill -TERM $!\nwait $!\n");
    let output = lab.command("bash", &["-ec", &script]).process_group(0).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let counts: Vec<&str> = said.lines().filter(|line| line.parse::<u64>().is_ok()).collect();
    assert_eq!(counts, promised, "{said}");
    for part in ["as counts/shard4, ", "counts, put together from 4 agents", "apples"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn the_service_is_one_box_of_a_system_of_several_processes() {
    let mut lab = Lab::new(&system_text());
    let http = free_address();
    lab.start(DAEDAL, &["box", "controller", "--system", "system.toml"]);
    lab.start(DAEDAL, &["box", "b", "--system", "system.toml"]);
    let listen = http.to_string();
    lab.start(SERVICE, &["--system", "system.toml", "--box", "a", "--listen", &listen]);
    let browser = Browser::new(http);
    until_answered(&browser, http).await;
    for index in 0..16 {
        let answer = browser.post(&format!("/counts/name{index}"), "5").await;
        assert_eq!(answer, (200, "5".to_owned()));
    }
    let state = lab.look(&["state", "counts"]);
    let text = String::from_utf8(state.stdout).unwrap();
    assert!(
        text.contains("counts, put together from 4 agents") && text.contains("16 keys"),
        "{text}"
    );
    let boxes = String::from_utf8(lab.look(&["boxes"]).stdout).unwrap();
    for reactor in ["a.0  shm (", "b.0  shm (", "controller.0  kernel ("] {
        assert!(boxes.contains(reactor), "{boxes}");
    }
    // The demonstration is of its own agents, whatever the program's are.
    let demo = lab.look(&["demo", "--seconds", "1"]);
    let text = String::from_utf8(demo.stdout).unwrap();
    assert!(demo.status.success() && text.contains("requests/s"), "{text}");
}

async fn until_answered(browser: &Browser, at: SocketAddr) {
    for _ in 0..2000 {
        if matches!(browser.say("GET", "/counts", "").await, Ok((200, _))) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no answer at {at}");
}

#[test]
fn what_the_program_cannot_do_is_told_with_what_to_do() {
    let lab = Lab::new(&system_text());
    let said = |arguments: &[&str]| {
        let output = lab.command(SERVICE, arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let why = said(&["--listen", &taken]);
    assert!(why.contains(&format!("cannot listen on {taken}: name another by --listen")), "{why}");
    let free = free_address().to_string();
    let with = |more: &[&str]| said(&[&["--listen", &free][..], more].concat());
    let why = with(&["--system", "missing.toml"]);
    assert!(why.contains("missing.toml: cannot be read"), "{why}");
    let why = with(&["--system", "system.toml", "--box", "c"]);
    assert!(why.contains("the system has no box \"c\"; it has: a, b, and controller"), "{why}");
    assert!(with(&["--box", "a"]).contains("--system"));
    let spec = daedal::system::load(&lab.0.join("system.toml")).unwrap();
    let _holder = std::net::UdpSocket::bind(spec.boxes["b"].address).unwrap();
    let why = with(&["--system", "system.toml"]);
    assert!(
        why.contains("box \"b\": ") && why.contains("is taken; the box does not start; `ss -lunp"),
        "{why}"
    );
}
