//! Writes what any driver moves as a pcap file, which tshark and tcpdump open.
//!
//! The Ethernet, IP and UDP headers are made up, of the addresses that the driver names; lengths and
//! checksums are right. Frames are written when they are received or taken for sending, whether or
//! not the network then refuses them. Made for looking, not for speed.
//!
//! Sources: draft-ietf-opsawg-pcap; RFC 768, RFC 791, RFC 8200 §8.1.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::{Driver, Outgoing, Received};
use crate::leave_to;

/// Microseconds would not tell two frames of one turn apart: times are in nanoseconds.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINK_TYPE_ETHERNET: u32 = 1;
const SNAP_BYTES: u32 = 262_144;
const PROTOCOL_UDP: u8 = 17;
const UDP_HEADER_BYTES: usize = 8;

/// A driver whose frames are written down.
pub struct Pcap<D, W> {
    inner: D,
    file: W,
    failed: Option<io::Error>,
    record: Vec<u8>,
    offered: Vec<Outgoing>,
}

impl<D: Driver, W: Write> Pcap<D, W> {
    /// `inner`, written down in `file`.
    /// # Errors
    /// Those of writing the file's header.
    pub fn new(inner: D, mut file: W) -> io::Result<Pcap<D, W>> {
        file.write_all(&file_header())?;
        Ok(Pcap { inner, file, failed: None, record: Vec::new(), offered: Vec::new() })
    }

    /// Flushes the file and gives it back, with the driver.
    /// # Errors
    /// The first error of writing; from then on nothing was written.
    pub fn finish(mut self) -> io::Result<(D, W)> {
        match self.failed {
            Some(error) => Err(error),
            None => self.file.flush().map(|()| (self.inner, self.file)),
        }
    }

    /// A disk that is full ends the recording, not the traffic.
    fn write(&mut self, now: u64, [from, to]: [SocketAddr; 2], payload: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        emit_record(&mut self.record, now, [from, to], payload);
        if let Err(error) = self.file.write_all(&self.record) {
            tracing::warn!(%error, "the pcap file ends here: it could not be written");
            self.failed = Some(error);
        }
    }
}

impl<D: Driver, W: Write> Driver for Pcap<D, W> {
    leave_to!(inner: pool, receive_pool, reclaim, address, payload_bytes_max, descriptors, counters);

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        let first = into.len();
        let count = self.inner.receive(now, limit, into);
        let here = self.inner.address();
        for received in &into[first..] {
            self.write(now, [received.from, here], &received.frame);
        }
        count
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        let share = |out: &Outgoing| Outgoing { frame: out.frame.share(), to: out.to };
        let mut offered = std::mem::take(&mut self.offered);
        offered.extend(frames.iter().map(share));
        self.inner.transmit(now, frames);
        offered.truncate(offered.len() - frames.len());
        let here = self.inner.address();
        for out in offered.drain(..) {
            self.write(now, [here, out.to], &out.frame);
        }
        self.offered = offered;
    }

    fn mode(&self) -> String {
        let stopped = if self.failed.is_some() { ", stopped by an error" } else { "" };
        format!("pcap over {}{stopped}", self.inner.mode())
    }
}

impl<D: fmt::Debug, W> fmt::Debug for Pcap<D, W> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pcap({:?})", self.inner)
    }
}

fn file_header() -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&MAGIC_NANOSECONDS.to_le_bytes());
    header[4..6].copy_from_slice(&2u16.to_le_bytes());
    header[6..8].copy_from_slice(&4u16.to_le_bytes());
    header[16..20].copy_from_slice(&SNAP_BYTES.to_le_bytes());
    header[20..].copy_from_slice(&LINK_TYPE_ETHERNET.to_le_bytes());
    header
}

