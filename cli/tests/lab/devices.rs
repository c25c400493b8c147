//! A box by a device of DPDK's that leads to another process: kill -9 of either in the middle of a load, and its coming
//! back. The other process is a wire to the box's peers.
//!
//! Each device is one end of a socket, at which one listens and to which the other goes. DPDK 22.11 has who listens take
//! in who comes again, and of those who go vhost alone goes again: a memif or virtio_user that went to one who was killed
//! stays without, and its box says so.

use std::path::PathBuf;

use crate::system::load::{beside_load, check_whole, keys, kill_under_load, now};
use crate::system::{Process, System, until};
use crate::{by_dpdk, pair, wire};

/// Devices of a wire and of a box, with their socket at PATH.
struct Kind {
    wire: &'static str,
    device: &'static str,
    is_server: bool,
    /// The box does not start before there is a wire.
    comes_to_wire: bool,
}

const MEMIF_CLIENT: Kind = Kind {
    wire: "net_memif1,role=server,id=0,socket=PATH,socket-abstract=no",
    device: "net_memif0,role=client,id=0,socket=PATH,socket-abstract=no",
    is_server: false,
    comes_to_wire: true,
};
const MEMIF_SERVER: Kind = Kind {
    wire: "net_memif1,role=client,id=0,socket=PATH,socket-abstract=no",
    device: "net_memif0,role=server,id=0,socket=PATH,socket-abstract=no",
    is_server: true,
    comes_to_wire: false,
};
const VIRTIO_USER: Kind = Kind {
    wire: "net_vhost1,iface=PATH,queues=1",
    device: "net_virtio_user0,path=PATH,queues=1",
    is_server: false,
    comes_to_wire: true,
};
const VHOST: Kind = Kind {
    wire: "net_virtio_user1,path=PATH,queues=1",
    device: "net_vhost0,iface=PATH,queues=1",
    is_server: true,
    comes_to_wire: false,
};
/// The same two, each in the other's place.
const VIRTIO_USER_SERVER: Kind = Kind {
    wire: "net_vhost1,iface=PATH,queues=1,client=1",
    device: "net_virtio_user0,path=PATH,queues=1,server=1",
    is_server: true,
    comes_to_wire: true,
};
const VHOST_CLIENT: Kind = Kind {
    wire: "net_virtio_user1,path=PATH,queues=1,server=1",
    device: "net_vhost0,iface=PATH,queues=1,client=1",
    is_server: false,
    comes_to_wire: false,
};

impl Kind {
    fn start_wire(&self, system: &System) -> Process {
        let path = self.path(system);
        let device = self.wire.replace("PATH", path.to_str().unwrap());
        let listens = (!self.is_server).then_some(path.as_path());
        let lab = system.lab.as_ref().unwrap();
        lab.within(1, || {
            wire::start(&system.folder, ["net_af_packet1,iface=lab", &device], listens)
        })
    }

    fn path(&self, system: &System) -> PathBuf {
        system.folder.path().join("wire.sock")
    }

    /// A system whose box `b` is behind a wire.
    fn started(&self) -> Option<(System, Process)> {
        let mut system = System::stated_between(pair("dpdk")?);
        let device = self.device.replace("PATH", self.path(&system).to_str().unwrap());
        system = by_dpdk(system, &format!("{device} mac=02:00:00:00:00:22 --no-huge -m 128"));
        let wire = self.comes_to_wire.then(|| self.start_wire(&system));
        system.start_box_with("b", &["--metrics", "127.0.0.1:0", "--log", "info"]);
        let wire = wire.unwrap_or_else(|| self.start_wire(&system));
        system.start_box("controller");
        system.start_box("a");
        system.await_service();
        Some((system, wire))
    }
}

#[test]
fn a_box_by_dpdk_that_is_killed_under_load_comes_back_to_who_is_behind_its_device() {
    for kind in [MEMIF_CLIENT, VIRTIO_USER, VIRTIO_USER_SERVER, VHOST_CLIENT] {
        let Some((mut system, _wire)) = kind.started() else { return };
        kill_under_load(&mut system);
    }
}

/// Nothing of the box is lost: it lives.
#[test]
fn a_box_by_dpdk_goes_on_when_who_is_behind_its_device_is_killed_under_load_and_comes_back() {
    for kind in [MEMIF_SERVER, VHOST, VIRTIO_USER_SERVER, VHOST_CLIENT] {
        let Some((mut system, mut wire)) = kind.started() else { return };
        let (counters, all) = keys();
        let histories = beside_load(&mut system, &counters, |system, progress| {
            for round in 1..=2 {
                // It looks once a second: who came and went meanwhile was not there.
                let b = &system.processes["b"];
                let says = |what: &str| {
                    until("its log to say so", || b.said().matches(what).count() == round);
                };
                says("a port is up");
                wire.kill();
                says("a port is down");
                sleeps_alone(system);
                wire = kind.start_wire(system);
                progress();
            }
        });
        let mut client = system.client();
        for key in &all {
            check_whole(&histories, key, now(&mut client, key));
        }
    }
}

/// With nobody at its port's other end box `b` goes on taking turns, and most of them find nothing.
fn sleeps_alone(system: &System) {
    let counts = || {
        let metrics = system.metrics("b");
        ["turns_busy_total", "parks_total"].map(|it| metrics.sample(it, 0))
    };
    let before = counts();
    until("it to sleep", || counts()[1] >= before[1] + 500);
    let [turns, parks] = [0, 1].map(|it| counts()[it] - before[it]);
    assert!(turns <= parks / 5, "{turns} turns found something, {parks} sleeps");
}

/// DPDK 22.11 has a memif and a virtio_user go to their server when they are made, and not again.
#[test]
fn a_box_by_dpdk_whose_device_goes_to_another_once_says_so_when_that_one_is_gone_and_serves_when_started_again()
 {
    for kind in [MEMIF_CLIENT, VIRTIO_USER] {
        let Some((mut system, mut wire)) = kind.started() else { return };
        wire.kill();
        let b = &system.processes["b"];
        b.await_words("who was at its other end is gone");
        b.await_words("start this box again");
        let _wire = kind.start_wire(&system);
        system.kill("b");
        system.start_box("b");
        system.await_service();
    }
}
