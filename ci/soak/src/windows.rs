//! What goes on beside the troubles: windows turn, memory and counters are looked at, and what clients heard of a
//! window is judged once all have handed it in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::clients::KEYS;
use crate::floor::Floor;
use crate::histories::{Batch, Judged, Loss, judge, key_name};
use crate::mesh::Mesh;
use crate::soak::{CLIENTS, WELL_AT_MOST};
use crate::system::{BOXES, System, ask_gateway};
use crate::watch::Watch;

/// How long a window's keys are used.
const WINDOW: Duration = Duration::from_secs(10);
/// What all threads see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub floor: Arc<Floor>,
    pub watch: Mutex<Watch>,
    pub losses: Mutex<Vec<Loss>>,
    pub is_over: AtomicBool,
}

/// Turns windows, and has memory and counters looked at.
pub(crate) fn tick(shared: &Shared) {
    let mut looked = Instant::now();
    while !shared.is_over.load(Ordering::Relaxed) {
        let begun = shared.floor.begun.elapsed();
        let window = (begun.as_nanos() / WINDOW.as_nanos()) as u32;
        if !shared.floor.stops.load(Ordering::Relaxed) {
            shared.floor.window.fetch_max(window, Ordering::Relaxed);
        }
        if looked.elapsed() >= Duration::from_secs(1) {
            looked = Instant::now();
            locked(&shared.watch).look(begun.as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Judges each window when all clients have handed in what they said of it, and has its keys deleted.
pub(crate) fn judge_all(lab: &Mesh, shared: &Shared, batches: &Receiver<Batch>) -> Judged {
    lab.enter(BOXES[0]);
    let mut judged = Judged::default();
    let mut open: BTreeMap<u32, Vec<Batch>> = BTreeMap::new();
    let mut to_delete: Vec<u32> = Vec::new();
    while let Ok(batch) = batches.recv() {
        let window = batch.window;
        open.entry(window).or_default().push(batch);
        // A client that was away for a whole window has said nothing of it, and handed in nothing: what is older
        // than what all have handed in is complete.
        let last = |client| {
            let windows = open.iter().rev();
            let mut those = windows.filter(|(_, all)| all.iter().any(|it| it.client == client));
            those.next().map(|(window, _)| *window)
        };
        let complete = (0..CLIENTS).map(last).min().flatten();
        while let Some(complete) = complete
            && let Some(entry) = open.first_entry().filter(|entry| *entry.key() < complete)
        {
            let (window, batches) = entry.remove_entry();
            let losses = locked(&shared.losses).clone();
            judged.add(judge(window, &batches, &losses));
            to_delete.push(window);
        }
        to_delete.retain(|window| !delete(*window));
    }
    for (window, batches) in open {
        let losses = locked(&shared.losses).clone();
        judged.add(judge(window, &batches, &losses));
        to_delete.push(window);
    }
    wait(WELL_AT_MOST, || {
        to_delete.retain(|window| !delete(*window));
        to_delete.is_empty()
    });
    judged
}

/// Whether a window's keys are gone.
fn delete(window: u32) -> bool {
    let keys: Vec<_> = (0..KEYS).map(|key| key_name(window, key)).collect();
    let answer = ask_gateway(System::serves(BOXES[0]), &format!("DEL {}", keys.join(" ")));
    answer.is_ok_and(|answer| answer.starts_with(':'))
}

/// Waits until it is so, or for so long; time in which this process did not run is not counted. Whether it is so.
pub(crate) fn wait(at_most: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    const STEP: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        let begun = Instant::now();
        if is_so() {
            return true;
        }
        if waited >= at_most {
            return false;
        }
        std::thread::sleep(STEP.min(at_most - waited));
        waited += begun.elapsed().min(Duration::from_secs(3));
    }
}

/// Nobody panics who holds one of ours.
pub(crate) fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().expect("who holds it does not panic")
}
