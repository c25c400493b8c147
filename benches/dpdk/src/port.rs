//! A port of DPDK's with one queue, and a pool of buffers.

#![expect(unsafe_code, reason = "foreign functions")]

use std::ffi::{CString, c_int};
use std::hint::{black_box, spin_loop};
use std::ptr::{null_mut, write_bytes};
use std::time::{Duration, Instant};

use dpdk_sys::{Mbuf, Mempool, Seen};

/// Frames of one call, at most.
pub const BURST: usize = 32;
/// How long DPDK may take to start, and a frame to come.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// More than all rings have.
const BUFFERS: u32 = 8191;
/// Buffers that this thread takes without a look at the others.
const CACHED: u32 = 256;
/// As DPDK has them by default.
const BUFFER_BYTES: u16 = 2048;

/// It stays as long as the process.
pub struct Port {
    id: u16,
    pool: *mut Mempool,
}

/// Frames, which are whoever's this is.
pub struct Frames([*mut Mbuf; BURST], usize);

/// What came.
pub struct Came([Seen; BURST], usize);

impl Port {
    /// Starts DPDK on processor `cpu`, and that device.
    /// # Errors
    /// Which call fails.
    pub fn open(device: &str, cpu: usize) -> Result<Port, String> {
        start(cpu)?;
        let text = CString::new(device).map_err(|error| error.to_string())?;
        // SAFETY: DPDK runs, and the text is terminated.
        called("rte_dev_probe", unsafe { dpdk_sys::rte_dev_probe(text.as_ptr()) })?;
        let name = device.split(',').next().unwrap_or(device);
        let name = CString::new(name).map_err(|error| error.to_string())?;
        let mut id = 0;
        // SAFETY: as above, and the place is ours.
        let found = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
        called("rte_eth_dev_get_port_by_name", found)?;
        // SAFETY: DPDK runs, and copies the name.
        let pool = unsafe {
            dpdk_sys::daedal_mempool(c"raw".as_ptr(), BUFFERS, CACHED, BUFFER_BYTES, 0, 0)
        };
        if pool.is_null() {
            return Err("rte_pktmbuf_pool_create fails".into());
        }
        let mut told = dpdk_sys::Port {
            driver: [0; 64],
            mac: [0; 6],
            mtu: 0,
            receive_entries: 1024,
            send_entries: 1024,
            receive_queues_max: 0,
            send_queues_max: 0,
            socket: 0,
            checksums: 0,
        };
        // SAFETY: the port is there and stopped, and the place ours.
        let configured = unsafe { dpdk_sys::daedal_port_configure(id, 1, &raw mut told) };
        called("rte_eth_dev_configure", configured)?;
        // SAFETY: as above, and the pool stays.
        let made = unsafe { dpdk_sys::daedal_port_queue(id, 0, &raw const told, pool) };
        called("rte_eth_rx_queue_setup", made)?;
        // SAFETY: the port is there, and its queue is.
        called("rte_eth_dev_start", unsafe { dpdk_sys::rte_eth_dev_start(id) })?;
        Ok(Port { id, pool })
    }

