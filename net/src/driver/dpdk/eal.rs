//! DPDK itself ("EAL"): started once a process, by the first port that is opened, and let go of when the process ends.
//!
//! It is started by a thread of its own, as DPDK pins the thread that does, and has no threads that work: reactors are
//! ours. Invariant: it is started with one list of options; a port that wants another is refused.

#![expect(unsafe_code, reason = "foreign functions")]

use std::ffi::{CStr, CString, c_int};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::error::{Problem, last};
use super::options::{Parts, name};
use super::socket;

/// What became of it.
enum State {
    Running(String),
    Failed { options: String, said: String },
}

/// Held by whoever makes or takes away ports: DPDK sees one at a time.
static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Ports that are open.
static PORTS: AtomicUsize = AtomicUsize::new(0);

/// What is said in place of the user, if he does not: quiet, no files that outlive the process, no thread but those
/// that DPDK needs for itself, and no card but the one that was named.
fn options(parts: &Parts) -> Vec<String> {
    let says = |names: &[&str]| {
        let is = |word: &str, name: &str| word == name || word.starts_with(&format!("{name}="));
        parts.eal.iter().any(|word| names.iter().any(|name| is(word, name)))
    };
    let mut options: Vec<String> = parts.eal.iter().map(|it| (*it).to_owned()).collect();
    let mut unless = |names: &[&str], words: &[&str]| {
        if !says(names) {
            options.extend(words.iter().map(|it| (*it).to_owned()));
        }
    };
    unless(&["--telemetry", "--no-telemetry"], &["--no-telemetry"]);
    unless(&["--no-shconf", "--in-memory", "--proc-type"], &["--no-shconf"]);
    unless(&["--file-prefix"], &["--file-prefix", &format!("daedal-{}", std::process::id())]);
    unless(&["--log-level"], &["--log-level=error"]);
    unless(&["-l", "-c", "--lcores", "-s"], &["-l", &first_cpu().to_string()]);
    let which = ["-a", "--allow", "-b", "--block", "--no-pci"];
    if is_pci(parts.device) {
        unless(&which, &["-a", parts.device]);
    } else {
        unless(&which, &["--no-pci"]);
    }
    options
}

/// Whether a device is named by a PCI address, `0000:03:00.0` or `03:00.0`.
fn is_pci(device: &str) -> bool {
    let name = name(device);
    name.contains(':') && name.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
}

/// A processor that this process may use.
fn first_cpu() -> usize {
    let allowed = rustix::thread::sched_getaffinity(None).ok();
    let allowed =
        allowed.and_then(|it| (0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| it.is_set(*cpu)));
    allowed.unwrap_or(0)
}

/// Has DPDK run, and nobody else make or take away ports meanwhile.
/// # Errors
/// [`Problem::NotStarted`], [`Problem::OtherOptions`], [`Problem::SocketTaken`].
pub(super) fn started(parts: &Parts) -> Result<Held, Problem> {
    let mut state = STATE.lock().unwrap_or_else(|it| it.into_inner());
    let asked = parts.eal.join(" ");
    if state.is_none() {
        parts.made().try_for_each(socket::make_room)?;
        let options = options(parts);
        // It may pin its thread, which has the namespaces of this one.
        let started = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("dpdk".into());
            let start = thread.spawn_scoped(scope, || init(&options));
            start.map_err(|it| it.to_string()).and_then(|it| it.join().expect("it does not panic"))
        });
        *state = Some(match started {
            Ok(()) => State::Running(asked.clone()),
            Err(said) => State::Failed { options: options.join(" "), said },
        });
    }
    match state.as_ref().expect("it was just made") {
        State::Running(running) if *running == asked => Ok(Held(state)),
        State::Running(running) => Err(Problem::OtherOptions { running: running.clone(), asked }),
        State::Failed { options, said } => {
            Err(Problem::NotStarted { options: options.clone(), said: said.clone() })
        }
    }
}

