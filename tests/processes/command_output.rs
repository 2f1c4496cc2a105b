//! What the command line prints: results that are written or failed, foreign text that no terminal acts on, lines that can be
//! pasted; and how often each command writes.

use crate::support::eventually::comes_true;
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, STATE_VARIABLE, Tool, drain, owner, signal, tool};
use gateway_drain::DrainState;
use gateway_drain::client::ExitCode;
use gateway_drain::{Channel, Home, Request, RequestId};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::process::Signal;
use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The tool with its stdout on this file.
fn onto(home: &Path, out: &str, arguments: &[&str]) -> Option<i32> {
    let mut command = tool(home);
    let file = std::fs::File::options().write(true).open(out).expect("it is there");
    command.args(arguments).stdout(file).stderr(Stdio::null());
    command.status().expect("the tool runs").code()
}

#[test]
fn a_result_that_can_not_be_written_is_a_failure_and_what_it_told_of_is_taken_back() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces/accepted/a_commit_outlives_a_restart.jsonl");
    for arguments in [
        &["secret", "new"][..],
        &["completions", "bash"],
        &["completions", "fish"],
        &["man"],
        &["status"],
        &["begin"],
        &["begin", "x"],
        &["--help"],
        &["check-trace", trace],
    ] {
        let code = onto(home.path(), "/dev/full", arguments);
        assert!(matches!(code, Some(1 | 2)), "{arguments:?} exits with {code:?}, and nobody has what it said");
    }
    assert!(gateway.admits(), "a hold stands whose name nobody was told");
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    assert_eq!(onto(home.path(), "/dev/full", &["commit", "upgrade"]), Some(1));
    assert!(gateway.admits(), "a commit stands whose token nobody was told");
}

/// The tool with its stdout on a pipe that nobody reads any more.
fn unread(home: &Path, arguments: &[&str]) -> Ended {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = tool(home);
    command.args(arguments).stdout(writer);
    Tool::spawn(command).ended()
}

#[test]
fn a_result_that_is_only_shown_and_nobody_reads_is_silent_and_the_exit_code_still_answers() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    let traces = |name: &str| format!("{}/tests/traces/{name}", env!("CARGO_MANIFEST_DIR"));
    let (accepted, rejected) =
        (traces("accepted/a_lease_runs_out.jsonl"), traces("rejected/H3__a_hold_is_renewed_after_its_end.jsonl"));
    for (code, arguments) in [
        (0, &["status"][..]),
        (0, &["status", "--json"]),
        (0, &["check-trace", &accepted]),
        (11, &["check-trace", &rejected]),
        (11, &["check-trace", &rejected, "--json"]),
        (0, &["completions", "bash"]),
        (0, &["man"]),
        (0, &["--help"]),
        (0, &["run", "-h"]),
        (0, &["--version"]),
        (0, &["wait", "upgrade"]),
        (0, &["wait", "upgrade", "--json"]),
        (0, &["renew", "upgrade", "--json"]),
        (0, &["cancel", "upgrade", "--json"]),
        (0, &["override", "upgrade", "--json"]),
    ] {
        let ended = unread(home.path(), arguments).expect_code(code);
        let told = ended
            .stderr
            .lines()
            .find(|line| line.contains("can't be") || line.contains("pipe") || line.contains("panic"));
        assert_eq!(told, None, "{arguments:?}");
    }
    let nobody = unread(home.path(), &["wait", "upgrade", "--json"]).expect(ExitCode::Withdrawn);
    assert!(!nobody.stderr.contains("pipe"), "{}", nobody.stderr);
}

