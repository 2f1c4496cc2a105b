//! L5: whatever a gateway inherited, and whatever its event loop, its readers and its clients do, a signal is a shutdown.

use crate::support::own_process::{alone, this_program};
use crate::support::process::{GatewayProcess, examples, home};
use crate::support::tool::LIMIT;
use gateway_drain::{DrainState, Home, Snapshot};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ENDING: [(&str, Signal); 4] =
    [("TERM", Signal::TERM), ("INT", Signal::INT), ("QUIT", Signal::QUIT), ("HUP", Signal::HUP)];

fn gateway(home: &Path, more: &[&str]) -> Vec<String> {
    let program = examples().join("gateway").display().to_string();
    let home = home.display().to_string();
    let fixed = ["--home", &home, "--listen", "127.0.0.1:0", "--tick-ms", "20"];
    [program.as_str()].iter().chain(&fixed).chain(more).map(|word| (*word).to_owned()).collect()
}

/// Every signal that ends a process by default and isn't the report of a fault; of those for writes see below.
fn all_that_end() -> Vec<i32> {
    let more = [Signal::USR1, Signal::USR2, Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::XCPU, Signal::IO];
    let more = more.into_iter().chain([Signal::POWER, Signal::STKFLT]).map(Signal::as_raw);
    // SIGRTMIN to SIGRTMAX, as the C library has them.
    ENDING.into_iter().map(|(_, signal)| signal.as_raw()).chain(more).chain([34, 35, 37, 50, 63, 64]).collect()
}

/// By number, as those have to be sent that have no name.
fn send(pid: u32, number: i32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{number} {pid}")]).status().expect("a shell");
    assert!(sent.success(), "the process is there");
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("the process is there");
}

/// How it ended, within so long.
fn ended(child: &mut Child, within: Duration) -> std::process::ExitStatus {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if deadline <= Instant::now() {
            child.kill().expect("a child");
            panic!("it lives still, {within:?} later");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn until(home: &Path, state: DrainState) {
    crate::support::eventually::until(&Home::at(home), "the state", |s: &Snapshot| s.drain.state == state);
}

/// Starts the gateway by way of another program, and gives it once it is up.
fn started_by(program: &str, arguments: &[&str], home: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).args(gateway(home, more)).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    until(home, DrainState::Running);
    child
}

#[test]
fn every_ending_signal_is_a_shutdown_also_if_it_was_ignored_or_blocked() {
    let ignoring = ["-c", "trap '' TERM INT QUIT HUP; exec \"$@\"", "sh"];
    let mask = "import os, signal, sys; \
                signal.pthread_sigmask(signal.SIG_BLOCK, [1, 2, 3, 15]); os.execv(sys.argv[1], sys.argv[1:])";
    for (name, sent) in ENDING {
        for (program, arguments) in [("sh", &ignoring[..]), ("python3", &["-c", mask]), ("nohup", &[]), ("env", &[])] {
            let state = home();
            let mut child = started_by(program, arguments, state.path(), &[]);
            signal(&child, sent);
            let status = ended(&mut child, LIMIT);
            assert_eq!(status.code(), Some(0), "{name}, started by {program}: {status}");
            let left = Snapshot::read(&Home::at(state.path())).expect("its last word");
            assert_eq!(left.drain.state, DrainState::Stopped, "{name}, started by {program}");
        }
    }
}

#[test]
fn every_signal_that_would_end_the_process_is_a_shutdown_that_finishes_its_turns() {
    for number in all_that_end() {
        let state = home();
        let process = GatewayProcess::start_with(state.path(), &["--deadline-ms", "600000"]);
        let turn = process.turn(300);
        send(process.pid(), number);
        assert_eq!(process.ends_within(LIMIT), Some(0), "signal {number}");
        assert!(turn.finished(), "signal {number} has cut a turn off");
        let left = Snapshot::read(&Home::at(state.path())).expect("its last word");
        assert_eq!(left.drain.state, DrainState::Stopped, "signal {number}");
    }
}

#[test]
fn every_signal_that_would_end_the_process_is_a_shutdown_also_if_all_of_them_were_blocked() {
    let mask = "import os, signal, sys; \
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); os.execv(sys.argv[1], sys.argv[1:])";
    for number in all_that_end() {
        let state = home();
        let mut child = started_by("python3", &["-c", mask], state.path(), &[]);
        send(child.id(), number);
        let status = ended(&mut child, LIMIT);
        assert_eq!(status.code(), Some(0), "signal {number}: {status}");
    }
}

#[test]
fn what_a_timer_or_a_limit_sends_again_and_again_forces_nothing_and_a_request_after_it_is_the_first() {
    let state = home();
    let process = GatewayProcess::start_with(state.path(), &["--deadline-ms", "600000"]);
    let _turn = process.turn(600_000);
    let still = |what: &str| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1_100) {
            std::thread::park_timeout(Duration::from_millis(1_100));
        }
        let status = Snapshot::read(&Home::at(state.path())).expect("a status").drain;
        assert_eq!((status.state, status.in_flight), (DrainState::ShutdownDraining, 1), "{what}");
    };
    for _ in 0..2 {
        for repeated in [Signal::XCPU, Signal::PROF, Signal::VTALARM, Signal::ALARM, Signal::IO] {
            send(process.pid(), repeated.as_raw());
        }
        until(state.path(), DrainState::ShutdownDraining);
        still("it comes of itself");
    }
    process.terminate();
    still("one request forces nothing");
    process.terminate();
    assert_eq!(process.ends_within(LIMIT), Some(3));
}

