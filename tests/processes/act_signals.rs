//! `run` and signals: nothing that can be caught ends it while its command acts, and the hold is given up once nothing of the
//! command's group is left (E1, E3).

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{STATE_VARIABLE, Tool, drain, tool};
use gateway_drain::client::{ExitCode, Gateway};
use rustix::process::Signal;
use rustix_libc_wrappers::process::SignalExt;
use std::path::Path;
use std::process::Command;

/// `run` of a shell script; under `sh -c PREFIX`, if one is given, which replaces itself by the tool. No signal is ignored.
fn run_script(home: &Path, prefix: &str, options: &[&str], script: &str) -> Tool {
    let plain = tool(home);
    // What started the tests may ignore some signals, as nohup does, and the tool leaves those ignored.
    let mut command = Command::new("env");
    command.args(["--default-signal", "sh", "-c", &format!("{prefix} exec \"$0\" \"$@\"")]).arg(plain.get_program());
    command
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env_remove(Gateway::SECRET_VARIABLE);
    command.args(["run", "--id", "upgrade"]).args(options).args(["--", "sh", "-c", script]);
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    Tool::spawn(command)
}

#[track_caller]
fn assert_reopened(gateway: &GatewayProcess) {
    assert!(gateway.admits(), "the hold was not given up");
}

#[test]
fn every_signal_that_would_end_it_is_handed_on_to_the_command_and_none_ends_it() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let signals = [
        ("INT", Signal::INT),
        ("TERM", Signal::TERM),
        ("HUP", Signal::HUP),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("ALRM", Signal::ALARM),
        ("VTALRM", Signal::VTALARM),
        ("PROF", Signal::PROF),
        ("XCPU", Signal::XCPU),
        ("IO", Signal::IO),
        ("PWR", Signal::POWER),
        ("16", Signal::STKFLT),
        ("TRAP", Signal::TRAP),
        ("SYS", Signal::SYS),
        ("ABRT", Signal::ABORT),
        // Real-time signals, by their numbers: the first, the last, and one between.
        ("34", Signal::from_raw(34).unwrap()),
        ("50", Signal::from_raw(50).unwrap()),
        ("64", Signal::from_raw(64).unwrap()),
    ];
    // It says each signal's name, and ends when it is let: what ended with the last signal might end before the gate is looked at.
    let let_go = home.path().join("let-go");
    let traps: String = signals.iter().map(|(name, _)| format!("trap 'echo got {name} >&2' {name}; ")).collect();
    let script = format!(
        "{traps} trap 'echo got XFSZ >&2; exit 9' XFSZ; echo ready >&2; n=3000; while [ ! -e '{}' ] && [ $((n=n-1)) -gt 0 ]; do sleep 0.02; done; exit 7",
        let_go.display()
    );
    let run = run_script(home.path(), "", &[], &script);
    run.said("ready");
    // Of the write that caused it, not of anybody's wish.
    run.signal(Signal::XFSZ);
    for (name, signal) in signals {
        run.signal(signal);
        run.said(&format!("got {name}"));
        assert!(!gateway.admits(), "{name} opened the gate in mid act");
    }
    std::fs::write(let_go, "").unwrap();
    run.ended().expect_code(7);
    assert_reopened(&gateway);
}

#[test]
fn a_signal_reaches_what_the_command_has_started_and_the_gate_stays_closed_until_that_has_ended() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    // The shell dies at once; what it started takes its time.
    let script = "sh -c 'trap \"echo ending >&2; sleep 0.3; echo over >&2; exit 0\" TERM; echo ready >&2; while :; do sleep 0.02; done'; true";
    let run = run_script(home.path(), "", &[], script);
    run.said("ready");
    run.signal(Signal::TERM);
    run.said("ending");
    assert!(!gateway.admits(), "the gate opened while the act went on");
    let ended = run.ended();
    assert!(ended.stderr.contains("over"), "the hold was given up before the act was over: {}", ended.stderr);
    assert_reopened(&gateway);
}

