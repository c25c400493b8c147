//! Two processes, a spinning reactor each, joined by DPDK's own wires over memory that both share: memif, and virtio_user
//! with vhost.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use daedal::net::driver::DriverKind;

use super::figure::Found;
use super::remote::{Metric, between};

/// What DPDK itself is told.
const EAL: &str = "--no-huge -m 128";

/// Round trips over memif, one outstanding.
pub fn ask_by_memif() -> Found {
    measure(Metric::Ask, |socket| {
        let at = socket.display();
        ["server", "client"]
            .map(|role| format!("net_memif0,role={role},id=0,socket={at},socket-abstract=no"))
    })
}

/// Round trips between vhost and virtio_user, one outstanding.
pub fn ask_by_virtio_user() -> Found {
    measure(Metric::Ask, vhost_and_virtio_user)
}

/// Messages from virtio_user that are handled a second.
pub fn tell_by_virtio_user() -> Found {
    measure(Metric::Tell, vhost_and_virtio_user)
}

/// # Errors
/// How to get a build that has the driver, for people.
pub fn is_in_this_build() -> Result<(), String> {
    let how = "`apt-get install libdpdk-dev pkg-config`, then \
               `cargo run --release -p daedal-cli --features dpdk -- bench dpdk`";
    if DriverKind::NAMES.contains(&"dpdk") {
        Ok(())
    } else {
        Err(format!("driver dpdk is not in this build; {how}"))
    }
}

fn vhost_and_virtio_user(socket: &Path) -> [String; 2] {
    let at = socket.display();
    [
        format!("net_vhost0,iface={at},queues=1"),
        format!("net_virtio_user0,path={at},queues=1,mac=02:00:00:00:00:02"),
    ]
}

/// `devices`: those of the first process, which is there before the other, and of the second.
fn measure(metric: Metric, devices: impl FnOnce(&Path) -> [String; 2]) -> Found {
    let socket = Socket::new();
    let [first, second] = devices(&socket.0).map(|device| {
        let driver = format!("dpdk:{device} {EAL}").parse::<DriverKind>();
        driver.map_err(|why| why.unwrap_or_else(|| "driver dpdk is not in this build".into()))
    });
    let sockets = [1, 2].map(|end| SocketAddr::from(([10, 0, 0, end], 7000)));
    between(metric, sockets, [first?, second?])
}

/// By which both find their memory. It goes with this value.
struct Socket(PathBuf);

impl Socket {
    fn new() -> Socket {
        let name = format!("daedal-bench-{}.sock", std::process::id());
        Socket(std::env::temp_dir().join(name))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // DPDK may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}
