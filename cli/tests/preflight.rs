//! What a machine lacks is found and named before a box starts, each lack made for real; and the box that is
//! started all the same falls back, or stops, with the same words.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]
#![allow(
    unsafe_code,
    reason = "a child filters its own system calls before it becomes the command"
)]

mod system;

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output};

use daedal_lab::{Lab, required};
use system::{Folder, Process, free_address};

/// One box on this host, with these lines more.
fn stated(address: SocketAddr, more: &str) -> Folder {
    let folder = Folder::new();
    let controller = free_address();
    folder.write(
        "system.toml",
        &format!(
            "[controller]\naddress = \"{controller}\"\n[agent.kvs]\nkind = \"KeyValue\"\n\
             [box.a]\naddress = \"{address}\"\n{more}"
        ),
    );
    folder
}

const GLOMMIO: &str = "executor = \"glommio\"\n";
const LOOK: [&str; 4] = ["preflight", "a", "--system", "system.toml"];
const START: [&str; 4] = ["box", "a", "--system", "system.toml"];

/// The command behind another, such as `prlimit --memlock=0`.
fn behind(folder: &Folder, before: &[&str], arguments: &[&str]) -> Command {
    let daedal = folder.daedal(arguments);
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(daedal.get_program()).args(daedal.get_args());
    command.current_dir(folder.path());
    for (name, value) in daedal.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What is said when it is looked at, which ends with this code.
#[track_caller]
fn look(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

/// A text that says each of these.
#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} in\n{text}");
    }
}

/// The box starts although something is missing, and says so in these words.
#[track_caller]
fn starts_with_less(command: Command, folder: &Folder, words: &[&str]) {
    let process = Process::start_command(folder, command);
    process.await_words("is at ");
    for word in words {
        process.await_words(word);
    }
    process.await_words("on executor thread");
}

/// As Docker's default profile does: no io_uring.
#[cfg(feature = "glommio")]
fn without_io_uring(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let jump = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // The number of the call stands first. Those of io_uring are neighbours.
    let first = libc::SYS_io_uring_setup as u32;
    let behind = libc::SYS_io_uring_register as u32 + 1;
    let filter = [
        step(load, 0, 0, 0),
        step(jump, 0, 2, first),
        step(jump, 1, 0, behind),
        step(give, 0, 0, REFUSE),
        step(give, 0, 0, ALLOW),
    ];
    let install = move || {
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: takes numbers only.
        let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        let mode = libc::SECCOMP_MODE_FILTER;
        // SAFETY: `program` and the filter that it points to outlive the call, which copies them.
        let filtered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &program) };
        match (promised, filtered) {
            (0, 0) => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(install) };
}

#[test]
fn a_box_that_lacks_nothing_is_told_so_by_the_exit_code() {
    let folder = stated(free_address(), "");
    let output = folder.daedal(&LOOK).output().unwrap();
    // 2: the machine may limit socket buffers, which says so.
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}", said(&output));
    let text = said(&output);
    says(&text, &["memlock", "io_uring", "capabilities", "huge pages", "descriptors", "udp"]);
    assert!(!text.contains("missing"), "{text}");
}

#[test]
fn every_driver_is_listed_with_what_keeps_it_away_and_what_mends_that() {
    let lists = |text: &str| {
        says(text, &["shm           shm (rings from 0 peers", "udp           kernel ("]);
        says(text, &["no       xdp           driver xdp ", "no       dpdk          driver dpdk "]);
        says(text, &["so            the other drivers move its frames", "mend it by"]);
    };
    // A loopback is no Ethernet. Who is not asked for is no reason for another exit code than the rest has.
    let folder = stated(free_address(), "");
    let text = said(&folder.daedal(&LOOK).output().unwrap());
    lists(&text);
    says(
        &text,
        &["none is stated, this is the best: shm to boxes of this host, the kernel to all"],
    );
    let folder = stated(free_address(), "driver = \"kernel\"\n");
    let text = said(&folder.daedal(&LOOK).output().unwrap());
    lists(&text);
    assert!(!text.contains("none is stated"), "{text}");
    // A box that chooses says so when it starts.
    let folder = stated(free_address(), "");
    let process = Process::start(&folder, &START);
    process.await_words("driver: none is stated, this is the best: shm to boxes of this host");
    process.await_words("driver xdp ");
    process.await_words("driver dpdk ");
}

#[test]
fn an_occupied_port_is_named_with_the_command_that_shows_by_whom() {
    let address = free_address();
    let _holder = UdpSocket::bind(address).unwrap();
    let folder = stated(address, "");
    let shown = format!("`ss -lunp 'sport = :{}'`", address.port());
    says(&look(&mut folder.daedal(&LOOK), 1), &["missing", "is taken", &shown]);
    says(&folder.refused(&START), &["is taken; the box does not start", &shown]);
}