#[test]
fn what_the_command_leaves_in_the_background_is_waited_for() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let done = home.path().join("done");
    let script = format!("(sleep 0.5; touch {}) & exit 5", done.display());
    run_script(home.path(), "", &[], &script).ended().expect_code(5);
    assert!(done.exists(), "the hold was given up while something of the command acted");
    assert_reopened(&gateway);
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored_here_and_in_the_command() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    // Were it not ignored, the command would die of it.
    let run = run_script(home.path(), "trap '' HUP;", &[], "kill -HUP $$; echo lives >&2; sleep 0.2; exit 4");
    run.said("lives");
    run.signal(Signal::HUP);
    run.ended().expect_code(4);
    assert_reopened(&gateway);
}

#[test]
fn a_command_that_can_not_be_run_is_found_out_before_anything_is_closed() {
    let home = home();
    let plain = home.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    // Without a gateway, whatever is asked of one takes all the patience.
    for (command, code) in
        [("/no/such/command", 127), ("upgarde.sh", 127), (plain.to_str().unwrap(), 126), ("/", 126), ("", 127)]
    {
        let began = std::time::Instant::now();
        drain(home.path(), &["run", "--patience", "30s", "--", command]).expect_code(code);
        assert!(began.elapsed().as_secs() < 20, "{command:?}: something was asked first");
        assert!(!home.path().join(".drain_holds").exists(), "{command:?}: something was written first");
    }
}

#[test]
fn the_command_does_not_find_the_endpoints_token_and_a_file_can_hold_it() {
    let (home, elsewhere) = (home(), home());
    let secret = drain(home.path(), &["secret", "new"]).expect(ExitCode::Drained).stdout;
    let gateway = GatewayProcess::start_with_secret(home.path(), secret.trim(), "127.0.0.1:0");
    let file = elsewhere.path().join("secret");
    // As a mounted secret ends.
    std::fs::write(&file, format!("{}\n\n", secret.trim())).unwrap();
    let script = format!("env | grep -c DRAIN_SECRET; cat /proc/$PPID/environ | grep -c {}", secret.trim());
    for variable in [None, Some(Gateway::SECRET_VARIABLE), Some(Gateway::REFERENCE_SECRET_VARIABLE)] {
        let mut command = tool(elsewhere.path());
        command.args(["--url", &format!("http://{}", gateway.address)]);
        if let Some(variable) = variable {
            command.env(variable, secret.trim());
        } else {
            command.args(["--secret-file", file.to_str().unwrap()]);
        }
        command.args(["run", "--", "sh", "-c", &script]);
        let ended = Tool::spawn(command).ended();
        assert!(ended.stdout.starts_with("0\n"), "{variable:?}: {ended:?}");
    }
    assert_reopened(&gateway);
}

#[test]
fn an_act_that_fills_the_disk_is_ended_all_the_same() {
    let folder = home();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        // Without the right to mount there is no disk of this size.
        return;
    }
    let unmount = Unmount(folder.path());
    let (other, gateway) = (home(), GatewayProcess::start(folder.path()));
    let script =
        format!("dd if=/dev/zero of={}/fill bs=4k 2>/dev/null; echo full >&2; exit 3", folder.path().display());
    let mut command = tool(folder.path());
    command.env(STATE_VARIABLE, other.path());
    command.args(["run", "--id", "upgrade", "--", "sh", "-c", &script]);
    let ended = Tool::spawn(command).ended();
    assert!(ended.stderr.contains("full"), "{ended:?}");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(gateway.admits(), "the full disk kept the gate closed: {ended:?}");
    drop(gateway);
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_second_signal_before_the_act_ends_it_at_once_and_says_what_is_left() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _ = gateway.turn(600_000);
    let run = run_script(home.path(), "", &["--patience", "60s"], "true");
    run.said("1 in flight");
    // The hold can't be given up to one that looks at nothing.
    gateway.freeze();
    run.signal(Signal::INT);
    run.signal(Signal::TERM);
    let ended = run.ended().expect_code(230);
    gateway.thaw();
    assert!(ended.stderr.contains("cancel upgrade"), "{}", ended.stderr);
}

#[test]
fn a_token_that_can_not_be_kept_stops_a_run_before_anything_is_closed() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let file = home.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let mut command = tool(home.path());
    command.env(STATE_VARIABLE, file.join("below")).args(["run", "--", "true"]);
    let ended = Tool::spawn(command).ended();
    assert!(matches!(ended.code, Some(201 | 208)) && ended.stderr.contains(STATE_VARIABLE), "{ended:?}");
    assert!(!home.path().join(".drain_holds/").read_dir().is_ok_and(|mut files| files.next().is_some()));
}