#[test]
fn a_result_that_is_a_key_and_nobody_reads_is_a_failure_and_what_it_opens_is_taken_back() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    for arguments in
        [&["secret", "new"][..], &["secret", "new", "--json"], &["begin"], &["begin", "x"], &["begin", "x", "--json"]]
    {
        let ended = unread(home.path(), arguments).expect(ExitCode::Internal);
        assert!(ended.stderr.contains("the result can't be written: Broken pipe"), "{arguments:?}: {}", ended.stderr);
    }
    assert!(gateway.admits(), "a hold stands whose name nobody was told");
    for more in [&[][..], &["--json"]] {
        drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
        unread(home.path(), &[&["commit", "upgrade"], more].concat()).expect(ExitCode::Internal);
        assert!(gateway.admits(), "a commit stands whose token nobody was told");
    }
}

#[test]
fn that_a_result_can_not_be_written_is_said_once() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces/accepted/a_lease_runs_out.jsonl");
    let said = |arguments: &[&str]| {
        let mut command = tool(home.path());
        let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
        command.args(arguments).stdout(full);
        let ended = Tool::spawn(command).ended();
        assert!(matches!(ended.code, Some(1 | 201)), "{arguments:?}: {ended:?}");
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains("No space left")).collect();
        assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
    };
    for json in [&[][..], &["--json"]] {
        let said = |arguments: &[&str]| said(&[arguments, json].concat());
        said(&["begin"]);
        said(&["secret", "new"]);
        said(&["status"]);
        said(&["man"]);
        said(&["check-trace", trace]);
        drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
        said(&["wait", "upgrade"]);
        said(&["commit", "upgrade"]);
    }
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    for arguments in [&["renew", "upgrade"], &["cancel", "upgrade"], &["override", "upgrade"]] {
        said(&[&arguments[..], &["--json"]].concat());
    }
    said(&["run", "--json-file", "/dev/full", "--", "true"]);
    said(&["run", "--json-fd", "1", "--", "true"]);
    said(&["--help"]);
    said(&["--version"]);
}

#[test]
fn a_result_file_that_can_not_be_made_is_found_out_before_anything_is_done() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let ran = home.path().join("ran");
    let act = ["--", "touch", ran.to_str().unwrap()];
    for sink in [&["--json-file", "/no/such/folder/result"][..], &["--json-fd", "77"]] {
        drain(home.path(), &[&["run"][..], sink, &act].concat()).expect_code(202);
    }
    assert!(!ran.exists() && gateway.admits());
}

#[test]
fn the_result_of_a_run_goes_to_a_descriptor_of_its_own_and_stdout_is_the_commands() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let result = home.path().join("result.json");
    let mut shell = Command::new("sh");
    let plain = tool(home.path());
    shell
        .args(["-c", &format!("exec \"$0\" run --json-fd 3 -- echo said 3>{}", result.display())])
        .arg(plain.get_program());
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "said\n");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap();
    assert_eq!((&json["command"], &json["command_exit"], &json["exit_code"]), (&"run".into(), &0.into(), &0.into()));
}

/// What a terminal would act on.
fn acts(text: &str) -> Option<char> {
    let line = |c: &char| *c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200f}\u{2028}".contains(*c));
    text.chars().find(|c| line(c))
}

const EVIL: &str = "x\nrunning, 0 in flight\x1b[2K\x1b]0;pwned\x07\u{9b}31m\u{202e}\u{2066}\u{200f}\u{2028}";

#[test]
fn no_text_from_elsewhere_reaches_the_terminal_as_it_is() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let body = serde_json::json!({"session": EVIL, "millis": 600_000}).to_string();
    let post = ureq::post(&format!("http://{}/turns", gateway.address)).header("content-type", "application/json");
    let _turn = post.send(body);
    let request = Request::begin(RequestId::new("evil").unwrap(), EVIL).reason(EVIL);
    let said = Channel::new(Home::at(home.path())).write(&request);
    if said.is_ok() {
        gateway.until("the hold", |status| !status.drain.holds.is_empty());
    }
    let marker = serde_json::json!({"action": "drain", "epoch": EVIL, "principal": EVIL}).to_string();
    std::fs::write(home.path().join(".drain_request.json"), marker).unwrap();
    gateway.until("what is ignored", |status| !status.drain.ignored.is_empty() || status.drain.holds.len() > 1);
    for arguments in [
        &["status"][..],
        &["begin", "evil"],
        &["cancel", "evil"],
        &["begin", "plain", "--reason", EVIL],
        &["wait", "plain", "--timeout", "300ms"],
        &["run", "--timeout", "300ms", "--", EVIL],
        &["run", "--timeout", "300ms", "--", "true"],
    ] {
        let ended = drain(home.path(), arguments);
        for text in [&ended.stdout, &ended.stderr] {
            assert_eq!(acts(text), None, "{arguments:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("running, 0 in flight")), "{arguments:?}: {text:?}");
        }
    }
}

