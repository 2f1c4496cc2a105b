//! From a wish to an act: how long a drain takes in which nothing is waited for, beside the floor on the same disk, beside a
//! gateway that is told of no change, and beside others.

use crate::others;
use crate::rounds::Measured;
use gateway_drain::control::write::replace;
use gateway_drain::hold::HoldEvent;
use gateway_drain::http::Endpoint;
use gateway_drain::reconciler::Options;
use gateway_drain::{Home, Reconciler};
use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use tempfile::TempDir;

/// How often each of them is done.
pub const ROUNDS: usize = 31;
/// How often a hundred gateways are drained, and a gateway that is told nothing.
pub const FEW: usize = 5;
/// As many gateways are drained at once.
const MANY: usize = 100;

/// Atomic writes of a whole `run`: the controller's begin, token, prepared withdrawal, commit and withdrawal; the gateway's three
/// statuses, and its record of commits twice.
const WRITES: usize = 10;

pub const FLOOR: &str = "as many atomic writes as `run` and its gateway make";
pub const START: &str = "the start and the end of the same program (`--version`)";
pub const LEAST: &str = "both together";
pub const FILES: &str = "`run -- true` over the files";
pub const HTTP: &str = "`run -- true` over HTTP";
pub const UNTOLD: &str = "`run -- true` over the files, where no change is told";
pub const TOUCH: &str = "from `touch` to the first refused turn";
pub const REMOVE: &str = "from `rm` to the first admitted turn";
pub const RELEASE: &str = "from the last release to the exit of `gateway-drain wait`";
pub const ROW: &str = "a hundred gateways, one after the other";
pub const AT_ONCE: &str = "a hundred gateways, at the same time";

/// Where all of it happens: on the disk of the checkout.
pub struct Scene {
    folder: TempDir,
    /// The command line: this program, under its name.
    tool: PathBuf,
}

/// A gateway, and where it is to be found.
pub struct Place {
    home: Home,
    pub gateway: Arc<Reconciler>,
    pub url: String,
}

impl Scene {
    fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let tool = folder.path().join("gateway-drain");
        symlink(env::current_exe()?, &tool)?;
        Ok(Self { folder, tool })
    }

    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command.args(arguments).env("GATEWAY_DRAIN_STATE", self.folder.path().join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn place(&self, name: &str, events: bool) -> Result<Place, Box<dyn Error>> {
        let home = Home::at(self.folder.path().join(name));
        let gateway = Reconciler::start(home.clone(), Options { events, ..Options::default() })?;
        Ok(Place { home, gateway: Arc::new(gateway), url: String::new() })
    }
}

impl Place {
    pub fn arguments<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let home = self.home.path().to_str().expect("a path of this program's own");
        [&["--home", home], rest].concat()
    }

    /// Serves its endpoint on a thread of its own, to the end of the program.
    fn serve(&mut self) -> Result<(), Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        self.url = format!("http://{}", listener.local_addr()?);
        let routes = Endpoint::of_gateway(Arc::clone(&self.gateway)).unauthenticated("bench").routes();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let service = routes.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, service).await
            })
        });
        Ok(())
    }
}

/// Milliseconds.
pub fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

/// How long a command takes that has to succeed, in milliseconds.
pub fn timed(mut command: Command) -> f64 {
    let began = Instant::now();
    let ended = command.status().expect("the command starts");
    let took = since(began);
    assert!(ended.success(), "{command:?} ended with {ended}");
    took
}

