//! `examples/worker.rs`, run as its first lines say.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

const LIMIT: Duration = Duration::from_secs(30);

struct Worker {
    process: Child,
    jobs: Option<ChildStdin>,
    done: Receiver<String>,
}

impl Worker {
    fn start(home: &Path) -> Self {
        let mut process = Command::new(crate::support::example_bins::examples().join("worker"))
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the example runs");
        let (tell, done) = channel();
        let lines: Lines<BufReader<ChildStdout>> = BufReader::new(process.stdout.take().expect("piped")).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let jobs = process.stdin.take();
        Self { process, jobs, done }
    }

    fn job(&mut self, name: &str) {
        writeln!(self.jobs.as_mut().expect("the input is open"), "{name}").expect("it reads");
    }

    fn does(&self, job: &str) {
        assert_eq!(self.done.recv_timeout(LIMIT).expect("the job is done"), format!("{job}: done"));
    }

    fn ends(&mut self) {
        let start = Instant::now();
        while self.process.try_wait().expect("a child can be asked").is_none() {
            assert!(start.elapsed() < LIMIT, "it still runs");
            thread::yield_now();
        }
        assert!(self.process.wait().expect("it has ended").success(), "it ended in peace");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = (self.process.kill(), self.process.wait());
    }
}

fn until(home: &Path, says: &str) {
    let start = Instant::now();
    let status = || fs::read_to_string(home.join("gateway_state.json")).unwrap_or_default();
    while !status().contains(says) {
        assert!(start.elapsed() < LIMIT, "no {says} in {}", status());
        thread::yield_now();
    }
}

#[test]
fn it_takes_no_job_while_it_drains_takes_them_again_and_ends_with_its_input() {
    let home = tempfile::tempdir().unwrap();
    let marker = home.path().join(".drain_request.json");
    let mut worker = Worker::start(home.path());
    worker.job("first");
    worker.does("first");
    fs::write(&marker, "").unwrap();
    until(home.path(), "\"drained\": true");
    worker.job("second");
    worker.job("third");
    assert!(worker.done.recv_timeout(Duration::from_millis(300)).is_err(), "G2: nothing is done while it drains");
    fs::remove_file(&marker).unwrap();
    let mut done = [(); 2].map(|()| worker.done.recv_timeout(LIMIT).expect("L2: it goes on"));
    done.sort();
    assert_eq!(done, ["second: done", "third: done"]);
    worker.jobs = None;
    worker.ends();
    until(home.path(), "\"gateway_state\": \"stopped\"");
}

#[test]
fn it_ends_at_sigterm_although_its_input_is_open_and_it_drains() {
    for drains in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let mut worker = Worker::start(home.path());
        worker.job("first");
        worker.does("first");
        if drains {
            fs::write(home.path().join(".drain_request.json"), "").unwrap();
            until(home.path(), "\"drained\": true");
        }
        let pid = rustix::process::Pid::from_child(&worker.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        worker.ends();
    }
}
