//! How a driver is asked for, as text: a device as DPDK writes it, then settings of ours, then options of DPDK's own.
//!
//! ```text
//! dpdk:0000:03:00.0
//! dpdk:net_af_packet0,iface=eth1 prefix=16 gateway=10.0.0.254 --no-huge -m 256
//! dpdk:prefix=16 --vdev=net_af_packet0,iface=eth1 --no-huge -m 256
//! ```
//!
//! A virtual device is written at the front, or made by `--vdev`: then it need not be named, if it is the only one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Mutex;

use crate::driver::headers::Mac;

/// A device, and how it is used. Parsed from, and shown as, what follows `dpdk:`.
///
/// The text is kept as long as the process: a system has few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options(&'static str);

/// What may be said, for errors.
pub const WORDS: &str = "prefix=BITS, gateway=ADDRESS, mac=ADDRESS, neighbour=ADDRESS@MAC; options of DPDK's follow, from \
                         the first that begins with -";

/// Longer texts are no device's.
const BYTES_MAX: usize = 1024;

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Name, PCI address, or name and arguments of a virtual device.
    pub device: &'static str,
    /// How many bits of the address are the network's.
    pub prefix: Option<u8>,
    /// Who forwards what goes to other networks.
    pub gateway: Option<IpAddr>,
    /// In place of the device's Ethernet address.
    pub mac: Option<Mac>,
    /// Those that are not asked after.
    pub neighbours: Vec<(IpAddr, Mac)>,
    /// DPDK's own.
    pub eal: Vec<&'static str>,
}

impl Options {
    /// Whether DPDK is to take its memory from huge pages, as it does unless it is told not to.
    pub fn wants_huge_pages(self) -> bool {
        !self.parts().eal.contains(&"--no-huge")
    }

    pub(super) fn parts(self) -> Parts {
        Parts::of(self.0).expect("it was looked at when it was parsed")
    }
}

impl Parts {
    fn of(text: &'static str) -> Result<Parts, String> {
        let mut words = text.split_ascii_whitespace().peekable();
        let mut parts = Parts::default();
        let device = words.next_if(|it| !it.starts_with('-') && !is_setting(it));
        while let Some(word) = words.next_if(|it| !it.starts_with('-')) {
            parts.take(word).ok_or_else(|| format!("{word:?} is none of: {WORDS}"))?;
        }
        parts.eal = words.collect();
        let made: Vec<_> = parts.made().collect();
        parts.device = match (device, &made[..]) {
            (Some(device), _) => agreed(device, &made)?,
            (None, [only]) => name(only),
            (None, _) => {
                return Err(format!(
                    "dpdk needs a device behind a colon, such as \"dpdk:0000:03:00.0\" or \
                     \"dpdk:net_af_packet0,iface=eth1\", or one `--vdev`, not {text:?}"
                ));
            }
        };
        Ok(parts)
    }

    /// The virtual devices that DPDK is to make when it starts, with their arguments.
    pub(super) fn made(&self) -> impl Iterator<Item = &'static str> {
        const OPTION: &str = "--vdev";
        let behind = self.eal.iter().skip(1).map(Some).chain([None]);
        self.eal.iter().zip(behind).filter_map(|(word, next)| match word.strip_prefix(OPTION)? {
            "" => next.copied(),
            value => value.strip_prefix('='),
        })
    }

    /// The device with its arguments, wherever these stand.
    pub(super) fn whole(&self) -> &'static str {
        let mut made = self.made();
        made.find(|it| name(it) == name(self.device)).unwrap_or(self.device)
    }

    fn take(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=')?;
        match name {
            "prefix" => self.prefix = Some(value.parse().ok().filter(|bits| *bits <= 128)?),
            "gateway" => self.gateway = Some(value.parse().ok()?),
            "mac" => self.mac = Some(mac_of(value)?),
            "neighbour" => {
                let (ip, mac) = value.split_once('@')?;
                self.neighbours.push((ip.parse().ok()?, mac_of(mac)?));
            }
            _ => return None,
        }
        Some(())
    }
}

fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map(|it| it.0);
    name.is_some_and(|it| ["prefix", "gateway", "mac", "neighbour"].contains(&it))
}

/// A device without its arguments.
pub(super) fn name(device: &str) -> &str {
    device.split(',').next().unwrap_or(device)
}