/// Does it all.
pub fn measure(measured: &mut Measured) -> Result<others::Found, Box<dyn Error>> {
    let scene = Scene::new()?;
    let mut place = scene.place("home", true)?;
    place.serve()?;
    let run = |place: &Place| timed(scene.tool(&place.arguments(&["run", "--", "true"])));
    let over_http = || timed(scene.tool(&["--url", &place.url, "run", "--", "true"]));
    let floor_folder = fs::File::open(scene.folder.path())?.into();
    let floor = || {
        let began = Instant::now();
        for number in 0..WRITES {
            let written = replace(&floor_folder, ["a", "b"][number % 2], &[b'x'; 1500], None, |_| Ok(()));
            written.expect("the disk takes it");
        }
        since(began)
    };
    // Once each for nothing: what is read from the disk for the first time is not what is measured.
    run(&place);
    over_http();
    let mut values: [Vec<f64>; 8] = Default::default();
    for _ in 0..ROUNDS {
        let (least, start) = (floor(), timed(scene.tool(&["--version"])));
        let (touch, remove) = touched(&place);
        let all = [least, start, least + start, run(&place), over_http(), touch, remove, released(&scene, &place)];
        values.iter_mut().zip(all).for_each(|(values, value)| values.push(value));
    }
    let names = [FLOOR, START, LEAST, FILES, HTTP, TOUCH, REMOVE, RELEASE];
    names.into_iter().zip(values).for_each(|(name, values)| measured.take(name, values));

    let untold = scene.place("untold", false)?;
    measured.take(UNTOLD, (0..FEW).map(|_| run(&untold)).collect());
    drop(untold);

    let many = (0..MANY).map(|number| scene.place(&format!("many-{number}"), true)).collect::<Result<Vec<_>, _>>()?;
    let homes: String = many.iter().map(|place| format!("{}\n", place.home.path().display())).collect();
    let list = scene.folder.path().join("homes");
    fs::write(&list, homes)?;
    let all = |at_once: &str| {
        let mut command = Command::new("xargs");
        command.args(["-P", at_once, "-I", "{}"]).arg(&scene.tool).args(["--home", "{}", "run", "--", "true"]);
        command.env("GATEWAY_DRAIN_STATE", scene.folder.path().join("state"));
        command.stdin(fs::File::open(&list).expect("the list")).stdout(Stdio::null()).stderr(Stdio::null());
        timed(command) / 1000.0
    };
    measured.take(ROW, (0..FEW).map(|_| all("1")).collect());
    measured.take(AT_ONCE, (0..FEW).map(|_| all("100")).collect());
    drop(many);

    crate::idle::measure(measured, &scene, &place)?;
    let timeline = timeline(&scene, &place)?;
    Ok(others::Found { timeline, ..others::measure(measured, scene.folder.path())? })
}

/// How often the worker asks for a turn.
///
/// Not without a pause: a thread that never sleeps keeps a core busy, and where the system wakes the gateway's thread on that
/// very core, it lets it wait there for its own next clock tick, 4 ms here. That would be the measurement's own time.
const ASKS: Duration = Duration::from_micros(50);

/// A marker that is touched and removed, seen by a worker that asks for a turn again and again.
fn touched(place: &Place) -> (f64, f64) {
    let gate = place.gateway.gate();
    let until = |admitted: bool| {
        let began = Instant::now();
        if admitted {
            fs::remove_file(place.home.marker()).expect("it is there");
        } else {
            fs::write(place.home.marker(), "").expect("it can be touched");
        }
        while gate.admit().is_ok() != admitted {
            pause(ASKS);
        }
        let took = since(began);
        settled(place);
        took
    };
    (until(false), until(true))
}

/// Until what was published last is what is so: the next measurement begins from rest.
fn settled(place: &Place) {
    pause(Duration::from_millis(20));
    assert!(place.gateway.unready().is_empty() || place.gateway.gate().admit().is_err(), "it is drained, or ready");
}

fn released(scene: &Scene, place: &Place) -> f64 {
    let turn = place.gateway.gate().admit_owned().expect("it is open");
    timed(scene.tool(&place.arguments(&["begin", "wait", "--owner", "bench"])));
    let nonce = || {
        let answers = place.gateway.snapshot().drain.acknowledged;
        answers.into_iter().find(|answer| answer.request_id.as_str() == "wait").and_then(|answer| answer.nonce)
    };
    let begun = nonce();
    let mut waiting = scene.tool(&place.arguments(&["wait", "wait", "--owner", "bench"])).spawn().expect("it starts");
    while nonce() == begun {
        pause(Duration::from_millis(1));
    }
    // It waits as one does who has waited for a while.
    pause(Duration::from_millis(250));
    let began = Instant::now();
    drop(turn);
    let took = ended(&mut waiting, began);
    timed(scene.tool(&place.arguments(&["cancel", "wait", "--owner", "bench"])));
    took
}

