//! One of the two threads: its client of Aeron, what it writes to and reads from, and its media driver if it has one.

use std::cell::Cell;
use std::ffi::CString;
use std::hint::{black_box, spin_loop};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use raw::STRIDE;
use rusteron_client::{
    Aeron, AeronContext, AeronExclusivePublication, AeronImage, AeronSubscription, Handlers,
};
use rusteron_media_driver::bindings::aeron_threading_mode_t as Threading;
use rusteron_media_driver::{AeronDriver, AeronDriverContext};

use crate::Result;

/// Stream of what each of them writes.
const STREAMS: [i32; 2] = [1, 2];
/// Messages between two visits to the driver, at most.
pub const BURST: usize = 64;
/// How long Aeron may take to start, and a message to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How they are joined.
#[derive(Debug)]
pub struct Channels {
    /// By which each of them writes.
    by: [CString; 2],
    /// Where their drivers have their files: one, if they have one together.
    folders: [PathBuf; 2],
    /// Whether each has a driver of its own, and runs it itself.
    pub is_udp: bool,
}

impl Channels {
    /// By memory of one driver's.
    /// # Errors
    /// None that happens.
    pub fn ipc() -> Result<Channels> {
        let by = [CString::new("aeron:ipc")?, CString::new("aeron:ipc")?];
        let folder = folder("both");
        Ok(Channels { by, folders: [folder.clone(), folder], is_udp: false })
    }

    /// By datagrams, at ports of 127.0.0.1 that are free now.
    /// # Errors
    /// Those of sockets.
    pub fn udp() -> Result<Channels> {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let ports = [bind()?, bind()?];
        let [one, other] = ports.map(|it| it.local_addr());
        let channel = |at| CString::new(format!("aeron:udp?endpoint={at}"));
        let by = [channel(one?)?, channel(other?)?];
        Ok(Channels { by, folders: ["a", "b"].map(folder), is_udp: true })
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        // A driver may have removed its own.
        self.folders.iter().for_each(|it| drop(std::fs::remove_dir_all(it)));
    }
}

/// In memory, where Aeron has its files.
fn folder(whose: &str) -> PathBuf {
    format!("/dev/shm/daedal-aeron-{}-{whose}", std::process::id()).into()
}

/// One of the two.
pub struct Side<'a> {
    image: AeronImage,
    _subscription: AeronSubscription,
    publication: AeronExclusivePublication,
    client: Aeron,
    driver: Option<AeronDriver>,
    polls: Cell<u64>,
    is_over: &'a AtomicBool,
}

impl Side<'_> {
    /// Joins `me` to the other one.
    /// # Errors
    /// What Aeron says; another that does not come.
    pub fn open<'a>(channels: &Channels, me: usize, is_over: &'a AtomicBool) -> Result<Side<'a>> {
        let driver = channels.is_udp.then(|| driver(&channels.folders[me])).transpose()?;
        let context = AeronContext::new()?;
        context.set_dir(&text(&channels.folders[me])?)?;
        context.set_use_conductor_agent_invoker(true)?;
        context.set_pre_touch_mapped_memory(true)?;
        let client = Aeron::new(&context)?;
        client.start()?;
        let work = || -> Result<()> {
            driver.as_ref().map(AeronDriver::main_do_work).transpose()?;
            client.main_do_work()?;
            Ok(())
        };
        let other = 1 - me;
        let adding = client.async_add_exclusive_publication(&channels.by[me], STREAMS[me])?;
        let publication = wait_for(|| work().and_then(|()| Ok(adding.poll()?)))?;
        let (by, stream) = (&channels.by[other], STREAMS[other]);
        let adding = client.async_add_subscription(by, stream, Handlers::NONE, Handlers::NONE)?;
        let subscription = wait_for(|| work().and_then(|()| Ok(adding.poll()?)))?;
        let image = wait_for(|| {
            work()?;
            Ok(subscription.image_at_index(0).filter(|_| publication.is_connected()))
        })?;
        let polls = Cell::new(0);
        Ok(Side { image, _subscription: subscription, publication, client, driver, polls, is_over })
    }

    /// Whether the other one is done.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Sends, as soon as there is room.
    /// # Errors
    /// What Aeron says.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        while let Err(error) = self.publication.offer(black_box(message)) {
            if self.is_over() {
                break;
            }
            if !error.is_retryable() {
                return Err(error.into());
            }
            self.work(true)?;
        }
        Ok(())
    }

    /// Handles what has come: how much that was.
    /// # Errors
    /// What Aeron or `handle` says.
    pub fn poll(&self, mut handle: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        let mut handled = Ok(());
        let count = self.image.poll_fn(
            |message, _| {
                if handled.is_ok() {
                    handled = handle(black_box(message));
                }
            },
            BURST,
        )?;
        handled?;
        self.work(count == 0)?;
        Ok(count as u64)
    }

    /// Waits for one message.
    /// # Errors
    /// What Aeron says, and one that does not come.
    pub fn await_one(&self) -> Result<()> {
        let mut start = None;
        for tries in 1u64.. {
            if self.poll(|_| Ok(()))? > 0 {
                break;
            }
            if tries % STRIDE == 0 && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err("a message was lost".into());
            }
        }
        Ok(())
    }

    /// What is to be done between polls: the driver's work, if it has none of its own to do it, and now and then the
    /// client's.
    /// # Errors
    /// What Aeron says.
    pub fn work(&self, is_idle: bool) -> Result<()> {
        match &self.driver {
            Some(driver) => drop(driver.main_do_work()?),
            None if is_idle => spin_loop(),
            None => {}
        }
        self.polls.set(self.polls.get() + 1);
        if self.polls.get().is_multiple_of(STRIDE) {
            self.client.main_do_work()?;
        }
        Ok(())
    }
}

/// Runs the driver that both have together, until it is over.
/// # Errors
/// What Aeron says.
pub fn drive(channels: &Channels, is_over: &AtomicBool) -> Result<()> {
    let driver = driver(&channels.folders[0])?;
    while !is_over.load(Ordering::Relaxed) {
        if driver.main_do_work()? == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// A driver that works when it is told to.
fn driver(folder: &Path) -> Result<AeronDriver> {
    let context = AeronDriverContext::new()?;
    context.set_dir(&text(folder)?)?;
    context.set_dir_delete_on_start(true)?;
    context.set_dir_delete_on_shutdown(true)?;
    context.set_threading_mode(Threading::AERON_THREADING_MODE_INVOKER)?;
    context.set_term_buffer_sparse_file(false)?;
    let driver = AeronDriver::new(&context)?;
    driver.start(true)?;
    Ok(driver)
}

fn text(folder: &Path) -> Result<CString> {
    Ok(CString::new(folder.as_os_str().as_encoded_bytes())?)
}

fn wait_for<T>(mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look()? {
            return Ok(found);
        }
    }
    Err("the other thread does not answer".into())
}
