//! iceoryx2 between two pinned, spinning processes: a service there, and one back, over `ipc`, at its defaults.
//!
//! The program starts itself a second time.

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use raw::second::{Second, be_second};
use raw::{Figure, PATIENCE, STRIDE, ask, pin};

/// Subcommand of the second process.
pub const ECHO: &str = "iceoryx2-echo-process";
/// Bytes of a message.
pub const BYTES: usize = 64;

type Message = [u8; BYTES];
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is written to and read from, as process `me`.
struct Ends {
    to: Publisher<ipc::Service, Message, ()>,
    from: Subscriber<ipc::Service, Message, ()>,
    _node: Node<ipc::Service>,
}

impl Ends {
    fn open(run: &str, me: usize) -> Result<Ends> {
        // That it has no file of settings is as it should be.
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let services = [0, 1].map(|which| {
            let name = ServiceName::new(&format!("daedal/{run}/{which}"))?;
            let service = node.service_builder(&name).publish_subscribe::<Message>();
            Result::Ok(service.open_or_create()?)
        });
        let [there, back] = services;
        let (there, back) = (there?, back?);
        let (to, from) = if me == 0 { (there, back) } else { (back, there) };
        Ok(Ends {
            to: to.publisher_builder().create()?,
            from: from.subscriber_builder().create()?,
            _node: node,
        })
    }

    fn take(&self) -> Result<Option<Message>> {
        Ok(self.from.receive()?.map(|sample| *sample.payload()))
    }

    /// Sends, and awaits what comes back. The other process may not be there yet.
    fn round(&self) -> Result<()> {
        self.to.send_copy(black_box([7; BYTES]))?;
        let mut start = None;
        for tries in 1u64.. {
            if let Some(message) = self.take()? {
                black_box(message);
                return Ok(());
            }
            if tries % STRIDE == 0 && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                break;
            }
            spin_loop();
        }
        Err("the other process is silent".into())
    }

    fn still(&self) -> Result<()> {
        let mut last = Instant::now();
        while last.elapsed() < STILL {
            if self.take()?.is_some() {
                last = Instant::now();
            }
        }
        Ok(())
    }

    /// Waits for the other process to be there, and for all that was sent meanwhile to have come back.
    fn meet(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.to.send_copy([0; BYTES])?;
            for _ in 0..STRIDE {
                if self.take()?.is_some() {
                    return self.still();
                }
            }
        }
        Err("the other process does not start".into())
    }
}

/// Nothing has come for so long: nothing is under way.
const STILL: Duration = Duration::from_millis(10);

/// A round trip of 64 bytes, from process to process.
/// # Errors
/// What iceoryx2 says, and a process that does not answer.
pub fn iceoryx2_ask() -> Result<Figure> {
    pin(0);
    let run = std::process::id().to_string();
    let ends = Ends::open(&run, 0)?;
    let _second = Second::start(&[ECHO, &run])?;
    ends.meet()?;
    let mut failed = None;
    let figure = ask(|| {
        if failed.is_none() {
            failed = ends.round().err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

/// The second process: sends back whatever comes.
/// # Errors
/// What iceoryx2 says; returns in no other way.
pub fn second_process(run: &str) -> Result<()> {
    be_second()?;
    let ends = Ends::open(run, 1)?;
    loop {
        match ends.take()? {
            Some(message) => drop(ends.to.send_copy(black_box(message))?),
            None => spin_loop(),
        }
    }
}