fn ended(child: &mut Child, began: Instant) -> f64 {
    let ended = child.wait().expect("it ends");
    assert!(ended.success(), "it ended with {ended}");
    since(began)
}

#[allow(clippy::disallowed_methods, reason = "between two measurements nothing is to happen")]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// Who does something in a `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    ControllerWrites,
    GatewayDecides,
    GatewayWrites,
    ControllerReads,
    Act,
}

/// At which millisecond who does what.
pub type Moment = (f64, Who, String);

/// One whole `run`, seen by the system's own events and by an observer of the gateway: that of the middle length of some.
fn timeline(scene: &Scene, place: &Place) -> Result<Vec<Moment>, Box<dyn Error>> {
    let mut all = (0..FEW).map(|_| one_run(scene, place)).collect::<Result<Vec<_>, _>>()?;
    let length = |moments: &Vec<Moment>| moments.last().map_or(0.0, |last| last.0);
    all.sort_by(|one, other| length(one).total_cmp(&length(other)));
    Ok(all.swap_remove(FEW / 2))
}

fn one_run(scene: &Scene, place: &Place) -> Result<Vec<Moment>, Box<dyn Error>> {
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    let acts = tempfile::tempdir_in(scene.folder.path())?;
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let state = scene.folder.path().join("state");
    let watch = |path: &Path, what| inotify::add_watch(&events, path, what);
    let home = watch(place.home.path(), WatchFlags::MOVED_TO | WatchFlags::OPEN)?;
    let holds = watch(&place.home.holds_folder(), WatchFlags::MOVED_TO)?;
    let tokens = watch(&state, WatchFlags::CREATE)?;
    let act = watch(acts.path(), WatchFlags::CREATE)?;

    let (told, heard) = std::sync::mpsc::channel();
    let observed = place.gateway.controller().observe(move |change| {
        if let gateway_drain::controller::Change::Hold(change) = change {
            let what = match change.what {
                HoldEvent::Begun => "holds",
                HoldEvent::Renewed => "renews",
                HoldEvent::Committed => "grants",
                HoldEvent::Ended(_) => "ends",
            };
            let _ = told.send((Instant::now(), what.to_owned()));
        }
    });
    let began = Instant::now();
    let file = acts.path().join("act");
    let mut run = scene.tool(&place.arguments(&["run", "--", "touch", file.to_str().ok_or("a path")?])).spawn()?;
    let running = thread::spawn(move || run.wait().map(|_| Instant::now()));
    let mut moments: Vec<Moment> = Vec::new();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut asked = ["begins", "commits", "withdraws"].into_iter();
    let mut over = false;
    while !over {
        over = running.is_finished();
        let mut reader = Reader::new(&events, &mut buffer);
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let opened = event.events().contains(ReadFlags::OPEN);
            let what = match (event.wd(), name.as_str()) {
                (folder, "gateway_state.json") if folder == home && opened => (Who::ControllerReads, ""),
                (folder, "gateway_state.json") if folder == home => (Who::GatewayWrites, "publishes"),
                (folder, ".drain_commits.json") if folder == home && !opened => (Who::GatewayWrites, "records"),
                (folder, name) if folder == holds && name.starts_with('.') => (Who::ControllerWrites, "prepares"),
                (folder, _) if folder == holds => (Who::ControllerWrites, asked.next().unwrap_or("asks")),
                (folder, name) if folder == tokens && name.ends_with(".json") => {
                    (Who::ControllerWrites, "keeps its token")
                }
                (folder, _) if folder == act => (Who::Act, "acts"),
                _ => continue,
            };
            moments.push((since(began), what.0, what.1.to_owned()));
        }
        // Not without a pause: see `ASKS`.
        pause(ASKS);
    }
    let ended = running.join().map_err(|_| "the wait for a command doesn't panic")??;
    let at = |moment: Instant| (moment - began).as_secs_f64() * 1000.0;
    moments.push((at(ended), Who::ControllerReads, "exits".into()));
    observed.flush(Duration::from_secs(1));
    moments.extend(heard.try_iter().map(|(moment, what)| (at(moment), Who::GatewayDecides, what)));
    observed.end();
    moments.sort_by(|one, other| one.0.total_cmp(&other.0));
    Ok(moments)
}