    /// Waits until there is somebody at the other end.
    /// # Errors
    /// If there is nobody.
    pub fn await_other(&self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            // SAFETY: the port is there.
            if unsafe { dpdk_sys::daedal_port_is_up(self.id) } != 0 {
                return Ok(());
            }
        }
        Err("the second process does not start".into())
    }

    /// So many frames of `bytes`, written anew: [`BURST`] at most.
    /// # Errors
    /// When the pool has no more.
    pub fn filled(&self, count: usize, bytes: usize) -> Result<Frames, String> {
        let (mut mbufs, count) = ([null_mut(); BURST], count.min(BURST));
        // SAFETY: the pool is ours, and there is room for so many.
        let taken = unsafe { dpdk_sys::daedal_take(self.pool, mbufs.as_mut_ptr(), count as u32) };
        called("rte_pktmbuf_alloc_bulk", taken)?;
        for mbuf in mbufs.into_iter().take(count) {
            // SAFETY: it was just taken.
            let data = unsafe { dpdk_sys::daedal_data(mbuf) };
            // SAFETY: a buffer has room for a frame.
            unsafe { write_bytes(data, black_box(0xff), bytes) };
            // SAFETY: as above.
            unsafe { dpdk_sys::daedal_put_bytes(mbuf, bytes as u16) };
        }
        Ok(Frames(mbufs, count))
    }

    /// Sends all of them, as soon as there is room.
    pub fn send(&self, Frames(mut mbufs, count): Frames) {
        let mut sent = 0;
        while sent < count {
            let rest = &mut mbufs[sent..count];
            let (first, count) = (rest.as_mut_ptr(), rest.len() as u16);
            // SAFETY: the port runs, this thread has its queue, and the buffers are the caller's.
            let taken = unsafe { dpdk_sys::daedal_transmit(self.id, 0, first, count) };
            sent += usize::from(taken);
            if taken == 0 {
                spin_loop();
            }
        }
    }

    /// Takes what has come.
    pub fn receive(&self) -> Came {
        let mut seen = [Seen::NONE; BURST];
        // SAFETY: the port runs, this thread has its queue, and there is room for so many.
        let count =
            unsafe { dpdk_sys::daedal_receive(self.id, 0, seen.as_mut_ptr(), BURST as u16) };
        Came(black_box(seen), count.into())
    }
}

impl Came {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.1
    }

    /// What each has.
    pub fn each(&self) -> impl Iterator<Item = &[u8]> {
        // SAFETY: so many bytes came, and the frames are this value's.
        let bytes = |it: &Seen| unsafe { std::slice::from_raw_parts(it.data, it.bytes as usize) };
        self.0[..self.1].iter().map(bytes)
    }

    /// Reads all their bytes: how many there are.
    pub fn read(&self) -> usize {
        let read = |bytes: &[u8]| {
            black_box(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
            bytes.len()
        };
        self.each().map(read).sum()
    }

    /// The frames as they came.
    pub fn frames(self) -> Frames {
        Frames(self.0.map(|it| it.mbuf), self.1)
    }
}

impl Frames {
    /// Writes to the first of them, from its byte `at` on.
    pub fn put(&mut self, at: usize, bytes: [u8; 8]) {
        assert!(self.1 > 0 && at + bytes.len() <= usize::from(BUFFER_BYTES));
        // SAFETY: it is this value's.
        let data = unsafe { dpdk_sys::daedal_data(self.0[0]) };
        // SAFETY: a buffer has room for so many.
        let place = unsafe { data.add(at) };
        // SAFETY: as above.
        unsafe { place.cast::<[u8; 8]>().write(bytes) };
    }

    /// Gives them back to their pool.
    pub fn free(mut self) {
        // SAFETY: they are this value's, and are not looked at again.
        unsafe { dpdk_sys::daedal_free(self.0.as_mut_ptr(), self.1 as u32) };
    }
}

/// Starts DPDK: quiet, without huge pages, files that outlive the process, or cards.
fn start(cpu: usize) -> Result<(), String> {
    let options = format!(
        "raw --no-huge -m 128 --no-pci --no-telemetry --no-shconf --log-level=error \
         --file-prefix raw-{} -l {cpu}",
        std::process::id()
    );
    let words: Result<Vec<CString>, _> =
        options.split_ascii_whitespace().map(CString::new).collect();
    let words = words.map_err(|error| error.to_string())?;
    let mut words: Vec<_> = words.into_iter().map(CString::into_raw).collect();
    words.push(null_mut());
    let words = words.leak();
    // SAFETY: terminated texts, a null behind, all of which stay.
    called("rte_eal_init", unsafe {
        dpdk_sys::rte_eal_init((words.len() - 1) as c_int, words.as_mut_ptr())
    })
}

fn called(what: &str, result: c_int) -> Result<(), String> {
    if result < 0 { Err(format!("{what} fails with {result}")) } else { Ok(()) }
}