#[test]
fn too_few_descriptors_are_named_with_how_many_it_takes() {
    let folder = stated(free_address(), "");
    let few = ["prlimit", "--nofile=70"];
    let words = ["70 may be open, 144 are needed", "the box does not start", "`ulimit -n 1024`"];
    says(&look(&mut behind(&folder, &few, &LOOK), 1), &words);
    says(&look(&mut behind(&folder, &few, &START), 1), &words);
}

/// May these be put before a command?
fn may(before: &[&str]) -> bool {
    let run = Command::new(before[0]).args(&before[1..]).arg("true").output();
    run.is_ok_and(|it| it.status.success())
}

#[test]
fn too_little_memlock_for_xdp_is_named_and_a_box_that_is_told_no_driver_takes_another() {
    let little = ["prlimit", "--memlock=1048576", "setpriv", "--bounding-set=-ipc_lock"];
    let little = [&little[..], &["--inh-caps=-all"]].concat();
    let dropped = if may(&little) { Ok(()) } else { Err("setpriv may drop none here".to_owned()) };
    let Some(lab) = required("xdp", dropped.and_then(|()| Lab::pair())) else { return };
    let address = SocketAddr::from(([10, 0, 0, 2], 7200));
    let within = |command: &mut Command, code| lab.within(1, || look(command, code));
    let words = [
        "driver xdp locks 24576 KiB of buffers, and all processes of its user may lock 1024 KiB",
        "`ulimit -l 24576`",
        "`docker run --ulimit memlock=25165824`",
        "LimitMEMLOCK=24576K",
        "`setcap cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock+ep $(readlink -f",
    ];
    for driver in ["xdp", "shm+xdp"] {
        let folder = stated(address, &format!("reactors = 2\ndriver = \"{driver}\"\n"));
        let text = within(&mut behind(&folder, &little, &LOOK), 1);
        says(&text, &[&words[..], &["missing  memlock "]].concat());
        assert_eq!(text.matches("missing").count(), 1, "{text}");
        says(
            &within(&mut behind(&folder, &little, &START), 1),
            &[&words[..], &["the box does not start"]].concat(),
        );
    }
    let folder = stated(address, "reactors = 2\n");
    let text = lab.within(1, || said(&behind(&folder, &little, &LOOK).output().unwrap()));
    says(&text, &words);
    says(
        &text,
        &["no       xdp ", "this is the best: shm to boxes of this host, the kernel to all"],
    );
    assert!(!text.contains("missing"), "{text}");
    lab.within(1, || starts_with_less(behind(&folder, &little, &START), &folder, &words));
}

#[test]
fn a_port_that_needs_a_capability_is_named_when_that_was_dropped() {
    let address = SocketAddr::from(([127, 0, 0, 1], 799));
    let folder = stated(address, "");
    let dropped = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-all"];
    let words = [
        "port 799 needs CAP_NET_BIND_SERVICE",
        "the box does not start",
        "`setcap cap_net_bind_service=+ep",
    ];
    if !may(&dropped) {
        println!("skipped: dropped capabilities: setpriv may not drop any here");
        return;
    }
    says(&look(&mut behind(&folder, &dropped, &LOOK), 1), &words);
    says(&look(&mut behind(&folder, &dropped, &START), 1), &words);
}

/// A box by this device of DPDK's.
#[cfg(feature = "dpdk")]
fn by_dpdk(device: &str) -> Folder {
    stated(free_address(), &format!("driver = \"dpdk:{device}\"\n"))
}