#[test]
fn the_lines_that_are_offered_for_copying_can_be_pasted() {
    let folder = home();
    let home = folder.path().join("a b;'$(touch pwned)");
    std::fs::create_dir(&home).unwrap();
    let gateway = GatewayProcess::start(&home);
    let _ = gateway.turn(600_000);
    drain(&home, &["--owner", "Jane Doe", "begin", "upgrade"]).expect(ExitCode::Drained);
    let waiting = Tool::start(&home, &["--owner", "Jane Doe", "wait", "upgrade", "--timeout", "1h"]);
    waiting.said("deadline in");
    waiting.signal(rustix::process::Signal::INT);
    let ended = waiting.ended().expect(ExitCode::Interrupted);
    let line = ended.stderr.lines().find_map(|line| line.strip_prefix("give it up:")).expect("the line");
    let path = crate::support::tool::search_path();
    let pasted = Command::new("sh").args(["-c", line]).current_dir(folder.path()).env("PATH", path).output().unwrap();
    assert!(pasted.status.success(), "{line}: {pasted:?}");
    assert!(gateway.admits(), "the pasted line did nothing");
    assert!(!folder.path().join("pwned").exists());
}

#[test]
fn a_password_in_an_address_is_neither_printed_nor_sent() {
    let home = home();
    for url in ["http://u:hunter2@127.0.0.1:9", "https://hunter2@127.0.0.1:9/x"] {
        let ended = drain(home.path(), &["--url", url, "status"]).expect(ExitCode::Usage);
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn the_owner_is_the_user_that_the_command_runs_as_whatever_its_environment_says() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let mut command = tool(home.path());
    command.env("USER", "alice").env("LOGNAME", "alice").args(["begin", "upgrade"]);
    Tool::spawn(command).ended().expect(ExitCode::Drained);
    let status = gateway.until("the hold", |status| !status.drain.holds.is_empty());
    assert_eq!(status.drain.holds[0].owner, owner());
    let mut command = tool(home.path());
    command.env_remove("USER").env_remove("LOGNAME").args(["cancel", "upgrade"]);
    Tool::spawn(command).ended().expect(ExitCode::Drained);
}

#[test]
fn what_is_granted_shorter_than_it_was_asked_for_is_told() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let ended = drain(home.path(), &["begin", "upgrade", "--lease", "99999h"]);
    assert!(ended.stderr.contains("longer than") || ended.code == Some(2), "{ended:?}");
}

#[test]
fn in_a_home_where_nobody_lives_nothing_is_said_to_be_written_that_is_not() {
    let home = home();
    let ended = drain(home.path(), &["--patience", "200ms", "cancel", "x"]).expect(ExitCode::Unreachable);
    assert!(!ended.stderr.contains("is written"), "{}", ended.stderr);
    let ended = drain(home.path(), &["status"]).expect(ExitCode::Unreachable);
    assert!(ended.stderr.contains(home.path().to_str().unwrap()), "it doesn't name the home: {}", ended.stderr);
}

/// How often the hold's file was replaced while `act` ran.
fn writes(home: &Path, act: impl FnOnce()) -> usize {
    let folder = home.join(".drain_holds");
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    // Two of the same in a row are told as one, so the other half of each is told as well.
    inotify::add_watch(&watch, &folder, WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM).unwrap();
    act();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 16384];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    let mut count = 0;
    while let Ok(event) = reader.next() {
        assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW));
        let into_place = event.events().contains(ReadFlags::MOVED_TO);
        let its_file = event.file_name().is_some_and(|name| name.to_bytes() == b"upgrade.json");
        count += usize::from(into_place && its_file);
    }
    count
}