/// The device, if it goes with those that DPDK is to make: others may belong to it, as those of a bond do.
fn agreed(device: &'static str, made: &[&str]) -> Result<&'static str, String> {
    let is_made = made.iter().any(|it| name(it) == name(device));
    let has_arguments = device.contains(',');
    if is_made && has_arguments {
        let name = name(device);
        return Err(format!(
            "{device:?} is made by `--vdev` too, and once is enough: leave that out, or write {name:?} alone before it"
        ));
    }
    if let [first, ..] = made
        && !(is_made || has_arguments || device.contains(':'))
    {
        return Err(format!(
            "{device:?} is none of those that `--vdev` makes: write {:?} in its place, or its own arguments behind it, \
             as in \"{device},iface=eth1\"",
            name(first)
        ));
    }
    Ok(device)
}

/// An Ethernet address that a host may have.
fn mac_of(text: &str) -> Option<Mac> {
    let mut mac = Mac::default();
    let mut bytes = text.split(':');
    for byte in &mut mac {
        let text = bytes.next().filter(|it| it.len() == 2)?;
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    let is_hosts = mac[0] & 1 == 0 && mac != Mac::default();
    (bytes.next().is_none() && is_hosts).then_some(mac)
}

impl FromStr for Options {
    type Err = String;

    fn from_str(text: &str) -> Result<Options, String> {
        static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        if text.len() > BYTES_MAX || text.contains('\0') {
            return Err(format!("more than {BYTES_MAX} bytes, or a zero byte among them"));
        }
        let mut kept = KEPT.lock().unwrap_or_else(|it| it.into_inner());
        let known = kept.get(text).copied();
        let text = known.unwrap_or_else(|| Box::leak(text.into()));
        kept.insert(text);
        Parts::of(text).map(|_| Options(text))
    }
}

impl fmt::Display for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_settings_and_dpdks_own_options_are_told_apart() {
        let text = "net_memif0,role=server,id=0 prefix=16 gateway=10.0.0.254 mac=02:00:00:00:00:0a \
                    neighbour=10.0.0.2@02:00:00:00:00:02 --no-huge -m 256";
        let options: Options = text.parse().unwrap();
        assert_eq!(options.to_string(), text);
        let expect = Parts {
            device: "net_memif0,role=server,id=0",
            prefix: Some(16),
            gateway: Some([10, 0, 0, 254].into()),
            mac: Some([2, 0, 0, 0, 0, 10]),
            neighbours: vec![([10, 0, 0, 2].into(), [2, 0, 0, 0, 0, 2])],
            eal: vec!["--no-huge", "-m", "256"],
        };
        assert_eq!(options.parts(), expect);
        let made: Options = "prefix=16 --no-huge --vdev=net_tap0,iface=a".parse().unwrap();
        let eal = vec!["--no-huge", "--vdev=net_tap0,iface=a"];
        let expect = Parts { device: "net_tap0", prefix: Some(16), eal, ..Parts::default() };
        assert_eq!(made.parts(), expect);
        let alone: Options = "0000:03:00.0".parse().unwrap();
        assert_eq!(alone.parts(), Parts { device: "0000:03:00.0", ..Parts::default() });
    }

    #[test]
    fn a_device_is_one_of_those_that_dpdk_makes_or_has_arguments_of_its_own() {
        let tap = "net_tap0,iface=a";
        for (text, device, whole) in [
            ("net_tap0 --vdev=net_tap0,iface=a -m 64", "net_tap0", tap),
            ("net_tap1 --vdev net_tap0 --vdev net_tap1,iface=a", "net_tap1", "net_tap1,iface=a"),
            ("--vdev net_tap0,iface=a", "net_tap0", tap),
            ("net_tap0,iface=a -m 64", tap, tap),
            ("0000:03:00.0 --vdev=crypto_null0", "0000:03:00.0", "0000:03:00.0"),
            ("net_tap0 --vdevs", "net_tap0", "net_tap0"),
        ] {
            let parts = text.parse::<Options>().unwrap().parts();
            assert_eq!((parts.device, parts.whole()), (device, whole), "{text}");
        }
        let bonded = "net_bonding0,slave=net_tap0 --vdev=net_tap0".parse::<Options>().unwrap();
        assert_eq!(bonded.parts().whole(), "net_bonding0,slave=net_tap0");
        for (text, expect) in [
            ("net_tap0 --vdev=net_tap1,iface=a", "write \"net_tap1\" in its place, or its own"),
            ("net_tap0 -m 64 --vdev net_tap00", "write \"net_tap00\" in its place"),
            ("net_tap0,iface=a --vdev=net_tap0", "\"net_tap0,iface=a\" is made by `--vdev` too"),
            ("--vdev=net_tap0 --vdev=net_tap1", "dpdk needs a device behind a colon"),
            ("--vdev", "dpdk needs a device behind a colon"),
            ("prefix=16", "dpdk needs a device behind a colon"),
        ] {
            let error = text.parse::<Options>().unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        for text in ["", "--no-huge", " "] {
            let error = text.parse::<Options>().unwrap_err();
            assert!(error.starts_with("dpdk needs a device behind a colon"), "{error}");
        }
        for word in [
            "prefix",
            "prefix=129",
            "gateway=x",
            "mac=02:00:00:00:00",
            "mac=01:00:00:00:00:00",
            "mac=02:00:00:00:00:0",
            "neighbour=10.0.0.2",
            "speed=9",
        ] {
            let error = format!("net_null0 {word}").parse::<Options>().unwrap_err();
            assert!(error.starts_with(&format!("{word:?} is none of: prefix=BITS")), "{error}");
        }
        assert!("x".repeat(1025).parse::<Options>().unwrap_err().starts_with("more than 1024"));
    }
}
