//! What restarts a gateway from outside it: a shell command orders it by a file, and goes on once it has been done.
//!
//! By no named pipe: what another test starts at the same moment has its ends too until it is executed, and a reader may find its end
//! in place of an answer.

use crate::support::process::GatewayProcess;
use crate::support::tool::LIMIT;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub struct Supervisor {
    /// Each order has a folder in it, with the files `asked` and, once it has been carried out, `done`.
    orders: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Instant>>>,
}

impl Supervisor {
    /// One that carries out each order like this. They lie in this folder.
    pub fn of(folder: &Path, mut obey: impl FnMut(&str) + Send + 'static) -> Self {
        let orders = folder.join("orders");
        std::fs::create_dir(&orders).expect("a folder");
        let is_over = Arc::new(AtomicBool::new(false));
        let (asked, ends) = (orders.clone(), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut moments = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                for order in std::fs::read_dir(&asked).expect("the folder").flatten().map(|order| order.path()) {
                    let Ok(what) = std::fs::read_to_string(order.join("asked")) else { continue };
                    if what.ends_with('\n') && !order.join("done").exists() {
                        obey(what.trim());
                        moments.push(Instant::now());
                        std::fs::write(order.join("done"), "").expect("a file");
                    }
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
            moments
        });
        Self { orders, is_over, thread: Some(thread) }
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

    /// The shell command that orders this, and waits until it is done or the supervisor's folder is gone.
    pub fn command(&self, order: &str) -> String {
        let orders = self.orders.display();
        format!(
            "o=$(mktemp -d {orders}/XXXXXX) && echo {order} > $o/asked && \
             until [ -e $o/done ]; do [ -d $o ] || exit 1; sleep 0.01; done"
        )
    }

    /// When each order had been carried out.
    pub fn end(mut self) -> Vec<Instant> {
        self.finish().expect("it has not ended yet").expect("each order was carried out")
    }

    /// Ends the thread, and with it what it restarts.
    fn finish(&mut self) -> Option<std::thread::Result<Vec<Instant>>> {
        let thread = self.thread.take()?;
        self.is_over.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        Some(thread.join())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.finish();
    }
}
