//! DPDK's own wires between two processes, over memory that both share: memif, and virtio_user with vhost.

use std::path::PathBuf;

use daedal::net::driver::DriverKind;

/// What DPDK itself is told.
const EAL: &str = "--no-huge -m 128";

/// A wire, and the socket by which both processes find its memory. The socket goes with this value.
pub struct Wire {
    kind: Kind,
    socket: PathBuf,
}

#[derive(Clone, Copy)]
enum Kind {
    Memif,
    VirtioUser,
}

impl Wire {
    /// That of a case's driver, if it has one.
    pub fn of(driver: &str) -> Option<Wire> {
        let kind = match driver {
            "dpdk:memif" => Kind::Memif,
            "dpdk:virtio_user" => Kind::VirtioUser,
            _ => return None,
        };
        let name = format!("daedal-bench-{}.sock", std::process::id());
        Some(Wire { kind, socket: std::env::temp_dir().join(name) })
    }

    /// That of the first process, which is there before the other, and of the second.
    pub fn drivers(&self) -> [String; 2] {
        let at = self.socket.display();
        let devices = match self.kind {
            Kind::Memif => ["server", "client"]
                .map(|role| format!("net_memif0,role={role},id=0,socket={at},socket-abstract=no")),
            Kind::VirtioUser => [
                format!("net_vhost0,iface={at},queues=1"),
                format!("net_virtio_user0,path={at},queues=1,mac=02:00:00:00:00:02"),
            ],
        };
        devices.map(|device| format!("dpdk:{device} {EAL}"))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // DPDK may have removed it.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// # Errors
/// How to get a build that has the driver, for people.
pub fn is_in_this_build() -> Result<(), String> {
    let how = "`apt-get install libdpdk-dev pkg-config`, then \
               `cargo run --release -p daedal-cli --features dpdk -- bench remote --driver dpdk:memif`";
    if DriverKind::NAMES.contains(&"dpdk") {
        Ok(())
    } else {
        Err(format!("driver dpdk is not in this build; {how}"))
    }
}
