//! Sockets at which virtual devices listen for another process. One that was killed leaves its socket's file behind, and
//! DPDK listens at no file that is there already: such a file is removed. One that somebody has is left alone.
//!
//! Who looks does not connect: to a socket of another kind nobody can, and what is said then tells whether anybody has
//! it (unix(7): `EPROTOTYPE` or `ECONNREFUSED`).

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::error::Problem;

/// Where memif listens if it is not told.
const MEMIF: &str = "/run/memif.sock";

/// Whether a device goes to where another listens, and does not again when that one is gone: DPDK has a memif and a
/// virtio_user do so when they are made, and only there.
pub(super) fn goes_once(device: &str) -> bool {
    let says = |words: &[&str]| device.split(',').any(|it| words.contains(&it));
    match device {
        _ if device.starts_with("net_memif") => !says(&["role=server", "role=master"]),
        _ if device.starts_with("net_virtio_user") => !says(&["server=1"]),
        _ => false,
    }
}

/// The file at which a device will listen, if it does at one.
fn path(device: &str) -> Option<&str> {
    let (name, arguments) = device.split_once(',')?;
    let says = |key: &str| {
        let mut pairs = arguments.split(',').filter_map(|it| it.split_once('='));
        pairs.find(|it| it.0 == key).map(|it| it.1)
    };
    if name.starts_with("net_memif") {
        let is_server = matches!(says("role"), Some("server" | "master"));
        let is_file = says("socket-abstract") == Some("no");
        return (is_server && is_file).then(|| says("socket").unwrap_or(MEMIF));
    }
    let is_one = |key| says(key).is_some_and(|it| it != "0");
    if name.starts_with("net_vhost") {
        return says("iface").filter(|_| !is_one("client"));
    }
    if name.starts_with("net_virtio_user") {
        return says("path").filter(|_| is_one("server"));
    }
    None
}

/// Makes room for a device that will listen. It is not tried where somebody else does: of some kinds one that cannot
/// listen takes the other's file away when it goes.
/// # Errors
/// [`Problem::SocketTaken`].
pub(super) fn make_room(device: &str) -> Result<(), Problem> {
    let Some(path) = path(device) else { return Ok(()) };
    match is_left_over(Path::new(path)) {
        Ok(false) => return Err(Problem::SocketTaken { path: path.into() }),
        Ok(true) => match fs::remove_file(path) {
            Ok(()) => tracing::info!(device, path, "removed the socket of a process that ended"),
            Err(error) => {
                tracing::warn!(device, path, %error, "the socket of a process that ended stays");
            }
        },
        // There is none, or none that can be looked at: DPDK says why.
        Err(_) => {}
    }
    Ok(())
}

/// Whether nobody has the socket whose file this is.
fn is_left_over(path: &Path) -> io::Result<bool> {
    // To other files nobody can connect either.
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let connected = UnixDatagram::unbound()?.connect(path);
    Ok(connected.is_err_and(|it| it.kind() == ErrorKind::ConnectionRefused))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn dpdk_devices_that_listen_at_a_file_are_told_from_others() {
        for (device, expect) in [
            ("net_memif0,role=server,id=0,socket=/a,socket-abstract=no", Some("/a")),
            ("net_memif0,role=server,socket-abstract=no", Some(MEMIF)),
            ("net_memif0,role=server,socket=/a", None),
            ("net_memif0,role=client,socket=/a,socket-abstract=no", None),
            ("net_memif0", None),
            ("net_vhost0,iface=/a,queues=1", Some("/a")),
            ("net_vhost0,iface=/a,client=0", Some("/a")),
            ("net_vhost0,iface=/a,client=1", None),
            ("net_virtio_user0,path=/a,server=1", Some("/a")),
            ("net_virtio_user0,path=/a", None),
            ("net_af_packet0,iface=eth1", None),
            ("0000:03:00.0", None),
        ] {
            assert_eq!(path(device), expect, "{device}");
        }
    }

    #[test]
    fn dpdk_devices_that_go_to_another_once_are_told_from_those_that_others_come_to() {
        for (device, expect) in [
            ("net_memif0", true),
            ("net_memif0,role=client,id=0,socket=/a,socket-abstract=no", true),
            ("net_memif0,role=server,id=0,socket=/a,socket-abstract=no", false),
            ("net_virtio_user0,path=/a,queues=1", true),
            ("net_virtio_user0,path=/a,server=1", false),
            ("net_vhost0,iface=/a,queues=1", false),
            ("net_vhost0,iface=/a,client=1", false),
            ("net_af_packet0,iface=eth1", false),
            ("0000:03:00.0", false),
        ] {
            assert_eq!(goes_once(device), expect, "{device}");
        }
    }

    #[test]
    fn dpdk_removes_only_a_socket_that_nobody_has() {
        let folder = std::env::temp_dir().join(format!("daedal-sockets-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let text = path.to_str().unwrap();
        let device = format!("net_vhost0,iface={text}");
        make_room(&device).unwrap();

        let listener = UnixListener::bind(&path).unwrap();
        let error = make_room(&device).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("somebody has its socket {text} already; end ")),
            "{error}"
        );
        assert!(path.exists());
        // Who looked did not come by.
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(listener);
        make_room(&device).unwrap();
        assert!(!path.exists());

        fs::write(&path, "kept").unwrap();
        make_room(&device).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        fs::remove_dir_all(&folder).unwrap();
    }
}
