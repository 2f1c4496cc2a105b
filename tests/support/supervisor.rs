//! What restarts a gateway from outside it: a shell command orders it over a pipe, and goes on once it has been done.

use crate::support::process::GatewayProcess;
use crate::support::tool::LIMIT;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Instant;

pub struct Supervisor {
    asked: PathBuf,
    done: PathBuf,
    thread: Option<JoinHandle<Vec<Instant>>>,
}

impl Supervisor {
    /// One that carries out each order like this. Its pipes lie in this folder.
    pub fn of(folder: &Path, mut obey: impl FnMut(&str) + Send + 'static) -> Self {
        let [asked, done] = ["asked", "done"].map(|name| folder.join(name));
        for pipe in [&asked, &done] {
            mkfifoat(CWD, pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        }
        let (orders, answers) = (asked.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            let mut moments = Vec::new();
            loop {
                let order = std::fs::read_to_string(&orders).expect("an order");
                if order.trim() == "end" {
                    return moments;
                }
                obey(order.trim());
                moments.push(Instant::now());
                // The command may have ended meanwhile.
                let _ = std::fs::write(&answers, "done\n");
            }
        });
        Self { asked, done, thread: Some(thread) }
    }

    /// One that stops a gateway by `kill` (SIGKILL) or `terminate` (SIGTERM), waits until it is gone, and starts the next
    /// one at the same address. At any other order it does what `else_do` says.
    pub fn of_process(
        gateway: GatewayProcess,
        folder: &Path,
        start: fn(&Path, &str) -> GatewayProcess,
        mut else_do: impl FnMut() + Send + 'static,
    ) -> Self {
        let mut running = Some(gateway);
        Self::of(folder, move |order| {
            if !["kill", "terminate"].contains(&order) {
                return else_do();
            }
            let before = running.take().expect("one runs at any time");
            let (address, home) = (before.address.clone(), before.home.clone());
            if order == "kill" {
                before.kill();
            } else {
                before.terminate();
                assert_eq!(before.ends_within(LIMIT), Some(0), "nothing was in flight");
            }
            running = Some(start(&home, &address));
        })
    }

    /// The shell command that orders this, and waits until it is done.
    pub fn command(&self, order: &str) -> String {
        format!("echo {order} > {} && read done < {}", self.asked.display(), self.done.display())
    }

    /// When each order had been carried out.
    pub fn end(mut self) -> Vec<Instant> {
        self.finish().expect("it has not ended yet").expect("each order was carried out")
    }

    /// Ends the thread, and with it what it restarts.
    fn finish(&mut self) -> Option<std::thread::Result<Vec<Instant>>> {
        let thread = self.thread.take()?;
        // Without a reader it would wait to answer a command that is gone.
        let _reader =
            OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&self.done);
        if !thread.is_finished() {
            let _ = std::fs::write(&self.asked, "end\n");
        }
        Some(thread.join())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.finish();
    }
}
