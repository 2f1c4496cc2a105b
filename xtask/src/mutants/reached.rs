//! Which tests reach which mutants, and what they say of each.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tests that see no program of this library run.
const NOT_THESE: [&str; 1] = ["illegal_transitions::"];

/// A test, how long it takes, and the mutants that it comes by.
pub struct Test {
    program: PathBuf,
    name: String,
    took: Duration,
    reaches: HashSet<usize>,
}

/// How a mutant ended.
#[derive(PartialEq)]
pub enum End {
    /// This test failed, twice.
    Noticed(String),
    /// Tests that end without it did not.
    Hung,
    /// This many tests come by it, and all are green.
    Survived(usize),
}

/// Runs each test of the programs whose name has one of the words, without a mutant.
pub fn tests(programs: &[PathBuf], words: &[&str], tree: &Path) -> Result<Vec<Test>, String> {
    let mut names = Vec::new();
    for program in programs {
        let listed = Command::new(program).args(["--list", "--format", "terse"]).current_dir(tree).output();
        let listed = listed.map_err(|error| error.to_string())?.stdout;
        for line in String::from_utf8_lossy(&listed).lines() {
            let Some(name) = line.strip_suffix(": test") else { continue };
            let wanted = words.is_empty() || words.iter().any(|word| name.contains(word));
            if wanted && !NOT_THESE.iter().any(|module| name.starts_with(module)) {
                names.push((program, name.to_owned()));
            }
        }
    }
    println!("{} tests, each alone, to see what it comes by", names.len());
    let tests = Mutex::new(Vec::new());
    at_once(names.len(), |worker, index| {
        let (program, name) = &names[index];
        let seen = tree.join(format!("../reached.{worker}"));
        let _ = fs::remove_file(&seen);
        let begun = Instant::now();
        let mut command = limited(program, tree, Duration::from_secs(120));
        command.args(["--exact", name]).env("MUTANTS_REACHED", &seen);
        match run(command, worker, tree) {
            Some(said) if said.failed.is_empty() && said.success => {
                let numbers = fs::read_to_string(&seen).unwrap_or_default();
                let reaches = numbers.lines().filter_map(|line| line.parse().ok()).collect();
                let test = Test { program: PathBuf::from(program), name: name.clone(), took: begun.elapsed(), reaches };
                tests.lock().expect("no worker panics with it").push(test);
            }
            _ => println!("left out, since it fails without a mutant: {name}"),
        }
    });
    let mut tests = tests.into_inner().expect("no worker has panicked");
    tests.sort_by_key(|test| test.took);
    Ok(tests)
}

/// Runs, for each of the mutants, the tests that come by it, the fastest first, until one fails.
pub fn judge(mutants: &[usize], tests: &[Test], tree: &Path) -> Vec<(usize, End)> {
    let ends = Mutex::new(Vec::new());
    at_once(mutants.len(), |worker, index| {
        let mutant = mutants[index];
        let end = judge_one(mutant, tests, worker, tree);
        ends.lock().expect("no worker panics with it").push((mutant, end));
    });
    let mut ends = ends.into_inner().expect("no worker has panicked");
    ends.sort_by_key(|(mutant, _)| *mutant);
    ends
}

fn judge_one(mutant: usize, tests: &[Test], worker: usize, tree: &Path) -> End {
    let reaching: Vec<&Test> = tests.iter().filter(|test| test.reaches.contains(&mutant)).collect();
    let mut rest = &reaching[..];
    let mut many = 4;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(many.min(rest.len()));
        (rest, many) = (later, many * 4);
        for program in now.iter().map(|test| &test.program).collect::<HashSet<_>>() {
            let mine: Vec<&&Test> = now.iter().filter(|test| test.program == *program).collect();
            let limit = Duration::from_secs(20) + mine.iter().map(|test| test.took).sum::<Duration>() * 4;
            let with = |names: &[&str]| {
                let mut command = limited(program, tree, limit);
                command.args(["--exact", "--test-threads=2"]).args(names).env("MUTANT", mutant.to_string());
                run(command, worker, tree)
            };
            let names: Vec<&str> = mine.iter().map(|test| test.name.as_str()).collect();
            let Some(said) = with(&names) else { return End::Hung };
            if said.success {
                continue;
            }
            // A process that is gone has named none.
            let Some(failed) = said.failed.first() else { return End::Noticed("the process ended".to_owned()) };
            // Not by the bad luck of a busy machine.
            if with(&[failed.as_str()]).is_none_or(|said| !said.success) {
                return End::Noticed(failed.clone());
            }
        }
    }
    End::Survived(reaching.len())
}

/// Calls this for each of so many, on as many threads as there are processors.
fn at_once(many: usize, work: impl Fn(usize, usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= many {
                        return;
                    }
                    work(worker, index);
                }
            });
        }
    });
}

/// A test program that a mutant may make take memory, or time, without end.
fn limited(program: &Path, tree: &Path, limit: Duration) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &limit.as_secs().to_string(), "sh", "-c", "ulimit -v 8000000; exec \"$0\" \"$@\""]);
    command.arg(program).current_dir(tree).env("CARGO_MANIFEST_DIR", tree).env("RUST_BACKTRACE", "0");
    command
}

struct Said {
    success: bool,
    failed: Vec<String>,
}

/// Runs it to its end; none if it had to be ended.
fn run(mut command: Command, worker: usize, tree: &Path) -> Option<Said> {
    let path = tree.join(format!("../said.{worker}"));
    let file = File::create(&path).expect("the folder of the build can be written");
    command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().expect("a test program can be run");
    let status = child.wait().expect("a child can be waited for");
    // What it has started and left behind ends with it.
    let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
    if status.signal() == Some(9) || matches!(status.code(), Some(124 | 137)) {
        return None;
    }
    let said = fs::read_to_string(&path).unwrap_or_default();
    let failed = said.lines().filter_map(|line| Some(line.strip_prefix("test ")?.split_once(" ... FAILED")?.0));
    Some(Said { success: status.success(), failed: failed.map(str::to_owned).collect() })
}