/// Neither looked at nor started does it panic, and each time it says these words, and ends with 1.
#[cfg(feature = "dpdk")]
#[track_caller]
fn dpdk_refuses(folder: &Folder, words: &[&str]) {
    for (arguments, more) in [(&LOOK, "missing  dpdk "), (&START, "the box does not start")] {
        let text = look(&mut folder.daedal(arguments), 1);
        says(&text, words);
        says(&text, &[more]);
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
#[cfg(feature = "dpdk")]
fn dpdk_without_huge_pages_is_told_how_to_set_some_aside_or_do_without() {
    let did_not =
        ["device net_null0: DPDK did not start with `", "why stands above, on standard error"];
    let without = ["Cannot get hugepage information", "sets some) write ` --no-huge -m 256` there"];
    let words = [did_not, without].concat();
    // Where there is no such folder none can be had, however many are set aside.
    dpdk_refuses(&by_dpdk("net_null0 --huge-dir=/no/such"), &words);
    let aside = std::fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap();
    if aside.trim() != "0" {
        println!("skipped: DPDK without huge pages: {} are set aside here", aside.trim());
        return;
    }
    let none = [
        "none are set aside, and driver dpdk wants some",
        "`sysctl -w vm.nr_hugepages=512`, or write",
    ];
    let folder = by_dpdk("net_null0");
    dpdk_refuses(&folder, &[&words[..], &none].concat());
    says(&look(&mut folder.daedal(&LOOK), 1), &["missing  huge pages "]);
}

#[test]
#[cfg(feature = "dpdk")]
fn options_that_dpdk_does_not_start_with_are_named_and_nothing_is_left_behind() {
    let words =
        ["`--no-huge -m 64 --no-such ", "unrecognized option '--no-such'", "Invalid argument"];
    dpdk_refuses(&by_dpdk("net_null0 --no-huge -m 64 --no-such"), &words);
    let name = format!("daedal-test-{}", std::process::id());
    let device =
        format!("net_null0 --vdev=net_null0 --vdev=net_such0 --no-huge --file-prefix={name}");
    let words = ["DPDK did not start with `--vdev=net_null0 ", "'net_such0'", "mend those options"];
    let folder = by_dpdk(&device);
    dpdk_refuses(&folder, &words);
    for runs in ["/var/run".as_ref(), folder.path()] {
        assert!(!runs.join("dpdk").join(&name).exists(), "{runs:?}");
    }
}

#[test]
#[cfg(feature = "dpdk")]
fn a_device_that_dpdk_makes_by_vdev_is_the_boxs_port() {
    for device in ["net_null0 --vdev=net_null0,copy=1", "--vdev net_null0", "net_null0,copy=1"] {
        let folder = by_dpdk(&format!("{device} --no-huge -m 64"));
        let text = look(&mut folder.daedal(&LOOK), 0);
        says(&text, &["ok       dpdk          net_null0 by net_null, rings of "]);
        Process::start(&folder, &START).await_words("is at ");
    }
    let text = look(&mut by_dpdk("net_null0 --vdev=net_null1 --no-huge").daedal(&LOOK), 1);
    says(
        &text,
        &["system.toml:7: box \"a\": driver: \"net_null0\" is none of those that `--vdev` makes"],
    );
}

#[test]
#[cfg(feature = "dpdk")]
fn a_device_of_vdev_listens_where_a_killed_dpdk_left_its_socket_and_not_where_another_does() {
    let folder = Folder::new();
    let path = folder.path().join("memif");
    let device = format!("net_memif0,role=server,socket-abstract=no,socket={}", path.display());
    let by_device = by_dpdk(&format!("--vdev={device} --no-huge -m 64"));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    dpdk_refuses(
        &by_device,
        &["somebody has its socket ", "/memif already", "end that process, or give the device"],
    );
    drop(listener);
    says(
        &look(&mut by_device.daedal(&LOOK), 0),
        &["ok       dpdk          net_memif0 by net_memif"],
    );
}

#[test]
#[cfg(not(feature = "glommio"))]
fn a_build_without_glommio_says_so_and_takes_the_thread() {
    let folder = stated(free_address(), GLOMMIO);
    let words =
        ["this build has no glommio", "reactors run on bare threads", "--features glommio`"];
    says(&look(&mut folder.daedal(&LOOK), 2), &words);
    starts_with_less(folder.daedal(&START), &folder, &words);
}

#[test]
#[cfg(feature = "glommio")]
fn a_box_runs_on_glommio_and_says_so() {
    let folder = stated(free_address(), GLOMMIO);
    let process = Process::start(&folder, &START);
    process.await_words("on executor glommio");
    let folder = stated(free_address(), "");
    let process = Process::start(&folder, &[&START[..], &["--executor", "glommio"]].concat());
    process.await_words("on executor glommio");
}

#[test]
#[cfg(feature = "glommio")]
fn too_little_memlock_is_named_and_the_box_takes_the_thread() {
    let folder = stated(free_address(), GLOMMIO);
    let little = ["prlimit", "--memlock=65536"];
    let words = ["64 KiB may be locked", "reactors run on bare threads", "`ulimit -l 512`"];
    says(&look(&mut behind(&folder, &little, &LOOK), 2), &words);
    starts_with_less(behind(&folder, &little, &START), &folder, &words);
}

#[test]
#[cfg(feature = "glommio")]
fn a_filter_that_refuses_io_uring_is_named_and_the_box_takes_the_thread() {
    let folder = stated(free_address(), GLOMMIO);
    let words = ["reactors run on bare threads", "--security-opt seccomp=unconfined"];
    let mut filtered = folder.daedal(&LOOK);
    without_io_uring(&mut filtered);
    says(&look(&mut filtered, 2), &words);
    let mut filtered = folder.daedal(&START);
    without_io_uring(&mut filtered);
    starts_with_less(filtered, &folder, &words);
}
