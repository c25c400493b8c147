//! How a box is to run: as its system file says.

use std::net::SocketAddr;
use std::path::PathBuf;

use daedal_boxes::CONTROLLER_AT;
use daedal_boxes::executor::Executor;
use daedal_boxes::idle::Idle;
use daedal_boxes::preflight::Needs;
use daedal_model::id::BoxId;
use daedal_net::driver::DriverKind;
use daedal_net::driver::fault::Rates;
use daedal_net::link::LinkLimits;

use crate::assemble::HOME;
use crate::system::{self, LinkSpec, SystemSpec};

/// How a box is to run.
#[derive(Clone, Debug)]
pub struct BoxConfig {
    /// Its name.
    pub name: String,
    /// Its id in frames.
    pub id: BoxId,
    /// Address of its first reactor; the others follow, a port each.
    pub address: SocketAddr,
    /// How many reactors.
    pub reactors: u8,
    /// What their rounds run on; bare threads, where that cannot be had.
    pub executor: Executor,
    /// What they do when there is nothing to do.
    pub idle: Idle,
    /// Folder for the file of its counters; none: no command of another process sees them.
    pub counters: Option<PathBuf>,
    /// Where its counters can be had as text for Prometheus.
    pub metrics: Option<SocketAddr>,
    /// One of so many visits of its shims has the walk of its first message noted; 0: none.
    pub sample: u64,
    /// What moves its frames; `None`: the best that works, which is chosen when it starts.
    pub driver: Option<DriverKind>,
    /// The processors that they are pinned to, in turn; none: they are not pinned.
    pub cpus: Vec<usize>,
    /// Where the controller is.
    pub controller: SocketAddr,
    /// What befalls its frames, both ways. For tests: no system file states it.
    pub faults: Option<Faults>,
    /// File that its frames are written to, both ways; of reactor k > 0 with `.k` behind.
    pub pcap: Option<PathBuf>,
    /// Limits of its links.
    pub links: LinkLimits,
    /// File of what all frames are sealed with; none: they are not.
    pub secret: Option<PathBuf>,
}

impl BoxConfig {
    /// The processor that a reactor is pinned to.
    pub fn cpu(&self, reactor: u8) -> Option<usize> {
        self.cpus.get(usize::from(reactor) % self.cpus.len().max(1)).copied()
    }

    /// The file that a reactor's frames are written to.
    pub(super) fn pcap_of(&self, reactor: u8) -> Option<PathBuf> {
        let mut name = self.pcap.as_ref()?.as_os_str().to_owned();
        if reactor > 0 {
            name.push(format!(".{reactor}"));
        }
        Some(name.into())
    }

    /// How a reactor runs, besides its driver, for people.
    pub(super) fn about(&self, reactor: u8) -> String {
        let BoxConfig { executor, idle, .. } = self;
        let sealed = if self.secret.is_some() { "; links are sealed" } else { "" };
        match self.cpu(reactor) {
            Some(cpu) => format!("executor {executor}; {idle}; pinned to processor {cpu}{sealed}"),
            None => format!("executor {executor}; {idle}; not pinned{sealed}"),
        }
    }
}

impl BoxConfig {
    /// What such a box needs of its machine.
    pub fn needs(&self) -> Needs {
        Needs {
            address: self.address,
            reactors: self.reactors,
            executor: self.executor,
            idle: self.idle,
            driver: self.driver,
            cpus: self.cpus.clone(),
            writes: Vec::new(),
            pcaps: (0..self.reactors).filter_map(|reactor| self.pcap_of(reactor)).collect(),
        }
    }
}

/// Faults of a box's drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How often each happens.
    pub rates: Rates,
    /// What they are drawn from.
    pub seed: u64,
}

/// The configuration of a box of a system file; `HOME` is the controller's.
/// # Errors
/// A text that names the boxes that there are.
pub fn config_of(spec: &SystemSpec, name: &str) -> Result<BoxConfig, String> {
    let controller = spec.controller.address;
    let secret = spec.secret_file.as_ref().map(PathBuf::from);
    if name == HOME {
        return Ok(BoxConfig {
            name: name.into(),
            id: CONTROLLER_AT.agent_box,
            address: controller,
            reactors: 1,
            executor: spec.controller.executor,
            counters: None,
            metrics: spec.controller.metrics,
            sample: 0,
            // The controller always parks.
            idle: Idle::Frugal,
            driver: Some(DriverKind::Kernel),
            cpus: Vec::new(),
            controller,
            faults: None,
            pcap: None,
            links: limits(spec.controller.links),
            secret,
        });
    }
    let (Some(it), Some(id)) = (spec.boxes.get(name), spec.box_id(name)) else {
        let known: Vec<_> = spec.boxes.keys().map(String::as_str).collect();
        return Err(format!(
            "the system has no box \"{name}\"; it has: {}, and {HOME}",
            known.join(", ")
        ));
    };
    Ok(BoxConfig {
        name: name.into(),
        id,
        address: it.address,
        reactors: it.reactors,
        executor: it.executor,
        counters: None,
        metrics: it.metrics,
        sample: 0,
        idle: it.idle.map_or(Idle::Balanced, idle),
        driver: it.driver,
        cpus: it.cpus.iter().copied().map(usize::from).collect(),
        controller,
        faults: None,
        pcap: it.pcap.as_ref().map(PathBuf::from),
        links: limits(it.links),
        secret,
    })
}

/// What the file says, in place of the defaults.
fn limits(spec: LinkSpec) -> LinkLimits {
    let ns = |us: Option<u16>| us.map(|us| u64::from(us) * 1000);
    let default = LinkLimits::default();
    LinkLimits {
        queue_ns: ns(spec.queue_us).unwrap_or(default.queue_ns),
        timeout_ns_min: ns(spec.repeat_us).unwrap_or(default.timeout_ns_min),
        ..default
    }
}

fn idle(idle: system::Idle) -> Idle {
    match idle {
        system::Idle::Latency => Idle::Latency,
        system::Idle::Balanced => Idle::Balanced,
        system::Idle::Frugal => Idle::Frugal,
    }
}