/// Nobody else makes or takes away ports.
pub(super) struct Held(MutexGuard<'static, Option<State>>);

impl Held {
    /// For one that has a port, so that DPDK runs.
    pub(super) fn again() -> Held {
        Held(STATE.lock().unwrap_or_else(|it| it.into_inner()))
    }

    pub(super) fn opened(&self) {
        debug_assert!(self.0.is_some());
        PORTS.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        PORTS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn init(options: &[String]) -> Result<(), String> {
    let words = std::iter::once("daedal").chain(options.iter().map(String::as_str));
    let words: Vec<CString> =
        words.map(|it| CString::new(it).expect("options have no zero byte")).collect();
    // It keeps them.
    let words = words.leak();
    let mut pointers: Vec<_> = words.iter().map(|it| it.as_ptr().cast_mut()).collect();
    pointers.push(std::ptr::null_mut());
    let pointers = pointers.leak();
    // SAFETY: as many zero-terminated texts, and a null behind, which all stay.
    let result = unsafe { dpdk_sys::rte_eal_init(words.len() as c_int, pointers.as_mut_ptr()) };
    if result < 0 {
        let said = last().1;
        remove_folder();
        return Err(said);
    }
    // SAFETY: a function that may be called at any time, and once.
    let _ = unsafe { libc::atexit(let_go) };
    Ok(())
}

/// What DPDK has outside this process. While a port is open its threads may be at it: then the system has to.
extern "C" fn let_go() {
    if PORTS.load(Ordering::Relaxed) == 0 {
        // SAFETY: it was started, and no port is open that could be used.
        let _ = unsafe { dpdk_sys::rte_eal_cleanup() };
        remove_folder();
    }
}

/// Removes the folder that DPDK made for this process, and leaves. One that holds something is shared with others.
fn remove_folder() {
    // SAFETY: reads where a text is that is there as long as the process; it is empty before the folder is made.
    let folder = unsafe { dpdk_sys::rte_eal_get_runtime_dir() };
    // SAFETY: a zero-terminated text of DPDK's.
    let folder = unsafe { CStr::from_ptr(folder) };
    let _ = rustix::fs::rmdir(folder);
}

/// DPDK's name and version.
pub(super) fn version() -> String {
    // SAFETY: no more than a constant text.
    let version = unsafe { dpdk_sys::rte_version() };
    // SAFETY: it is zero-terminated and constant.
    unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
}

/// Has DPDK know this thread until it ends, so that its pools keep buffers for it. Without, they are slower.
pub(super) fn know_this_thread() {
    struct Known;
    impl Drop for Known {
        fn drop(&mut self) {
            // SAFETY: of this thread, which was registered, and uses no pool any more.
            unsafe { dpdk_sys::rte_thread_unregister() };
        }
    }
    thread_local! {
        static KNOWN: Option<Known> = {
            // SAFETY: DPDK runs: there is a port.
            let is_new = unsafe { dpdk_sys::daedal_thread_is_known() } == 0
                // SAFETY: as above.
                && unsafe { dpdk_sys::rte_thread_register() } == 0;
            is_new.then_some(Known)
        };
    }
    KNOWN.with(|_| ());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(eal: &[&'static str], device: &'static str, expect: &[&str], not: &[&str]) {
        let parts = Parts { device, eal: eal.to_vec(), ..Parts::default() };
        let options = options(&parts).join(" ");
        expect.iter().for_each(|it| assert!(options.contains(it), "{options}"));
        not.iter().for_each(|it| assert!(!options.contains(it), "{options}"));
    }

    #[test]
    fn what_the_user_does_not_say_is_said_for_him() {
        check(&[], "net_null0", &["--no-pci", "--no-telemetry", "--no-shconf", "-l "], &["-a"]);
        check(&[], "0000:03:00.0,x=1", &["-a 0000:03:00.0,x=1"], &["--no-pci"]);
        check(&["-a", "01:00.0"], "03:00.0", &["-a 01:00.0"], &["--no-pci", "-a 03"]);
        check(&["--file-prefix=x", "--lcores=1"], "net_null0", &[], &["daedal-", " -l "]);
        check(&["--in-memory"], "net_null0", &[], &["--no-shconf"]);
    }
}
