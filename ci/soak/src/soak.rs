//! A run: start, measure, load, trouble, judge, rest, account.
//!
//! One thread does one thing after the other; beside it are the clients, who turns windows and looks at memory,
//! and who judges histories. What waits counts only time in which this process ran, so that a machine that stood
//! still makes nobody late.

use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use daedal::sim::random::Random;

use crate::account::{Happened, Verdict, account};
use crate::clients::{Client, Heard, PIPELINE, histogram, place};
use crate::floor::Floor;
use crate::histories::{Judged, Loss};
use crate::mesh::Mesh;
use crate::report::{Load, Report};
use crate::system::{BOXES, CONTROLLER, NAMES, System, shards};
use crate::trouble::{Plan, Step, Trouble};
use crate::watch::Watch;
use crate::windows::{Shared, judge_all, locked, tick, wait};

/// Half of them at each gateway.
pub(crate) const CLIENTS: usize = 12;
/// The share of saturation that is the load.
const LOAD_SHARE: f64 = 0.8;
/// How long clients go as fast as they are answered before saturation is measured, and while it is.
const MEASURE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(4));
/// How often it is measured anew: what else the machine does changes.
const MEASURE_EVERY: Duration = Duration::from_secs(150);
/// How long anything may take to be well again, in time that this process ran.
pub(crate) const WELL_AT_MOST: Duration = Duration::from_secs(60);
/// How old the oldest command may be when all is well.
const WAIT_WHEN_WELL: Duration = Duration::from_secs(3);
/// Offences that are reported word by word.
const OFFENCES_SHOWN: usize = 20;

/// What is to be done.
#[derive(Debug)]
pub struct Soak {
    /// Where the processes run.
    pub lab: Mesh,
    /// Where their files are.
    pub folder: PathBuf,
    /// The command.
    pub program: PathBuf,
    /// How long there is trouble.
    pub minutes: f64,
    /// What all is drawn from.
    pub seed: u64,
}

struct Run {
    system: System,
    plan: Plan,
    shared: Arc<Shared>,
    happened: Happened,
    load: Load,
    diary: Vec<(f64, String)>,
    wrong: Vec<String>,
    told_to_stop: Arc<AtomicBool>,
}

/// Does it.
/// # Errors
/// What keeps it from beginning; what goes wrong later is in the report.
pub fn run(soak: &Soak) -> Result<Report> {
    let lab = &|| Mesh::of(soak.lab.name(), NAMES.len());
    let system = System::stated(lab(), &soak.folder, &soak.program)?;
    let shared = Arc::new(Shared {
        floor: Arc::new(Floor::new(CLIENTS)),
        watch: Mutex::new(Watch::new(&system.counters())),
        losses: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let told_to_stop = Arc::new(AtomicBool::new(false));
    let told = told_to_stop.clone();
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)).context("catching Ctrl-C")?;
    let mut run = Run {
        system,
        plan: Plan::new(soak.seed),
        shared,
        happened: Happened::default(),
        load: Load { clients: CLIENTS, pipeline: PIPELINE, ..Load::default() },
        diary: Vec::new(),
        wrong: Vec::new(),
        told_to_stop,
    };
    println!("soak of {} minutes, seed {}", soak.minutes, soak.seed);
    let shared = run.shared.clone();
    let (heard, judged) = std::thread::scope(|scope| {
        let shared = &*shared;
        let (batches, handed_in) = channel();
        let timer = scope.spawn(|| tick(shared));
        let judge = scope.spawn(move || judge_all(&lab(), shared, &handed_in));
        let started = run.start();
        let client = |number| {
            let random = Random::new(soak.seed).fork(&format!("client {number}"));
            let (end, batches) = (place(number), batches.clone());
            let client = Client { number, end, at: System::serves(end), random, batches };
            let floor = shared.floor.clone();
            scope.spawn(move || client.run(&lab(), floor))
        };
        let clients: Vec<_> = match started {
            Ok(()) => (0..CLIENTS).map(client).collect(),
            Err(error) => {
                run.wrong.push(format!("it does not start: {error:#}"));
                Vec::new()
            }
        };
        drop(batches);
        if !clients.is_empty() {
            run.trouble(soak.minutes);
        }
        shared.floor.stops.store(true, Ordering::Relaxed);
        let is_done = || clients.iter().all(|it| it.is_finished());
        if !wait(WELL_AT_MOST, is_done) {
            run.wrong.push(format!(
                "clients wait for answers for {:?} after the end of all troubles",
                shared.floor.longest_wait()
            ));
            shared.floor.gives_up.store(true, Ordering::Relaxed);
        }
        let ended = clients.into_iter().map(|it| it.join().expect("clients do not panic"));
        let heard: Vec<Heard> = ended.collect();
        let judged = judge.join().expect("who judges does not panic");
        shared.is_over.store(true, Ordering::Relaxed);
        timer.join().expect("who counts time does not panic");
        (heard, judged)
    });
    run.settle_accounts(soak, heard, judged)
}

