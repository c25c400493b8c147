//! Every interleaving of a handle's callers and its reactor.

use loom::sync::{Condvar, Mutex};

use super::*;
use crate::doze::{Doorbell, Event};
use daedal_model::id::AgentId;

/// Wakes a loom thread that waits for it.
#[derive(Default)]
struct Model {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Model {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

fn wait_for<T>(mut poll: impl FnMut(&mut Task<'_>) -> Poll<T>) -> T {
    let model = Arc::new(Model::default());
    let waker = Waker::from(model.clone());
    loop {
        if let Poll::Ready(output) = poll(&mut Task::from_waker(&waker)) {
            return output;
        }
        let mut woken = model.woken.lock().unwrap();
        while !*woken {
            woken = model.changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

fn desk() -> Arc<Desk> {
    Arc::new(Desk::new(Arc::new(Doorbell::new(Event::new().unwrap())), 1))
}

fn take(desk: &Desk) -> usize {
    let taken = std::iter::from_fn(|| desk.calls.pop()).count();
    if taken > 0 {
        desk.tell_of_room();
    }
    taken
}

#[test]
fn loom_finds_no_caller_that_waits_for_room_in_vain() {
    loom::model(|| {
        let desk = desk();
        let handle = Handle::new(desk.clone());
        handle.try_send(AgentId(1), &1u64).unwrap();
        let reactor = loom::thread::spawn(move || {
            let mut taken = 0;
            while taken < 2 {
                taken += take(&desk);
                loom::thread::yield_now();
            }
        });
        let mut sent = handle.send(AgentId(1), &2u64);
        assert_eq!(wait_for(|task| Pin::new(&mut sent).poll(task)), Ok(()));
        reactor.join().unwrap();
    });
}

#[test]
fn loom_finds_no_ask_that_a_stopping_reactor_leaves_open() {
    loom::model(|| {
        let desk = desk();
        let handle = Handle::new(desk.clone());
        let reactor = loom::thread::spawn(move || drop(HandleShim::new(desk)));
        let mut ask = handle.ask::<HandleShim>(AgentId(1), &());
        let outcome = wait_for(|task| Pin::new(&mut ask).poll(task));
        assert_eq!(outcome, Err(AskError::Stopped));
        reactor.join().unwrap();
    });
}