#[test]
fn a_wait_writes_once_a_commit_twice_and_a_run_three_times() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    let wait = || _ = drain(home.path(), &["wait", "upgrade"]).expect(ExitCode::Drained);
    assert_eq!(writes(home.path(), wait), 1, "a wait");
    let commit = || _ = drain(home.path(), &["commit", "upgrade"]).expect(ExitCode::Drained);
    assert_eq!(writes(home.path(), commit), 2, "a commit");
    drain(home.path(), &["cancel", "upgrade"]).expect(ExitCode::Drained);
    let run = || _ = drain(home.path(), &["run", "--id", "upgrade", "--", "true"]).expect_code(0);
    assert_eq!(writes(home.path(), run), 3, "a run");
}

/// A pipe that takes nothing more, and its reader.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut full) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&full, rustix::fs::OFlags::NONBLOCK).unwrap();
    while full.write(&[b'x'; 4096]).is_ok() {}
    while full.write(b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&full, rustix::fs::OFlags::empty()).unwrap();
    (reader, full)
}

/// A `run` that has a full pipe for its result.
fn run_untold(home: &Path, arguments: &[&str], full: std::io::PipeWriter) -> Command {
    let mut command = tool(home);
    command.args(["--json-fd", "1", "run"]).args(arguments).stdout(full);
    command
}

#[test]
fn a_signal_ends_a_run_that_has_acted_and_whose_result_nobody_reads() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    for (arguments, code) in [(&["--", "true"][..], 0), (&["--marker", "--", "false"], 1)] {
        let before = gateway.until("a status", |_| true).drain.generation;
        let (_reader, full) = full_pipe();
        let running = RefCell::new(run_untold(home.path(), arguments, full).spawn().unwrap());
        gateway.until("that it is open again", |status| {
            status.drain.generation != before && status.drain.state == DrainState::Running
        });
        // One that comes before the result is written is the command's.
        comes_true("that it ends", || {
            signal(&running.borrow(), Signal::INT);
            running.borrow_mut().try_wait().unwrap().is_some()
        });
        let ended = running.into_inner().wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(230), "{ended:?}");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains(&format!("COMMAND has ended with {code}")) && !said.contains("give it up"), "{said}");
    }
}

#[test]
fn a_signal_ends_a_run_that_has_not_acted_and_whose_result_nobody_reads() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _work = gateway.turn(600_000);
    for marker in [&[][..], &["--marker"]] {
        let (_reader, full) = full_pipe();
        let arguments = [marker, &["--timeout", "1ms", "--", "true"]].concat();
        let running = Tool::spawn(run_untold(home.path(), &arguments, full));
        running.said("the time is over");
        running.signal(Signal::INT);
        let ended = running.ended().expect_code(230);
        assert!(ended.stderr.contains("COMMAND was not run"), "{ended:?}");
        assert!(!ended.stderr.contains("give it up") && !ended.stderr.contains("remove it"), "{ended:?}");
    }
    assert!(gateway.admits(), "something was left");
}

#[test]
fn a_reader_of_messages_who_stands_still_holds_up_neither_an_act_nor_its_end() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _work = gateway.turn(500);
    let (_reader, full) = full_pipe();
    // It would wait for ever.
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "50"]).arg(env!("CARGO_BIN_EXE_gateway-drain")).arg("--home").arg(home.path());
    command
        .args(["run", "--", "true"])
        .env(STATE_VARIABLE, home.path().join("state"))
        .stdout(Stdio::null())
        .stderr(full);
    assert_eq!(command.status().unwrap().code(), Some(0));
    assert!(gateway.admits(), "the hold was not given up");
}