impl Run {
    fn start(&mut self) -> Result<()> {
        for end in 0..NAMES.len() {
            self.start_one(end)?;
        }
        let is_served = || BOXES.iter().all(|end| self.system.keys_seen_by(*end).is_some());
        if !wait(WELL_AT_MOST, is_served) {
            bail!("no gateway answers: {}", self.system.fallen().join("; "));
        }
        let tree = self.system.look(&["tree"])?;
        let shards = shards(&tree).with_context(|| format!("no shards in {tree}"))?.len() as u64;
        let agents = || {
            let watch = locked(&self.shared.watch);
            let of = |name| watch.living(name)?.counts.get("agents_now").copied();
            Some(of("a")? + of("b")?)
        };
        let mut counted = None;
        // The counters are read each second.
        wait(WELL_AT_MOST, || {
            counted = agents();
            counted.is_some_and(|it| it > shards)
        });
        let counted = counted.context("the boxes keep no counters")?;
        self.happened.agents_beside = counted - shards;
        Ok(())
    }

    fn start_one(&mut self, end: usize) -> Result<()> {
        let faults = self.plan.next_faults();
        self.system.start(end, &faults)?;
        let (now, process) = (self.now_s(), self.system.process(end));
        let process = process.context("it was started just now")?;
        let (life, id) = (process.life, process.id());
        locked(&self.shared.watch).began(NAMES[end], life, id, now);
        self.note(format!("{} life {life}, frames: {faults}", NAMES[end]));
        Ok(())
    }

    /// Load and troubles until the time is over.
    fn trouble(&mut self, minutes: f64) {
        let (begun, lasts) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
        let mut measured = self.measure();
        while begun.elapsed() < lasts && self.wrong.is_empty() && !self.is_told_to_stop() {
            if measured.elapsed() > MEASURE_EVERY || self.is_overloaded() {
                measured = self.measure();
            }
            let share = begun.elapsed().as_millis() * 1000 / lasts.as_millis().max(1);
            let step = self.plan.next_step(share as u64);
            wait(step.calm, || self.is_told_to_stop());
            if let Err(error) = self.take(step) {
                self.wrong.push(format!("{step}: {error:#}"));
            }
        }
    }

    /// More is due than the clients can say for ten seconds: it was measured when the machine had more time.
    fn is_overloaded(&self) -> bool {
        let rate = self.load.measured.last().map_or(0.0, |(_, _, rate)| *rate);
        self.shared.floor.late() as f64 > 10.0 * rate
    }

    /// Measures saturation, and sets the load.
    fn measure(&mut self) -> Instant {
        let floor = self.shared.floor.clone();
        floor.set_rate(None);
        wait(MEASURE.0, || self.is_told_to_stop());
        let (before, begun) = (floor.answered.load(Ordering::Relaxed), Instant::now());
        wait(MEASURE.1, || self.is_told_to_stop());
        let answered = floor.answered.load(Ordering::Relaxed) - before;
        let saturation = answered as f64 / begun.elapsed().as_secs_f64();
        let rate = saturation * LOAD_SHARE;
        floor.set_rate(Some(rate));
        self.load.measured.push((self.now_s(), saturation, rate));
        self.note(format!(
            "{saturation:.0} answers/s at saturation, {rate:.0} commands/s from now on"
        ));
        Instant::now()
    }

