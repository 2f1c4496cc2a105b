//! Code of the application that never returns, all of it at once in one real process, and what a gateway does all the same.

use crate::children::{self, Role};
use crate::crashes::{PATIENCE, Place};
use crate::report::Row;
use crate::resources::must;
use crate::roles::{LEASE, wait_for};
use gateway_drain::controller::Settings;
use gateway_drain::reconciler::Options;
use gateway_drain::signals::Signals;
use gateway_drain::trace::Trace;
use gateway_drain::{DrainState, Home, Reconciler, Request, RequestId, Snapshot};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

const ROUNDS: u64 = 5;
const TICK: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_millis(50);

/// A pipe with no room left, which nobody reads: a write to it never returns.
fn full_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, mut writer) = io::pipe()?;
    let flags = fcntl_getfl(&writer)?;
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    for size in [4096, 1] {
        while writer.write(&vec![b'\n'; size]).is_ok() {}
    }
    fcntl_setfl(&writer, flags)?;
    Ok((reader, writer))
}

fn never_returns() -> ! {
    loop {
        std::thread::park();
    }
}

struct Blocks;

impl Wake for Blocks {
    fn wake(self: Arc<Self>) {
        never_returns();
    }
}

/// Polls, once, what waits for the gate, with a waker that never returns, and lets it wait.
fn polls<F: Future + 'static>(waiting: F) -> Result<(), Box<dyn Error>> {
    let mut waiting = Box::pin(waiting);
    let waker = Waker::from(Arc::new(Blocks));
    let waits = waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
    std::mem::forget(waiting);
    if waits { Ok(()) } else { Err("nothing waits, and this shows nothing".into()) }
}

/// A gateway whose application never returns. It tells, each time it is asked, whether it admits a turn.
pub fn gateway(home: &Path) -> Result<(), Box<dyn Error>> {
    io::stdin().read_line(&mut String::new())?;
    let signals = Signals::take()?;
    let (_unread, full) = full_pipe()?;
    let options = Options {
        tick: TICK,
        settings: Settings { interrupt_grace: DEADLINE, ..Settings::default() },
        trace: Some(Trace::to(full, None)),
        ..Options::default()
    };
    let gateway = Arc::new(Reconciler::start(Home::at(home), options).map_err(|error| error.to_string())?);
    gateway.shut_down_on(signals, DEADLINE);
    let controller = gateway.controller();
    controller.observe(|_| never_returns());
    // It tells of its panic where nobody reads.
    controller.observe(|change| panic!("as intended, at {change:?}"));
    let (tell, told) = mpsc::channel();
    let described = Arc::clone(&gateway);
    std::thread::spawn(move || {
        described.describe(|_| {
            let _ = tell.send(());
            never_returns();
        });
    });
    told.recv()?;
    let stuck = gateway.gate().admit()?.into_owned();
    polls(gateway.gate().closing())?;
    polls(stuck.interrupted())?;
    polls(controller.stopped())?;
    let stopped = controller.stopped();
    let asked = gateway.gate().clone();
    std::thread::spawn(move || {
        for _ in io::stdin().lines() {
            println!("{}", asked.admit().map_or_else(|refusal| refusal.to_string(), |_| "admitted".into()));
        }
    });
    println!("up");
    let _ = stopped.wait();
    drop(stuck);
    Ok(())
}

/// A gateway of which nothing comes back, with a log that nobody reads.
fn hung() -> Result<(), Box<dyn Error>> {
    let place = Place::new()?;
    let (_unread, full) = full_pipe()?;
    let role = ["foreign-code", "--home", &place.home.path().to_string_lossy()].map(ToString::to_string);
    let mut gateway = Role::start_as(children::command(&role).stderr(full))?;
    must(gateway.line()? == "up", "it did not start")?;
    let state = |wanted: DrainState| {
        let says = || Snapshot::read(&place.home).ok().filter(|status| status.drain.state == wanted);
        wait_for(PATIENCE, says).ok_or(format!("never {wanted:?}"))
    };
    let mut admits = |wanted: bool| -> Result<(), Box<dyn Error>> {
        gateway.tell("admit");
        let said = gateway.line()?;
        must((said == "admitted") == wanted, &format!("whether it admits: {said:?}"))
    };
    for _ in 0..2 {
        File::create(place.home.marker())?;
        state(DrainState::ExternalDraining)?;
        admits(false)?;
        fs::remove_file(place.home.marker())?;
        state(DrainState::Running)?;
        admits(true)?;
    }
    let id = RequestId::new("a")?;
    place.channel.write(&Request::begin(id, "ann").lease(LEASE))?;
    state(DrainState::ExternalDraining)?;
    admits(false)?;
    state(DrainState::Running)?;
    admits(true)?;

    gateway.signal(Signal::TERM)?;
    wait_for(PATIENCE, || gateway.has_ended().then_some(())).ok_or("it never ended")?;
    let status = state(DrainState::Stopped)?;
    must(status.drain.abandoned, "the turn that never ended was not recorded")?;
    Ok(())
}

pub fn row() -> Row {
    let tried = "observers, wakers, a description, a trace and a log that never return, all at once, under a marker, a lease and a SIGTERM";
    let mut row = Row::new("Foreign code", tried, "times");
    while row.times < ROUNDS && row.some("it was held up", hung()).is_some() {
        row.times += 1;
    }
    if row.passes() {
        row.happened =
            "each of the three took effect: closed, open again, and stopped at the deadline with the turn that never \
                        ended recorded as abandoned"
                .into();
    }
    row
}