#[test]
fn a_file_that_may_not_grow_is_an_error_and_not_the_end_of_the_gateway() {
    // Blocks of 512 bytes: from a limit that nothing fits in to one that only the status outgrows.
    for blocks in 1..=8 {
        let state = home();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -f {blocks} && exec \"$@\""), "sh"]).args(gateway(state.path(), &[]));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut first).expect("text");
        if first.is_empty() {
            // It can't publish, and says so.
            let mut said = String::new();
            child.stderr.take().expect("its errors").read_to_string(&mut said).expect("text");
            assert_eq!(ended(&mut child, LIMIT).code(), Some(1), "{blocks}: {said}");
            assert!(said.contains("can't be") && said.contains("ulimit -f"), "{blocks}: {said}");
            continue;
        }
        let address = first.trim().strip_prefix("listening on http://").expect("its address");
        std::fs::write(Home::at(state.path()).marker(), format!(r#"{{"principal": "{}"}}"#, "p".repeat(90)))
            .expect("room");
        let refused = |address: &str| {
            let post = ureq::post(format!("http://{address}/turns")).header("content-type", "application/json");
            matches!(post.send(r#"{"session": "s1", "millis": 0}"#), Err(ureq::Error::StatusCode(503)))
        };
        let deadline = Instant::now() + LIMIT;
        while !refused(address) {
            assert!(
                Instant::now() < deadline && child.try_wait().expect("a child").is_none(),
                "{blocks}: it has ended"
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
        signal(&child, Signal::TERM);
        assert_eq!(ended(&mut child, LIMIT).code(), Some(0), "{blocks}");
    }
}

#[test]
fn what_is_left_to_the_application_is_its_own() {
    let state = home();
    let mut child = alone(&this_program(), module_path!(), "a_gateway_that_uses_signals_itself");
    let mut child = child.env("GATEWAY_DRAIN_HOME", state.path()).stdout(Stdio::piped()).spawn().expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    lines.find(|line| line.contains("it runs")).expect("it starts");
    for (number, name) in [(10, "USR1"), (1, "HUP"), (64, "RTMAX"), (10, "USR1")] {
        send(child.id(), number);
        lines.find(|line| line.contains(&format!("got {number}"))).expect(name);
        until(state.path(), DrainState::Running);
    }
    signal(&child, Signal::USR2);
    assert_eq!(ended(&mut child, LIMIT).code(), Some(0), "the others are taken");
}

/// The process of the test above.
#[test]
fn a_gateway_that_uses_signals_itself() {
    let Some(home) = std::env::var_os("GATEWAY_DRAIN_HOME") else { return };
    let own = [Signal::USR1.as_raw(), Signal::HUP.as_raw(), 64];
    let mut arriving = signal_hook::iterator::Signals::new(own).expect("its own signals");
    let signals = gateway_drain::signals::Signals::take_except(&own).expect("the signals");
    std::thread::spawn(move || arriving.forever().for_each(|number| println!("got {number}")));
    let gateway = gateway_drain::Reconciler::start(Home::at(home), gateway_drain::reconciler::Options::default());
    let gateway = gateway.expect("a gateway");
    gateway.shut_down_on(signals, Duration::from_secs(60));
    println!("it runs");
    assert!(gateway.controller().stopped().wait().finished());
}

#[test]
fn several_signals_of_one_moment_are_one_request_and_a_later_one_forces() {
    let state = home();
    let process = GatewayProcess::start_with(state.path(), &["--deadline-ms", "600000"]);
    let _turn = process.turn(600_000);
    let pid = Pid::from_raw(process.pid().cast_signed()).expect("a process");
    for (_, sent) in ENDING.into_iter().chain(ENDING) {
        kill_process(pid, sent).expect("the process is there");
    }
    until(state.path(), DrainState::ShutdownDraining);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_100) {
        std::thread::park_timeout(Duration::from_millis(1_100));
    }
    let status = Snapshot::read(&Home::at(state.path())).expect("a status").drain;
    assert_eq!((status.state, status.in_flight), (DrainState::ShutdownDraining, 1), "one request forces nothing");
    process.terminate();
    assert_eq!(process.ends_within(LIMIT), Some(3), "what was in flight is abandoned, and said to be");
}

#[test]
fn a_signal_in_a_slow_start_counts_once_the_gateway_is_there() {
    let state = home();
    let mut child = alone(&this_program(), module_path!(), "a_gateway_that_starts_slowly");
    child.env("GATEWAY_DRAIN_HOME", state.path());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    lines.find(|line| line.contains("the signals are taken")).expect("it starts");
    signal(&child, Signal::TERM);
    lines.find(|line| line.contains("a signal has come")).expect("it has noticed");
    writeln!(child.stdin.take().expect("its input"), "go on").expect("it waits for that");
    assert_eq!(ended(&mut child, LIMIT).code(), Some(0));
    let left = Snapshot::read(&Home::at(state.path())).expect("its last word");
    assert_eq!(left.drain.state, DrainState::Stopped);
}

/// The process of the test above.
#[test]
fn a_gateway_that_starts_slowly() {
    let Some(home) = std::env::var_os("GATEWAY_DRAIN_HOME") else { return };
    let signals = gateway_drain::signals::Signals::take().expect("the signals");
    assert!(!signals.received(), "none has been sent yet");
    println!("the signals are taken");
    while !signals.received() {
        std::thread::yield_now();
    }
    println!("a signal has come");
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    let gateway = gateway_drain::Reconciler::start(Home::at(home), gateway_drain::reconciler::Options::default());
    let gateway = gateway.expect("a gateway");
    gateway.shut_down_on(signals, Duration::from_secs(60));
    assert!(gateway.controller().stopped().wait().finished());
}

#[test]
fn a_signal_to_a_process_that_has_given_its_gateway_up_ends_it_as_it_would_have_without() {
    for (number, code, by) in [(15, None, Some(15)), (64, Some(128 + 64), None)] {
        let mut child = alone(&this_program(), module_path!(), "a_gateway_that_never_comes");
        let mut child = child.env("GATEWAY_DRAIN_HOME", "any").stdout(Stdio::piped()).spawn().expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        lines.find(|line| line.contains("there will be none")).expect("it starts");
        send(child.id(), number);
        let status = ended(&mut child, LIMIT);
        // No library knows the default of a real-time signal; the code is how a shell tells of it.
        assert_eq!((status.code(), status.signal()), (code, by), "signal {number}: {status}");
    }
}

/// The process of the test above.
#[test]
fn a_gateway_that_never_comes() {
    if std::env::var_os("GATEWAY_DRAIN_HOME").is_none() {
        return;
    }
    drop(gateway_drain::signals::Signals::take().expect("the signals"));
    println!("there will be none");
    std::thread::park_timeout(LIMIT);
}

#[test]
fn a_frozen_event_loop_holds_up_no_shutdown() {
    let state = home();
    let mut command = Command::new(&gateway(state.path(), &[])[0]);
    command.args(&gateway(state.path(), &["--deadline-ms", "200"])[1..]).env("TOKIO_WORKER_THREADS", "1");
    let process = GatewayProcess::of(command, state.path());
    // Blocks the only thread of the runtime for longer than the test lasts; no answer comes.
    let mut stream = std::net::TcpStream::connect(&process.address).expect("it listens");
    let body = r#"{"session": "s1", "millis": 600000, "blocking": true}"#;
    let head = format!(
        "POST /turns HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("it takes the request");
    crate::support::eventually::until(&Home::at(state.path()), "the turn", |s: &Snapshot| s.drain.in_flight == 1);
    process.terminate();
    let began = Instant::now();
    assert_eq!(process.ends_within(LIMIT), Some(3), "deadline, grace, and a second for the last bytes");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// An output that takes nothing; and its reader, which reads nothing.
fn unwritable(what: &str) -> (Option<std::io::PipeReader>, Stdio) {
    if what == "a full disk" {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        return (None, Stdio::from(full));
    }
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    if what == "a closed pipe" {
        return (None, Stdio::from(writer));
    }
    rustix::io::ioctl_fionbio(&writer, true).expect("a pipe that doesn't block");
    while writer.write(&[b'.'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("a pipe that blocks");
    (Some(reader), Stdio::from(writer))
}

#[test]
fn nobody_who_reads_the_output_or_does_not_stands_between_a_signal_and_its_effect() {
    for what in ["a full pipe", "a closed pipe", "a full disk"] {
        let state = home();
        let words = gateway(state.path(), &["--trace", "/dev/stdout"]);
        for words in [&words[..], &words[..words.len() - 2]] {
            let ((kept, out), (kept_too, err)) = (unwritable(what), unwritable(what));
            let mut child = Command::new(&words[0]);
            let mut child = child.args(&words[1..]).stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect(what);
            until(state.path(), DrainState::Running);
            signal(&child, Signal::TERM);
            assert_eq!(ended(&mut child, LIMIT).code(), Some(0), "{what}");
            drop((kept, kept_too));
        }
    }
}

#[test]
fn a_client_that_stops_reading_or_sending_holds_up_no_shutdown() {
    let state = home();
    let process = GatewayProcess::start_with(state.path(), &["--deadline-ms", "200"]);
    let connect = || std::net::TcpStream::connect(&process.address).expect("it listens");
    let (mut half, mut unread, idle) = (connect(), connect(), connect());
    half.write_all(b"POST /turns HTTP/1.1\r\nhost: g\r\ncontent-length: 1000\r\n\r\n{").expect("half a request");
    let body = r#"{"session": "s1", "millis": 600000}"#;
    let head = format!(
        "POST /turns HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    unread.write_all(format!("{head}{body}").as_bytes()).expect("it takes the request");
    let mut first = [0; 1];
    unread.read_exact(&mut first).expect("the turn has begun");
    process.terminate();
    let began = Instant::now();
    assert_eq!(process.ends_within(LIMIT), Some(3));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop((half, unread, idle));
}
