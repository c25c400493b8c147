use std::net::UdpSocket;

use daedal_net::driver::OR_BY_THE_KERNEL;

use super::*;

fn needs() -> Needs {
    Needs {
        address: "127.0.0.1:0".parse().unwrap(),
        reactors: 1,
        executor: Executor::Thread,
        driver: Some(DriverKind::Kernel),
        idle: Idle::Frugal,
        cpus: Vec::new(),
        writes: vec![std::env::temp_dir().join("file")],
        pcaps: Vec::new(),
    }
}

/// The only finding of this standing.
#[track_caller]
fn only(needs: &Needs, standing: Standing) -> Finding {
    let preflight = check(needs);
    // How large socket buffers may be is the machine's to say.
    let mut found = preflight.with(standing).filter(|it| it.what != "udp");
    let first = found.next().unwrap_or_else(|| panic!("{:?}", preflight.findings)).clone();
    assert_eq!(found.next(), None);
    first
}

#[test]
fn a_box_that_has_all_it_needs_is_told_so_of_each_thing() {
    let preflight = check(&needs());
    assert_eq!(preflight.with(Standing::Missing).next(), None);
    assert_eq!((preflight.executor, preflight.idle), (Executor::Thread, Idle::Frugal));
    let all = ["memlock", "io_uring", "capabilities", "huge pages", "descriptors", "memory"];
    for what in all.iter().chain(&["bpffs", "rings", "cores", "port", "udp", "files"]) {
        assert!(preflight.findings.iter().any(|it| it.what == *what), "{what}");
    }
}

#[test]
fn a_taken_port_is_found_on_whichever_reactor() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let first = SocketAddr::new(taken.ip(), taken.port() - 1);
    let finding = only(&Needs { address: first, reactors: 2, ..needs() }, Standing::Missing);
    assert!(finding.found.contains(&taken.port().to_string()), "{finding}");
    assert!(finding.mend.contains("`ss -lunp"), "{finding}");
}

#[test]
fn an_address_that_is_elsewhere_is_found() {
    let address = "192.0.2.1:7000".parse().unwrap();
    let finding = only(&Needs { address, ..needs() }, Standing::Missing);
    assert!(finding.found.contains("not an address of this host"), "{finding}");
}

#[test]
fn reactors_that_would_spin_on_each_others_cores_are_balanced() {
    let needs = Needs { reactors: 255, idle: Idle::Latency, ..needs() };
    let preflight = check(&needs);
    assert_eq!(preflight.idle, Idle::Balanced);
    let cores = preflight.findings.iter().find(|it| it.what == "cores").unwrap();
    assert_eq!(cores.standing, Standing::Less);
}

#[test]
fn cores_and_folders_that_are_not_there_are_found() {
    let finding = only(&Needs { cpus: vec![0, 100_000], ..needs() }, Standing::Missing);
    assert!(finding.found.contains("core 100000"), "{finding}");
    let writes = vec!["/no/such/folder/journal".into()];
    let finding = only(&Needs { writes, ..needs() }, Standing::Missing);
    assert!(finding.mend.contains("mkdir -p /no/such/folder"), "{finding}");
}

#[test]
fn files_for_frames_that_cannot_be_written_are_found() {
    // A folder, whoever runs this; and a file in none.
    for pcap in [std::env::temp_dir(), "/no/such/folder/a.pcap".into()] {
        let finding = only(&Needs { pcaps: vec![pcap.clone()], ..needs() }, Standing::Missing);
        assert!(finding.found.contains(&*pcap.display().to_string()), "{finding}");
        assert!(finding.mend.contains("`pcap` in the system file"), "{finding}");
    }
    let file = std::env::temp_dir().join(format!("daedal-{}.pcap", std::process::id()));
    let needs = Needs { pcaps: vec![file.clone()], ..needs() };
    assert_eq!(check(&needs).with(Standing::Missing).next(), None);
    assert!(!file.exists(), "who only looks makes no file");
    std::fs::write(&file, "kept").unwrap();
    assert_eq!(check(&needs).with(Standing::Missing).next(), None);
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_box_of_shared_memory_needs_no_rights_and_is_told_of_who_has_its_name() {
    let shm = Needs { driver: Some("shm".parse().unwrap()), ..needs() };
    let preflight = check(&shm);
    assert_eq!(preflight.with(Standing::Missing).next(), None);
    let found =
        |what: &str| preflight.findings.iter().find(|it| it.what == what).unwrap().found.clone();
    assert!(found("shm").starts_with("shm (rings from 0 peers, to 0; aside: kernel ("));
    assert!(found("capabilities").starts_with("none needed: driver shm"));

    let (address, _squatter) = with_its_name_taken();
    let finding = only(&Needs { address, ..shm }, Standing::Missing);
    assert_eq!(finding.what, "shm");
    assert!(finding.mend.starts_with("end it (`ss -lxp` shows it)"), "{finding}");
    assert!(finding.mend.ends_with(OR_BY_THE_KERNEL), "{finding}");
}

/// An address at whose name for shared memory somebody else listens.
fn with_its_name_taken() -> (SocketAddr, std::os::fd::OwnedFd) {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, socket};

    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let name = SocketAddrUnix::new_abstract_name(format!("daedal-shm/{address}").as_bytes());
    let taken = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&taken, &name.unwrap()).unwrap();
    (address, taken)
}

#[test]
fn who_is_told_no_driver_has_the_best_that_works_and_hears_why_it_has_no_other() {
    let noted = |needs: &Needs| {
        let preflight = check(needs);
        let notes = preflight.notes().filter(|it| it.what != "udp").map(|it| it.what);
        (preflight.driver.to_string(), notes.collect::<Vec<_>>())
    };
    let untold = Needs { driver: None, ..needs() };
    assert_eq!(noted(&untold), ("shm".into(), vec![Finding::CHOICE, "xdp", "dpdk"]));
    assert!(check(&untold).standing() < Standing::Missing);
    let (address, _squatter) = with_its_name_taken();
    let untold = Needs { address, ..untold };
    assert_eq!(noted(&untold), ("kernel".into(), vec![Finding::CHOICE, "shm", "xdp", "dpdk"]));
    for finding in check(&untold).with(Standing::Without) {
        assert!(!finding.mend.is_empty() && !finding.mend.contains(OR_BY_THE_KERNEL), "{finding}");
    }
    // Who is told has what he is told, whatever else could be had.
    assert_eq!(noted(&needs()), ("kernel".into(), vec![]));
    let others: Vec<_> = other_drivers(&needs()).iter().map(|it| (it.what, it.standing)).collect();
    let expect = [("shm", Standing::Ok), ("xdp", Standing::Without), ("dpdk", Standing::Without)];
    assert_eq!(others, expect);
}

#[test]
#[cfg(not(feature = "glommio"))]
fn a_build_without_glommio_says_how_to_get_one_and_takes_the_thread() {
    let needs = Needs { executor: Executor::Glommio, ..needs() };
    assert_eq!(check(&needs).executor, Executor::Thread);
    assert!(only(&needs, Standing::Less).mend.contains("--features glommio"));
}
