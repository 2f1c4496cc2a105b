//! The test vectors of what a controller may conclude, held against this crate's own conclusions: a real lock, a real
//! status, and the looks of [`files`](super::files) judged by [`watch`](super::watch).

use super::ExitCode;
use super::files::Files;
use super::watch::{Verdict, WaitState, Written};
use crate::clock::Clock;
use crate::control::{Epoch, Home};
use crate::hold::{Nonce, RequestId};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

/// A text with the names of this process in it.
fn named(text: &str) -> String {
    let process = fs::read_to_string("/proc/self/stat").unwrap();
    let start = process.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap().to_string_lossy().into_owned();
    let inode = namespace.trim_start_matches("pid:[").trim_end_matches(']').to_owned();
    text.replace("$pid", &std::process::id().to_string())
        .replace("$start", &start)
        .replace("$namespace", &inode)
        .replace("$epoch", Epoch::current().as_str())
}

fn concluded(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Silent(_) => "silence",
        Verdict::Standing => "standing",
        Verdict::Drained(_) => "drained",
        Verdict::Committed => "committed",
        Verdict::Over(failure) => ExitCode::from(failure).as_str(),
    }
}

fn conclusions(case: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    fs::create_dir(home.holds_folder()).unwrap();
    let id = RequestId::new(case["hold"].as_str().unwrap()).unwrap();
    let nonces: Vec<Nonce> = serde_json::from_value(case["nonces"].clone()).unwrap();
    // What was written last lies there.
    let lies = json!({"action": "drain", "nonce": nonces.last(), "principal": "ops"});
    fs::write(home.request_path(&id), lies.to_string()).unwrap();
    let mut watch = WaitState::new(None, Duration::ZERO);
    let judge = |look: &Value| {
        let mut lock = None;
        let _ = fs::remove_file(home.lock_path());
        if let Some(record) = look["lock"].as_str() {
            fs::write(home.lock_path(), named(record)).unwrap();
            let file = File::open(home.lock_path()).unwrap();
            if look["locked"] == true {
                flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            }
            lock = Some(file);
        }
        let _ = fs::remove_file(home.status());
        match &look["status"] {
            Value::Null => {}
            Value::String(text) => fs::write(home.status(), text).unwrap(),
            status => {
                let mut status: Value = serde_json::from_str(&named(&status.to_string())).unwrap();
                if let Some(age) = look["age_seconds"].as_f64() {
                    let clock = Clock::boot().now().as_secs_f64() - age;
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "milliseconds since boot"
                    )]
                    let millis = (clock * 1000.0) as u64;
                    status["drain"]["clock_millis"] = json!(millis);
                }
                fs::write(home.status(), status.to_string()).unwrap();
            }
        }
        let seen = Files::new(home.clone()).look(&id);
        drop(lock);
        concluded(&watch.judge(&seen, Written { nonces: &nonces, answered: false }, Duration::ZERO))
    };
    case["looks"].as_array().unwrap().iter().map(judge).collect()
}

#[test]
fn each_status_lets_a_controller_conclude_what_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spec/vectors/conclusions.json");
    let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let wrong = file["cases"].as_array().unwrap().iter().filter_map(|case| {
        let found = conclusions(case);
        (case["expect"] != found).then(|| format!("{}: expected {}, found {found}", case["id"], case["expect"]))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}
