//! What it costs to wait: a controller over the files and over HTTP, and three hundred of them at one gateway.

use crate::rounds::{Measured, processor_time};
use crate::wish::{Place, Scene, pause};
use rustix::time::ClockId;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub const OVER_FILES: &str = "`gateway-drain wait` over the files, while it waits";
pub const OVER_HTTP: &str = "`gateway-drain wait` over HTTP, while it waits";
pub const CROWD: &str = "a gateway at which three hundred wait over HTTP (`Prefer: wait`)";
const MANY: usize = 300;

/// How often each is watched, and for how long.
pub const WINDOWS: usize = 5;
pub const WINDOW: Duration = Duration::from_secs(2);

/// A process that ends with this.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures them all, in per cent of a core.
pub fn measure(measured: &mut Measured, scene: &Scene, place: &Place) -> Result<(), Box<dyn Error>> {
    let turn = place.gateway.gate().admit_owned()?;
    let ended = scene.tool(&place.arguments(&["begin", "idle", "--owner", "bench"])).status()?;
    assert!(ended.success(), "a hold begins: {ended}");
    let wait = ["wait", "idle", "--owner", "bench", "--timeout", "60s"];
    for (name, arguments) in
        [(OVER_FILES, place.arguments(&wait)), (OVER_HTTP, [&["--url", &place.url], &wait[..]].concat())]
    {
        let waiting = Waiting(scene.tool(&arguments).stdout(Stdio::null()).spawn()?);
        // It waits as one does who has waited for a while.
        pause(Duration::from_secs(1));
        let tasks = format!("/proc/{}/task", waiting.0.id());
        measured.take(name, windows(|| time_of(&tasks)));
    }
    let request = "GET /api/gateway/drain/idle HTTP/1.1\r\nhost: bench\r\nprefer: wait=60\r\n\r\n";
    let crowd = (0..MANY).map(|_| {
        let mut connection = TcpStream::connect(place.url.trim_start_matches("http://"))?;
        connection.write_all(request.as_bytes()).map(|()| connection)
    });
    let crowd = crowd.collect::<Result<Vec<_>, _>>()?;
    pause(Duration::from_secs(1));
    measured.take(CROWD, windows(|| processor_time(ClockId::ProcessCPUTime)));
    drop((crowd, turn));
    let ended = scene.tool(&place.arguments(&["cancel", "idle", "--owner", "bench"])).status()?;
    assert!(ended.success(), "it is cancelled: {ended}");
    Ok(())
}

/// Of some windows, what share of each a processor was busy with it.
fn windows(time: impl Fn() -> Duration) -> Vec<f64> {
    let window = |_| {
        let (before, began) = (time(), Instant::now());
        pause(WINDOW);
        time().saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
    };
    (0..WINDOWS).map(window).collect()
}

/// The processor's time of all threads of a process that live.
fn time_of(tasks: &str) -> Duration {
    let threads = fs::read_dir(tasks).into_iter().flatten().flatten();
    let time = |thread: fs::DirEntry| {
        let read = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        read.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(time).sum())
}