    /// Carries out one trouble, and waits until all is well again.
    fn take(&mut self, step: Step) -> Result<()> {
        self.note(step.to_string());
        let mut change = match step.beside {
            Some((shards, after)) => {
                let change = self.begin_reshard(shards)?;
                std::thread::sleep(after);
                Some(change)
            }
            None => None,
        };
        let is_changing = change.is_some();
        match step.trouble {
            Trouble::Kill(CONTROLLER, down) => {
                self.happened.controllers_killed += 1;
                self.kill(CONTROLLER, down)?;
            }
            Trouble::Kill(end, down) => self.kill_box(end, down, is_changing)?,
            Trouble::Pause(end, time) => {
                self.happened.pauses += 1;
                self.system.pause(end, true);
                std::thread::sleep(time);
                self.system.pause(end, false);
            }
            Trouble::Cut(at, other, time) => {
                self.happened.cuts += 1;
                let lab = self.system.lab();
                lab.cut(at, other)
                    .and_then(|()| {
                        std::thread::sleep(time);
                        lab.mend(at, other)
                    })
                    .map_err(anyhow::Error::msg)?;
            }
            Trouble::Reshard(shards) => {
                self.happened.reshards += 1;
                let told = self.reshard(shards)?;
                self.note(told.lines().next().unwrap_or_default().to_owned());
            }
        }
        self.settle()?;
        if let Some(change) = &mut change {
            // Its answer may have died with whom it asked: who would wait for it asks again, and may not now.
            let ended = change.try_wait()?;
            let _ = change.kill();
            let _ = change.wait();
            self.note(match ended {
                Some(status) => format!("the change beside it ended: {status}"),
                None => "the change beside it was given up by who asked".to_owned(),
            });
        }
        self.settle()
    }

    /// A controller that has just started knows too little to begin, and says so.
    fn reshard(&mut self, shards: u32) -> Result<String> {
        let mut told = self.look(&["reshard", "kvs", &shards.to_string()]);
        let is_too_early = |told: &Result<String>| {
            told.as_ref().is_err_and(|error| error.to_string().contains("try again"))
        };
        wait(WELL_AT_MOST, || {
            if is_too_early(&told) {
                told = self.look(&["reshard", "kvs", &shards.to_string()]);
            }
            !is_too_early(&told)
        });
        told
    }

    fn begin_reshard(&mut self, shards: u32) -> Result<Child> {
        self.happened.reshards += 1;
        self.happened.commands += 1;
        self.system.asking(&["reshard", "kvs", &shards.to_string()]).begin()
    }

    fn kill(&mut self, end: usize, down: Duration) -> Result<()> {
        self.system.kill(end);
        locked(&self.shared.watch).ended(NAMES[end]);
        std::thread::sleep(down);
        self.start_one(end)
    }

    fn kill_box(&mut self, end: usize, down: Duration, is_changing: bool) -> Result<()> {
        self.happened.boxes_killed += 1;
        let places = match is_changing {
            true => None,
            false => shards(&self.look(&["tree"])?),
        };
        let floor = self.shared.floor.clone();
        let lost = places.map(|places| (places, end));
        let span_ns = (floor.now_ns(), u64::MAX);
        locked(&self.shared.losses).push(Loss { event: floor.event(), span_ns, lost });
        self.kill(end, down)?;
        self.settle()?;
        let now = floor.now_ns();
        if let Some(loss) = locked(&self.shared.losses).last_mut() {
            loss.span_ns.1 = now;
        }
        Ok(())
    }

    /// Waits until all is well: each process lives, all shards answer through both gateways, and no command is
    /// old.
    fn settle(&mut self) -> Result<()> {
        let floor = self.shared.floor.clone();
        let system = &self.system;
        let are_served = || BOXES.iter().all(|end| system.keys_seen_by(*end).is_some());
        let is_well = wait(WELL_AT_MOST, || are_served() && floor.longest_wait() < WAIT_WHEN_WELL);
        let fallen = self.system.fallen();
        if !fallen.is_empty() {
            bail!("a process has ended: {}", fallen.join("; "));
        }
        if is_well {
            return Ok(());
        }
        let of = |end: usize| self.system.keys_seen_by(BOXES[end]);
        let (tree, boxes) = (self.system.look(&["tree"]), self.system.look(&["boxes"]));
        bail!(
            "not well again in {WELL_AT_MOST:?}: DBSIZE is answered {:?} and {:?}; the oldest command waits for {:?}\n{}\n{}",
            of(0),
            of(1),
            floor.longest_wait(),
            tree.unwrap_or_else(|error| error.to_string()),
            boxes.unwrap_or_else(|error| error.to_string())
        )
    }

    fn look(&mut self, arguments: &[&str]) -> Result<String> {
        self.happened.commands += 1;
        self.system.look(arguments)
    }

    fn note(&mut self, what: String) {
        println!("{:>8.2}  {what}", self.now_s());
        self.diary.push((self.now_s(), what));
    }

    fn now_s(&self) -> f64 {
        self.shared.floor.now_ns() as f64 / 1e9
    }

    fn is_told_to_stop(&self) -> bool {
        self.told_to_stop.load(Ordering::Relaxed)
    }

