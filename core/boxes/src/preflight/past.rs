//! What drivers that go past the kernel need of it: rights, memory that stays where it is, rings, huge pages. Of the others it
//! is said that they need none.

use std::fs;

use daedal_net::driver::xdp::{self, Interface};
use daedal_net::driver::{DriverKind, OR_BY_THE_KERNEL, shm};
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;

use super::{Finding, Needs, Taken};
use crate::executor::Executor;

fn granted() -> CapabilitySet {
    rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |it| it.effective)
}

/// Rights that the driver xdp needs: to programs on interfaces, and to raw sockets.
pub(super) fn rights() -> Finding {
    const WHAT: &str = "capabilities";
    let names = [
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
        (CapabilitySet::NET_RAW, "CAP_NET_RAW"),
        (CapabilitySet::BPF, "CAP_BPF"),
    ];
    let has = granted();
    let lacks: Vec<_> = names.iter().filter(|(it, _)| !has.contains(*it)).map(|it| it.1).collect();
    if lacks.is_empty() {
        return Finding::ok(WHAT, "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, for driver xdp");
    }
    Finding::missing(
        WHAT,
        format!("driver xdp needs {}, which this process has not", lacks.join(", ")),
        format!("{}{OR_BY_THE_KERNEL}", xdp::GRANTS),
    )
}

/// Memory that may be locked, for the driver; an executor that locks some says so itself.
pub(super) fn memlock(needs: &Needs, driver: DriverKind) -> Option<Finding> {
    match driver {
        DriverKind::Xdp(_) | DriverKind::ShmXdp(..) => Some(locked(needs.reactors)),
        #[cfg(feature = "dpdk")]
        DriverKind::Dpdk(_) => {
            let found = format!("a card of vfio-pci locks all that DPDK has, and {}", may_lock().1);
            Some(Finding::ok(MEMLOCK, found))
        }
        _ if needs.executor == Executor::Glommio => None,
        _ => Some(Finding::ok(MEMLOCK, format!("not needed: executor thread, driver {driver}"))),
    }
}

const MEMLOCK: &str = "memlock";

/// How many bytes may be locked, or any, and that in words.
fn may_lock() -> (Option<u64>, String) {
    if granted().contains(CapabilitySet::IPC_LOCK) {
        return (None, "CAP_IPC_LOCK allows it".to_owned());
    }
    match getrlimit(Resource::Memlock).current {
        Some(bytes) => {
            (Some(bytes), format!("all processes of its user may lock {} KiB", bytes >> 10))
        }
        None => (None, "as much as there is may be locked".to_owned()),
    }
}

/// What so many reactors of the driver xdp lock, and whether they may.
pub(super) fn locked(reactors: u8) -> Finding {
    let needed = xdp::LOCKED_BYTES * u64::from(reactors);
    let (limit, may) = may_lock();
    let found = format!("driver xdp locks {} KiB of buffers, and {may}", needed >> 10);
    match limit {
        Some(limit) if limit < needed => {
            Finding::missing(MEMLOCK, found, xdp::to_lock(needed) + OR_BY_THE_KERNEL)
        }
        _ => Finding::ok(MEMLOCK, found),
    }
}

/// Where programs are pinned: nothing of ours is.
pub(super) fn bpffs(driver: DriverKind) -> Finding {
    let why = match driver {
        DriverKind::Xdp(_) | DriverKind::ShmXdp(..) => ", which holds its program by a descriptor",
        _ => "",
    };
    Finding::ok("bpffs", format!("not needed: driver {driver}{why}"))
}

/// Rings of descriptors, and of slots. Those that a card reads by itself it reads into rings of its own.
pub(super) fn rings(needs: &Needs, driver: DriverKind, taken: &Taken) -> Option<Finding> {
    let of_shm = |options| {
        let slots = shm::Config::new(needs.address, options).slots;
        format!("{slots} slots for each peer and direction")
    };
    match (driver, taken) {
        (DriverKind::Kernel, _) => Some(Finding::ok(RINGS, "not needed: driver kernel")),
        (DriverKind::Shm(options), _) => Some(Finding::ok(RINGS, of_shm(options))),
        (DriverKind::Xdp(options), Taken::Interface(it)) => Some(rings_of_xdp(needs, it, options)),
        (DriverKind::ShmXdp(shm, options), Taken::Interface(it)) => {
            let finding = rings_of_xdp(needs, it, options);
            Some(Finding { found: format!("{}; {}", of_shm(shm), finding.found), ..finding })
        }
        // There is none to look at, or it says so itself.
        _ => None,
    }
}

const RINGS: &str = "rings";

fn rings_of_xdp(needs: &Needs, interface: &Interface, options: xdp::Options) -> Finding {
    let ours = xdp::Config::new(needs.address, 0, interface);
    let xdp::Config { frames, receive_buffers, receive_ring, send_ring, .. } = ours;
    let (name, cards) = (interface.name(), interface.rings());
    let own = cards.map_or("none that are told".to_owned(), |[rx, tx]| format!("{rx} and {tx}"));
    let found = format!(
        "{receive_ring} entries to receive by and {send_ring} to send by, {receive_buffers} buffers and {frames} frames \
         a reactor; {name} has {own}"
    );
    if cards.is_none_or(|it| !options.zero_copy || fits(it, [receive_ring, send_ring])) {
        return Finding::ok(RINGS, found);
    }
    let follows = "the card refuses zero-copy, or has fewer buffers than it looks for";
    let mend =
        format!("`ethtool -G {name} rx {receive_ring} tx {send_ring}`, or fewer, a power of two");
    Finding::less(RINGS, found, follows, mend)
}

/// Whether a card that reads our rings by itself fills its own from them.
/// Source: linux v6.6 drivers/net/ethernet/intel/ice/ice_xsk.c, `ice_xsk_pool_setup`.
fn fits(cards: [u32; 2], ours: [usize; 2]) -> bool {
    cards.into_iter().zip(ours).all(|(card, our)| card.is_power_of_two() && card as usize <= our)
}

/// For those who look for them: of the drivers only dpdk uses them, unless it is told not to.
pub(super) fn huge_pages(driver: DriverKind) -> Finding {
    let count = huge_pages_count();
    #[cfg(feature = "dpdk")]
    if matches!(driver, DriverKind::Dpdk(options) if options.wants_huge_pages()) {
        const WHAT: &str = "huge pages";
        if count > 0 {
            return Finding::ok(WHAT, format!("{count} are set aside, for driver dpdk"));
        }
        return Finding::missing(
            WHAT,
            "none are set aside, and driver dpdk wants some",
            "`sysctl -w vm.nr_hugepages=512`, or write ` --no-huge -m 256` behind the device in the system file",
        );
    }
    Finding::ok("huge pages", format!("not needed: driver {driver} ({count} are set aside)"))
}

/// How many are set aside.
pub(super) fn huge_pages_count() -> u64 {
    let text = fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cards_rings_are_filled_from_ours_if_they_are_no_longer_and_powers_of_two() {
        let check = |cards, expect| assert_eq!(fits(cards, [2048, 1024]), expect, "{cards:?}");
        check([2048, 1024], true);
        check([256, 256], true);
        check([4096, 1024], false);
        check([2048, 2048], false);
        check([1000, 512], false);
        check([512, 0], false);
    }
}
