//! The manifest of the guide, with the example gateway and a test that does what a kubelet and a Service do: it probes,
//! sends turns while the pod is ready, runs preStop to its end, sends SIGTERM, and counts the grace period. No cluster is
//! involved.

use crate::support::load::{End, Tried};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{LIMIT, search_path};
use gateway_drain::Home;
use gateway_drain::controller::Settings;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn pod() -> Value {
    let text = include_str!("../../examples/deploy/kubernetes.yaml");
    let documents = Yaml::load_from_str(text).expect("YAML");
    json(&documents[0])["spec"]["template"]["spec"].clone()
}

/// What the YAML says, as the JSON of the same meaning.
fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(values) => values.iter().map(json).collect(),
        Yaml::Mapping(members) => {
            members.iter().map(|(name, value)| (name.as_str().expect("a name").to_owned(), json(value))).collect()
        }
        other => panic!("the manifest has no {other:?}"),
    }
}

/// The words of a container's command, with the pod's variables put in.
fn words(command: &Value, home: &Path) -> Vec<String> {
    let word = |word: &Value| {
        word.as_str().expect("a word").replace(&format!("$({})", Home::VARIABLE), home.to_str().expect("text"))
    };
    command.as_array().expect("a command").iter().map(word).collect()
}

fn command(words: &[String], home: &Path) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("PATH", search_path()).env(Home::VARIABLE, home).stdin(Stdio::null());
    command.env_remove(gateway_drain::client::Gateway::SECRET_VARIABLE).env_remove("USER").env_remove("LOGNAME");
    command
}

fn probe(address: &str, probe: &Value) -> bool {
    assert_eq!(probe["httpGet"]["port"], "http");
    ureq::get(format!("http://{address}{}", probe["httpGet"]["path"].as_str().expect("a path"))).call().is_ok()
}

/// Tells the threads of a test that it is over, also when it fails: otherwise they would be waited for without end.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_pod_that_ends_under_load_refuses_and_cuts_off_no_turn_and_is_never_killed() {
    assert!(
        (0..3).any(|_| ends_under_load()),
        "three times a turn was sent on an answer of readiness that was too old"
    );
}

