//! A wire between two devices of DPDK's, in a process of its own that may be killed: what one receives the other sends, as
//! it is. So a box whose device leads to another process (memif, vhost, virtio_user) is on the Ethernet of a lab.
//!
//! The process is this program again. It asks for no checksums: who is behind a device sees to them.

#![expect(unsafe_code, reason = "ports of a foreign library")]

use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dpdk_sys::{Mempool, Port, Seen};

use crate::system::{Folder, Process};

/// Names the devices.
const WIRE: &str = "DAEDAL_WIRE";
const EAL: &str =
    "daedal --no-huge -m 128 --no-pci --no-telemetry --no-shconf --log-level=error -l 0";
const BUFFERS: u32 = 8191;
const BUFFER_BYTES: u16 = 2048;
const BURST: usize = 32;
const ANY_SOCKET: i32 = -1;
/// Between two looks whether somebody is there: a device that listens takes in who comes back when it is looked at.
const LOOKS: u64 = 1000;
/// Between two looks at devices of which none had anything.
const PAUSE: Duration = Duration::from_micros(50);

/// Starts one, where this thread is. `listens`: the file at which one of the devices will.
pub fn start(folder: &Folder, devices: [&str; 2], listens: Option<&Path>) -> Process {
    if let Some(path) = listens.filter(|it| it.exists()) {
        // One that was killed left it behind.
        std::fs::remove_file(path).unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "wire::the_wire", "--nocapture"]).env(WIRE, devices.join(" "));
    let process = Process::start_command(folder, command);
    process.await_words("a wire, ready");
    process
}

/// Runs nothing, unless it is one.
#[test]
fn the_wire() {
    let Ok(devices) = std::env::var(WIRE) else { return };
    init();
    let pool = pool();
    let ports: Vec<u16> = devices.split(' ').map(|it| open(it, pool)).collect();
    println!("a wire, ready");
    for looks in 0u64.. {
        let moved = forward(ports[0], ports[1]) + forward(ports[1], ports[0]);
        if moved == 0 {
            std::thread::sleep(PAUSE);
        }
        if looks % LOOKS == 0 {
            ports.iter().for_each(|it| look(*it));
        }
    }
}

fn text(text: &str) -> CString {
    CString::new(text).expect("it has no zero byte")
}

fn init() {
    let prefix = format!("--file-prefix=daedal-wire-{}", std::process::id());
    let words: Vec<_> = EAL.split(' ').chain([prefix.as_str()]).map(text).collect();
    let words = words.leak();
    let mut pointers: Vec<_> = words.iter().map(|it| it.as_ptr().cast_mut()).collect();
    pointers.push(std::ptr::null_mut());
    // SAFETY: as many zero-terminated texts, and a null behind, which all stay.
    let said = unsafe { dpdk_sys::rte_eal_init(words.len() as i32, pointers.leak().as_mut_ptr()) };
    assert!(said >= 0, "rte_eal_init: {said}");
}

fn pool() -> *mut Mempool {
    let name = text("wire");
    // SAFETY: DPDK runs, and copies the name.
    let pool =
        unsafe { dpdk_sys::daedal_mempool(name.as_ptr(), BUFFERS, 0, BUFFER_BYTES, 0, ANY_SOCKET) };
    assert!(!pool.is_null());
    pool
}

/// The port of a device, started, with a queue each way.
fn open(device: &str, pool: *mut Mempool) -> u16 {
    let (name, device) = (text(device.split(',').next().unwrap()), text(device));
    // SAFETY: DPDK runs, and the text is terminated.
    assert_eq!(unsafe { dpdk_sys::rte_dev_probe(device.as_ptr()) }, 0, "{device:?}");
    let mut id = 0;
    // SAFETY: as above, and the place is ours.
    let found = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
    assert_eq!(found, 0, "{device:?}");
    let mut told = Port {
        driver: [0; 64],
        mac: [0; 6],
        mtu: 0,
        receive_entries: 1024,
        send_entries: 1024,
        receive_queues_max: 0,
        send_queues_max: 0,
        socket: ANY_SOCKET,
        checksums: 0,
    };
    // SAFETY: the port is there, and the place ours.
    assert_eq!(unsafe { dpdk_sys::daedal_port_describe(id, &raw mut told) }, 0);
    told.checksums = 0;
    // SAFETY: as above, and the port is stopped.
    assert_eq!(unsafe { dpdk_sys::daedal_port_configure(id, 1, &raw mut told) }, 0);
    // SAFETY: as above; the pool stays.
    assert_eq!(unsafe { dpdk_sys::daedal_port_queue(id, 0, &raw const told, pool) }, 0);
    // SAFETY: the port is there, and its queue is.
    assert_eq!(unsafe { dpdk_sys::rte_eth_dev_start(id) }, 0);
    // SAFETY: the port is there. Some hear all in any case, and say that they know no such call.
    let _ = unsafe { dpdk_sys::rte_eth_promiscuous_enable(id) };
    id
}

fn look(port: u16) {
    // SAFETY: the port is there.
    let _ = unsafe { dpdk_sys::daedal_port_is_up(port) };
}

/// Has one port send what the other received: how much that was. What is not taken is lost, as on any wire.
fn forward(from: u16, to: u16) -> usize {
    let mut seen = [Seen::NONE; BURST];
    // SAFETY: the port is there, there is room for so many, and there is one thread.
    let came = unsafe { dpdk_sys::daedal_receive(from, 0, seen.as_mut_ptr(), BURST as u16) };
    let mut mbufs: Vec<_> = seen[..came.into()].iter().map(|it| it.mbuf).collect();
    // SAFETY: as above; they are ours.
    let sent = unsafe { dpdk_sys::daedal_transmit(to, 0, mbufs.as_mut_ptr(), came) };
    let left = &mut mbufs[sent.into()..];
    // SAFETY: those were not taken.
    unsafe { dpdk_sys::daedal_free(left.as_mut_ptr(), left.len() as u32) };
    came.into()
}
