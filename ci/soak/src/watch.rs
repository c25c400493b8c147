//! Memory and counters of every process, looked at each second as long as it lives.
//!
//! Memory is flat when, of a process that has carried load for ten minutes or more, the median of what it held
//! in its last minute is at most an eighth and 4 MiB above the median of its fifth minute. (Earlier its pools,
//! tables and the allocator's arenas still fill; a backlog after a pause is gone within a minute.)

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use daedal::boxes::counters::BoxReading;
use serde::Serialize;

/// From when on a life is judged, and what it is compared with, in seconds of its life.
const JUDGED_FROM_S: f64 = 600.0;
const FILLED_S: (f64, f64) = (240.0, 300.0);
const LAST_S: f64 = 60.0;
/// How much more than then it may hold.
const MORE_KIB: u64 = 4 << 10;
const MORE_PART: u64 = 8;

/// All lives of all processes.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    lives: Vec<Life>,
}

/// One life, as it was seen.
#[derive(Debug)]
pub struct Life {
    /// The box.
    pub name: &'static str,
    /// Which of its lives.
    pub life: u32,
    /// Whether it runs.
    pub lives: bool,
    process: u32,
    began_s: f64,
    reading: Option<BoxReading>,
    /// Seconds of its life, and KiB that it held then.
    held: Vec<(f64, u64)>,
    /// What it counted, all reactors together, when it was last looked at.
    pub counts: BTreeMap<String, u64>,
}

/// What a life held.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// Which.
    pub process: String,
    /// How long it lived, in seconds.
    pub lived_s: f64,
    /// Medians, in KiB: of its fifth minute, and of its last.
    pub filled_kib: u64,
    /// As above.
    pub last_kib: u64,
    /// At most.
    pub most_kib: u64,
    /// Whether it is old enough to be judged, and flat. `None`: it is not old enough.
    pub is_flat: Option<bool>,
}

impl Watch {
    /// `folder`: where the files of counters are.
    pub fn new(folder: &Path) -> Watch {
        Watch { folder: folder.into(), lives: Vec::new() }
    }

    /// A process was started.
    pub fn began(&mut self, name: &'static str, life: u32, process: u32, now_s: f64) {
        let (reading, held, counts) = (None, Vec::new(), BTreeMap::new());
        let (lives, began_s) = (true, now_s);
        self.lives.push(Life { name, life, lives, process, began_s, reading, held, counts });
    }

    /// The last process of that name has ended.
    pub fn ended(&mut self, name: &str) {
        if let Some(life) = self.lives.iter_mut().rfind(|it| it.name == name) {
            // What it had counted at its end lies there yet.
            life.look();
            life.lives = false;
            life.reading = None;
        }
    }

    /// Looks at all that live.
    pub fn look(&mut self, now_s: f64) {
        for life in self.lives.iter_mut().filter(|it| it.lives) {
            if life.reading.is_none() {
                life.reading = open(&self.folder, life.name, life.process);
            }
            life.look();
            if let Some(kib) = resident_kib(life.process) {
                life.held.push((now_s - life.began_s, kib));
            }
        }
    }

    /// All of them.
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// The one of that name that runs.
    pub fn living(&self, name: &str) -> Option<&Life> {
        self.lives.iter().rfind(|it| it.name == name && it.lives)
    }

    /// A counter, of all lives of all processes together.
    pub fn sum(&self, counter: &str) -> u64 {
        self.lives.iter().filter_map(|it| it.counts.get(counter)).sum()
    }
}

impl Life {
    fn look(&mut self) {
        let Some(reading) = &self.reading else { return };
        self.counts.clear();
        for reactor in 0..reading.reactors {
            for (name, value) in reading.reactor(reactor).iter() {
                let sum = self.counts.entry(name.to_owned()).or_default();
                *sum = sum.saturating_add(value);
            }
        }
    }

    /// Whether what it holds is flat.
    pub fn held(&self) -> Held {
        let lived_s = self.held.last().map_or(0.0, |(at, _)| *at);
        let within = |(from, to): (f64, f64)| {
            let those = self.held.iter().filter(|(at, _)| (from..=to).contains(at));
            median(those.map(|(_, kib)| *kib).collect())
        };
        let (filled_kib, last_kib) = (within(FILLED_S), within((lived_s - LAST_S, lived_s)));
        let most_kib = self.held.iter().map(|(_, kib)| *kib).max().unwrap_or(0);
        let is_flat = (lived_s >= JUDGED_FROM_S)
            .then(|| last_kib <= filled_kib + filled_kib / MORE_PART + MORE_KIB);
        let process = format!("{} life {}", self.name, self.life);
        Held { process, lived_s, filled_kib, last_kib, most_kib, is_flat }
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// The counters of that process, once they are there.
fn open(folder: &Path, name: &str, process: u32) -> Option<BoxReading> {
    let files = fs::read_dir(folder).ok()?;
    let is_its = |path: &PathBuf| {
        let file = path.file_name().map(|it| it.to_string_lossy().into_owned());
        file.is_some_and(|it| it.starts_with(&format!("{name}@")) && it.ends_with(".counters"))
    };
    let paths = files.filter_map(|file| Some(file.ok()?.path())).filter(is_its);
    let mut readings = paths.filter_map(|path| BoxReading::open(&path).ok());
    readings.find(|reading| reading.process == process)
}

/// VmRSS of a process (proc(5)).
fn resident_kib(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(kib: impl Fn(f64) -> u64, seconds: u32) -> Life {
        let held = (0..=seconds).map(|at| (f64::from(at), kib(f64::from(at)))).collect();
        let (reading, counts) = (None, BTreeMap::new());
        let (name, life, lives, process, began_s) = ("a", 1, true, 0, 0.0);
        Life { name, life, lives, process, began_s, reading, held, counts }
    }

    #[test]
    fn what_grows_by_an_eighth_and_more_is_not_flat_and_what_is_young_is_not_judged() {
        assert_eq!(life(|_| 50_000, 700).held().is_flat, Some(true));
        assert_eq!(life(|at| if at < 200.0 { 0 } else { 50_000 }, 700).held().is_flat, Some(true));
        assert_eq!(life(|at| 50_000 + at as u64 * 30, 700).held().is_flat, Some(false));
        assert_eq!(life(|at| 50_000 + at as u64 * 30, 500).held().is_flat, None);
    }

    #[test]
    fn what_this_process_holds_can_be_read() {
        assert!(resident_kib(std::process::id()).is_some_and(|kib| kib > 100));
    }
}