    /// Comes to rest, and accounts for all.
    fn settle_accounts(mut self, soak: &Soak, heard: Vec<Heard>, judged: Judged) -> Result<Report> {
        let took_minutes = self.now_s() / 60.0;
        if let Some(tree) = self.look(&["tree"]).ok().as_deref().and_then(shards) {
            self.happened.shards = tree.len() as u64;
        }
        self.rest();
        self.hear(heard);
        if self.is_told_to_stop() {
            self.wrong.push("it was told to stop before its time".into());
        }
        self.wrong.extend(self.system.fallen());
        let watch = locked(&self.shared.watch);
        let counters = account(&watch, self.system.lab(), &self.happened);
        let memory: Vec<_> = watch.lives().iter().map(|life| life.held()).collect();
        drop(watch);
        let wrong = counters.iter().filter(|row| row.verdict == Verdict::Wrong);
        self.wrong.extend(wrong.map(|row| {
            format!("{} {} is {}, must be {}", row.process, row.metric, row.value, row.account)
        }));
        let grown = memory.iter().filter(|held| held.is_flat == Some(false));
        self.wrong.extend(grown.map(|held| {
            format!("{} grew from {} to {} KiB", held.process, held.filled_kib, held.last_kib)
        }));
        let count = judged.offences.len();
        self.wrong.extend(judged.offences.iter().take(OFFENCES_SHOWN).cloned());
        if count > OFFENCES_SHOWN {
            self.wrong.push(format!("{} offences more in the histories", count - OFFENCES_SHOWN));
        }
        (0..NAMES.len()).for_each(|end| self.system.end(end));
        Ok(Report {
            seed: soak.seed,
            minutes: soak.minutes,
            took_minutes,
            repeat: format!("cargo ci soak --minutes {} --seed {}", soak.minutes, soak.seed),
            load: self.load,
            happened: self.happened,
            diary: self.diary,
            histories: judged,
            memory,
            counters,
            wrong: self.wrong,
        })
    }

    /// Waits until nothing is under way any more, as the counters say, and until they have been read again.
    fn rest(&mut self) {
        let shared = &self.shared;
        let begun = self.now_s();
        let levels = [
            "packets_undone_now",
            "asks_unanswered_now",
            "routes_starved_now",
            "agents_runnable_now",
        ];
        let at_rest = || {
            let mut watch = locked(&shared.watch);
            watch.look(shared.floor.now_ns() as f64 / 1e9);
            let living = watch.lives().iter().filter(|it| it.lives);
            let mut levels = living.flat_map(|life| levels.map(|it| life.counts.get(it)));
            levels.all(|level| level.is_none_or(|level| *level == 0))
                && shared.floor.now_ns() as f64 / 1e9 > begun + 3.0
        };
        // What is not at rest then shows in the account.
        wait(WELL_AT_MOST, at_rest);
        // Keys of clients' own are there yet; of the shared ones none, but for what was done late.
        let flushed = self.system.ask_gateway("FLUSHALL");
        if flushed.as_deref() != Some("+OK") {
            self.wrong.push(format!("FLUSHALL is answered {flushed:?}"));
        }
        for end in BOXES {
            match self.system.keys_seen_by(end) {
                Some(0) => {}
                keys => self.wrong.push(format!(
                    "{}: {keys:?} keys are left though all were deleted",
                    NAMES[end]
                )),
            }
        }
        wait(Duration::from_secs(2), || false);
        locked(&shared.watch).look(self.now_s());
    }

    /// Adds up what clients heard.
    fn hear(&mut self, heard: Vec<Heard>) {
        let mut latencies = histogram();
        let losses = locked(&self.shared.losses).clone();
        for client in heard {
            let offences = client.surprises.iter().filter_map(|it| it.offence(&losses));
            self.wrong.extend(offences.take(OFFENCES_SHOWN));
            latencies += client.latencies;
            self.load.said += client.said;
            self.load.answered += client.answered;
            self.load.told_unknown += client.told_unknown;
            self.load.cut_off += client.cut_off;
            self.wrong
                .extend(client.strange.iter().map(|text| format!("a client was told: {text}")));
            if client.strange_count > client.strange.len() as u64 {
                self.wrong.push(format!("and {} such answers in all", client.strange_count));
            }
        }
        let Load { said, answered, told_unknown, cut_off, .. } = &self.load;
        let strange: u64 = said - answered - told_unknown - cut_off;
        if strange > 0 && self.wrong.is_empty() {
            self.wrong.push(format!("{strange} commands were neither answered nor given up"));
        }
        self.happened.answered = self.load.answered;
        let percentiles = [50.0, 90.0, 99.0, 99.9, 100.0];
        self.load.latency_ns = percentiles.map(|at| (at, latencies.value_at_percentile(at))).into();
    }
}