fn emit_record(record: &mut Vec<u8>, now: u64, [from, to]: [SocketAddr; 2], payload: &[u8]) {
    record.clear();
    record.extend_from_slice(&((now / 1_000_000_000) as u32).to_le_bytes());
    record.extend_from_slice(&((now % 1_000_000_000) as u32).to_le_bytes());
    record.extend_from_slice(&[0; 8]);
    let start = record.len();
    emit_ethernet(record, from, to);
    let udp_bytes = (UDP_HEADER_BYTES + payload.len()) as u16;
    emit_ip(record, from.ip(), to.ip(), udp_bytes);
    let udp = record.len();
    for field in [from.port(), to.port(), udp_bytes, 0] {
        record.extend_from_slice(&field.to_be_bytes());
    }
    record.extend_from_slice(payload);
    let sum = udp_checksum(from.ip(), to.ip(), &record[udp..]);
    record[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
    let bytes = ((record.len() - start) as u32).to_le_bytes();
    record[8..12].copy_from_slice(&bytes);
    record[12..16].copy_from_slice(&bytes);
}

fn emit_ethernet(record: &mut Vec<u8>, from: SocketAddr, to: SocketAddr) {
    for address in [to, from] {
        // Locally administered, of the last bytes of the IP address.
        record.extend_from_slice(&[0x02, 0]);
        match address.ip() {
            IpAddr::V4(ip) => record.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => record.extend_from_slice(&ip.octets()[12..]),
        }
    }
    let kind: u16 = if from.is_ipv4() { 0x0800 } else { 0x86dd };
    record.extend_from_slice(&kind.to_be_bytes());
}

fn emit_ip(record: &mut Vec<u8>, from: IpAddr, to: IpAddr, udp_bytes: u16) {
    let at = record.len();
    if from.is_ipv4() {
        let bytes = udp_bytes.saturating_add(20).to_be_bytes();
        record.extend_from_slice(&[0x45, 0, bytes[0], bytes[1], 0, 0, 0x40, 0]);
        record.extend_from_slice(&[64, PROTOCOL_UDP, 0, 0]);
    } else {
        let bytes = udp_bytes.to_be_bytes();
        record.extend_from_slice(&[0x60, 0, 0, 0, bytes[0], bytes[1], PROTOCOL_UDP, 64]);
    }
    extend_with_ip(record, from);
    extend_with_ip(record, to);
    if from.is_ipv4() {
        let sum = checksum(&record[at..]);
        record[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
    }
}

fn extend_with_ip(record: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => record.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => record.extend_from_slice(&ip.octets()),
    }
}

/// Over the pseudo header too; a sum of 0 is sent as 0xffff, since 0 means none.
fn udp_checksum(from: IpAddr, to: IpAddr, datagram: &[u8]) -> u16 {
    let mut bytes = Vec::with_capacity(40 + datagram.len());
    extend_with_ip(&mut bytes, from);
    extend_with_ip(&mut bytes, to);
    // IPv6 has 32-bit fields here, whose upper halves are zero and do not change the sum.
    bytes.extend_from_slice(&[0, PROTOCOL_UDP]);
    bytes.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
    bytes.extend_from_slice(datagram);
    match checksum(&bytes) {
        0 => 0xffff,
        sum => sum,
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2);
    let words = pairs.map(|it| u32::from(it[0]) << 8 | it.get(1).map_or(0, |&low| u32::from(low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::sim::{Config, SimDriver, SimNetwork};

    #[test]
    fn checksums_are_those_of_the_rfcs() {
        // RFC 1071 §3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let mut record = Vec::new();
        for (from, to) in [("192.0.2.1:7", "192.0.2.2:8"), ("[2001:db8::1]:7", "[2001:db8::2]:8")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            emit_record(&mut record, 5_000_000_007, [from, to], &[9; 48]);
            let ip_bytes = if from.is_ipv4() { 20 } else { 40 };
            assert_eq!(record.len(), 16 + 14 + ip_bytes + 8 + 48);
            assert_eq!(record[..8], [5, 0, 0, 0, 7, 0, 0, 0]);
            // A header whose own checksum is summed in sums to zero.
            if from.is_ipv4() {
                assert_eq!(checksum(&record[30..50]), 0);
            }
            assert_eq!(udp_checksum(from.ip(), to.ip(), &record[30 + ip_bytes..]), 0xffff);
        }
    }

    #[test]
    fn frames_are_written_once_both_ways_and_only_when_taken() {
        let network = SimNetwork::perfect(1);
        let start = |port: u16| {
            let address = SocketAddr::from(([10, 0, 0, 1], port));
            let config = Config { held_max: 2, ..Config::new(address) };
            SimDriver::start(&network, config, 0).unwrap()
        };
        let (mut pcap, mut peer) = (Pcap::new(start(1), Vec::new()).unwrap(), start(2));
        let frame = |driver: &dyn Driver| {
            let mut frame = driver.pool().take().unwrap();
            frame.truncate(32);
            frame
        };
        let to = peer.address();
        let mut frames: VecDeque<_> =
            (0..3).map(|_| Outgoing { frame: frame(&pcap), to }).collect();
        pcap.transmit(0, &mut frames);
        assert_eq!(frames.len(), 1);
        pcap.transmit(1, &mut frames);
        let mut back = VecDeque::from([Outgoing { frame: frame(&peer), to: pcap.address() }]);
        peer.transmit(2, &mut back);
        let mut into = Vec::new();
        assert_eq!(pcap.receive(10, 8, &mut into), 1);
        let (_, file) = pcap.finish().unwrap();
        let record = 16 + 14 + 20 + 8 + 32;
        assert_eq!(file.len(), 24 + 3 * record);
        // The last one is the received one: from port 2 to port 1.
        assert_eq!(file[24 + 2 * record + 50..][..4], [0, 2, 0, 1]);
    }

    #[test]
    fn a_full_disk_ends_the_recording_and_not_the_traffic() {
        #[derive(Debug)]
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let network = SimNetwork::perfect(1);
        let address = SocketAddr::from(([10, 0, 0, 1], 1));
        let driver = SimDriver::start(&network, Config::new(address), 0).unwrap();
        let mut pcap = Pcap::new(driver, Full(24)).unwrap();
        let mut frame = pcap.pool().take().unwrap();
        frame.truncate(64);
        pcap.transmit(0, &mut VecDeque::from([Outgoing { frame, to: address }]));
        assert!(pcap.mode().ends_with("stopped by an error"));
        assert_eq!(pcap.counters().sent, 1);
        assert_eq!(pcap.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