/// Fails if the pod's end is not as it should be; tells whether it shows something: on a busy machine a turn may arrive so long
/// after the answer of readiness that it was sent on, that the pod has been unready for as long as it promised to wait.
fn ends_under_load() -> bool {
    let (home, pod) = (home(), pod());
    let container = &pod["containers"][0];
    assert_eq!(container["env"][0], serde_json::json!({"name": Home::VARIABLE, "value": "/var/lib/gateway"}));
    let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().expect("seconds"));
    // The pod's own addresses are some that the system chooses here.
    let program: Vec<String> = words(&container["command"], home.path())
        .iter()
        .map(|word| word.replace("0.0.0.0:8080", "127.0.0.1:0").replace("127.0.0.1:9090", "127.0.0.1:0"))
        .collect();
    let gateway = GatewayProcess::of(command(&program, home.path()), home.path());
    let address = gateway.address.clone();
    let address = address.as_str();

    // When the last answer of readiness was asked for, if it was that the pod is ready.
    let ready = Mutex::new(None::<Instant>);
    let is_ready = || *ready.lock().expect("no thread panics with it");
    let (over, killed) = (AtomicBool::new(false), AtomicBool::new(false));
    let over_now = || over.load(Ordering::Relaxed);
    let period = Duration::from_secs(container["readinessProbe"]["periodSeconds"].as_u64().expect("seconds"));
    let delay = Duration::from_secs(seconds_after("--unready-delay", &all_words(&pod)));
    let (tried, ending, long, code) = std::thread::scope(|scope| {
        let at_end = AtEnd(&over);
        let prober = scope.spawn(|| {
            while !over_now() {
                let asked = Instant::now();
                let said = probe(address, &container["readinessProbe"]).then_some(asked);
                *ready.lock().expect("no thread panics with it") = said;
                killed.fetch_or(!probe(address, &container["livenessProbe"]), Ordering::Relaxed);
                std::thread::park_timeout(period);
            }
        });
        let client = || {
            let (agent, url, mut tried) =
                (crate::support::load::agent(), format!("http://{address}/turns"), Vec::<(Instant, Tried)>::new());
            while !over_now() {
                if let Some(asked) = is_ready() {
                    tried.push((asked, crate::support::load::turn(&agent, &url, 20)));
                } else {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
            tried
        };
        let clients = [scope.spawn(client), scope.spawn(client)];
        gateway.until("a pod that is ready", |_| is_ready().is_some());
        let long = gateway.turn(8000);

        let ending = Instant::now();
        let hook = words(&container["lifecycle"]["preStop"]["exec"]["command"], home.path());
        let hook = command(&hook, home.path()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(hook.expect("preStop runs").success(), "preStop failed");
        assert!(is_ready().is_none(), "the pod was ready to the end");
        assert!(!gateway.admits(), "the gate opened between preStop and SIGTERM");
        drop(at_end);
        prober.thread().unpark();
        prober.join().expect("the prober");
        let tried: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
        gateway.terminate();
        (tried, ending, long, gateway.ends_within(grace.saturating_sub(ending.elapsed())))
    });
    assert_eq!(code, Some(0), "SIGKILL after {grace:?}");
    assert!(long.finished(), "the long turn was cut off");
    assert!(!killed.load(Ordering::Relaxed), "liveness failed while it drained");
    // The delay begins a moment before the pod's first answer that it is unready.
    let promised = delay.saturating_sub(Duration::from_secs(1));
    let is_late =
        |(asked, turn): &(Instant, Tried)| turn.end == End::Refused && turn.to.duration_since(*asked) >= promised;
    if tried.iter().any(is_late) {
        return false;
    }
    for (asked, turn) in &tried {
        let (readiness, from, to) = (since(ending, *asked), since(ending, turn.from), since(ending, turn.to));
        let when = format!(
            "asked at {from:.3} s and ended at {to:.3} s, on an answer of readiness asked for at {readiness:.3} s"
        );
        assert!(turn.end == End::Whole, "of {} turns one came to {:?}, {when}", tried.len(), turn.end);
    }
    let came = tried.iter().any(|(_, turn)| turn.from > ending);
    assert!(came, "no turn came while the pod ended: this shows nothing");
    assert!(ending.elapsed() < LIMIT + grace);
    true
}

/// The seconds from one instant to another, which may be the earlier one.
fn since(then: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(then).as_secs_f64() - then.saturating_duration_since(now).as_secs_f64()
}

/// What the pod runs, as it starts and before it ends.
fn all_words(pod: &Value) -> String {
    let container = &pod["containers"][0];
    words(&container["command"], Path::new("/")).join(" ")
        + " "
        + &words(&container["lifecycle"]["preStop"]["exec"]["command"], Path::new("/")).join(" ")
}

/// The number that stands after an option.
fn seconds_after(option: &str, all: &str) -> u64 {
    let mut words = all.split_whitespace().skip_while(|word| *word != option).skip(1);
    let number = words.next().unwrap_or_else(|| panic!("no {option} in {all}"));
    number.trim_end_matches('s').parse().expect("a number")
}

#[test]
fn the_grace_period_is_longer_than_the_hook_and_the_shutdown_together() {
    let (pod, settings) = (pod(), Settings::default());
    let container = &pod["containers"][0];
    let all = all_words(&pod);
    let after = |option: &str| seconds_after(option, &all);
    let (delay, wait, deadline) = (after("--unready-delay"), after("--timeout"), after("--deadline-ms") / 1000);
    let (tick, flush) = (1, 1);
    let longest = tick + wait + deadline + settings.interrupt_grace.as_secs() + flush;
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(grace > longest, "the hook and the shutdown may take {longest} s");
    let readiness = &container["readinessProbe"];
    let noticed =
        readiness["periodSeconds"].as_u64().unwrap_or(10) * readiness["failureThreshold"].as_u64().unwrap_or(3);
    assert!(delay >= 2 * noticed, "readiness takes {noticed} s to be seen");
    assert!(wait > delay, "the unready delay is part of the wait");
}
