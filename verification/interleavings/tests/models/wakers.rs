//! Wakers are code of others: one may drop its task where it is woken, and ask the gateway (G4). A lock that is held
//! meanwhile is waited for by its own holder, which loom reports as a deadlock.

use super::explore::{Seen, thread};
use gateway_drain::controller::Settings;
use gateway_drain::lifecycle::{Lifecycle, Running};
use gateway_drain::{Clock, Controller, DrainState, Request, RequestId};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

/// A task, as an executor has it whose queue is closed: to wake it is to drop it. Outside of loom, and never locked across a
/// step of its own.
#[derive(Default)]
struct Task(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().expect("nothing panics while it holds this lock").take();
        if let Some(task) = task {
            task();
        }
    }
}

impl Task {
    fn poll(self: &Arc<Self>, wait: &mut (impl Future + Unpin)) -> bool {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(wait).poll(&mut Context::from_waker(&waker)).is_ready()
    }

    fn has(&self, task: impl FnOnce() + Send + 'static) {
        *self.0.lock().expect("nothing panics while it holds this lock") = Some(Box::new(task));
    }
}

/// The task has a turn of its own, and waits for the drain's end and for the next turn. It is dropped by the move that
/// wakes it, while another turn ends on another thread.
pub fn a_waker_may_drop_its_task(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let other = running.gate().admit_owned().expect("a new gate admits");
    let own = running.gate().admit_owned().expect("a new gate admits");
    let draining = running.begin_drain();
    let gate = draining.gate().clone();
    let task = Arc::new(Task::default());
    let mut waits = (gate.drained(gate.reading().generation), gate.admitted());
    assert!(!task.poll(&mut waits.0), "its own turn is in flight");
    assert!(!task.poll(&mut waits.1), "the gate drains");
    task.has(move || drop((waits, own)));
    let other = thread::spawn(move || drop(other));
    let running = draining.end_drain();
    other.join().expect("the turn ends");
    assert_eq!(running.gate().reading().total(), 0, "G6: both turns have ended");
    assert!(task.0.lock().expect("as above").is_none(), "G4: the task was woken");
    seen.note("gone");
}

/// The task asks the controller where it is woken: the move is complete by then, and nothing is locked.
pub fn a_waker_may_ask_the_controller(seen: &Seen) {
    let controller = Controller::with(Settings { clock: Clock::manual(), ..Settings::default() });
    let id = RequestId::new("upgrade").expect("a sound name");
    controller.request(&Request::begin(id.clone(), "ops")).expect("nobody else holds it");
    let task = Arc::new(Task::default());
    let mut wait = controller.gate().opened();
    assert!(!task.poll(&mut wait), "the gate drains");
    task.has({
        let (controller, seen) = (controller.clone(), seen.clone());
        move || {
            assert!(controller.holds().is_empty(), "H1: the hold has ended, and so the drain");
            assert_eq!(controller.state(), DrainState::Running);
            seen.note("asked");
        }
    });
    let other = thread::spawn({
        let controller = controller.clone();
        move || controller.settle()
    });
    controller.request(&Request::withdraw(id, "ops")).expect("it is its own");
    other.join().expect("the other ends");
    drop(wait);
}
