//! Which tests reach which mutants, and what they say of each.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tests that see no program of this library run.
const NOT_THESE: [&str; 1] = ["illegal_transitions::"];

/// Linux has a file system in memory here.
const IN_MEMORY: &str = "/dev/shm";

/// For how long a mutant is judged before the others are.
const AT_FIRST: Duration = Duration::from_secs(15);

/// A test, how long it takes, and the mutants that it comes by.
#[derive(Clone, Serialize, Deserialize)]
pub struct Test {
    program: PathBuf,
    name: String,
    took: Duration,
    reaches: HashSet<usize>,
}

/// How a mutant ended.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum End {
    /// This test failed, twice.
    Noticed(String),
    /// These tests end without it, and did not with it.
    Hung(Vec<String>),
    /// This many tests come by it, and all are green.
    Survived(usize),
}

/// What has been found of these very programs, so that a run that was ended early is gone on with.
pub struct Notes {
    /// Of mutants that have been judged, by tests with these words.
    ends: String,
    programs: Vec<(PathBuf, SystemTime)>,
    folder: PathBuf,
}

impl Notes {
    /// Of the programs and the tests with these words, in this folder.
    pub fn new(programs: &[PathBuf], words: &[&str], folder: PathBuf) -> Self {
        let built = |program: &PathBuf| fs::metadata(program).and_then(|program| program.modified());
        let programs = programs.iter().map(|program| (program.clone(), built(program).unwrap_or(UNIX_EPOCH)));
        Self { ends: format!("ends{}", words.join("-")), programs: programs.collect(), folder }
    }

    /// What stands there, one in a line, if it was found of these programs.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let Some((programs, rest)) = text.split_once('\n') else { return Vec::new() };
        let same = serde_json::from_str::<Vec<(PathBuf, SystemTime)>>(programs).is_ok_and(|them| them == self.programs);
        if same { rest.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() } else { Vec::new() }
    }

    /// Opens it for more, with what stands there already.
    fn open<T: Serialize>(&self, name: &str, known: &[T]) -> File {
        let mut file = File::create(self.folder.join(name)).expect("the folder of the build can be written");
        add(&mut file, &self.programs);
        for known in known {
            add(&mut file, known);
        }
        file
    }
}

/// Which tests noticed which mutant, by its name, of whatever programs: they are asked first. What they said is not believed.
struct Asked {
    file: File,
    known: HashMap<String, Vec<String>>,
}

impl Asked {
    fn new(folder: &Path) -> Self {
        let path = folder.join("asked");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let known = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let file = File::options().create(true).append(true).open(path);
        Self { file: file.expect("the folder of the build can be written"), known }
    }
}

fn add(file: &mut File, noted: &impl Serialize) {
    let line = serde_json::to_string(noted).expect("what is noted are numbers and texts");
    writeln!(file, "{line}").expect("the folder of the build can be written");
}

/// Runs each test of the programs whose name has one of the words, without a mutant.
pub fn tests(programs: &[PathBuf], words: &[&str], tree: &Path, notes: &Notes) -> Result<Vec<Test>, String> {
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let known: Vec<Test> = notes.read("tests");
    let is_known = |program: &Path, name: &str| known.iter().any(|test| test.program == program && test.name == name);
    let mut names = Vec::new();
    for program in programs {
        let listed = Command::new(program).args(["--list", "--format", "terse"]).current_dir(tree).output();
        let listed = listed.map_err(|error| error.to_string())?.stdout;
        for line in String::from_utf8_lossy(&listed).lines() {
            let Some(name) = line.strip_suffix(": test") else { continue };
            if wanted(name) && !is_known(program, name) && !NOT_THESE.iter().any(|module| name.starts_with(module)) {
                names.push((program, name.to_owned()));
            }
        }
    }
    println!("{} tests, each alone, to see what it comes by", names.len());
    let tests = Mutex::new((notes.open("tests", &known), known));
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
                let (file, tests) = &mut *tests.lock().expect("no worker panics with it");
                add(file, &test);
                tests.push(test);
            }
            _ => println!("left out, since it fails without a mutant: {name}"),
        }
    });
    let (_, mut tests) = tests.into_inner().expect("no worker has panicked");
    tests.retain(|test| wanted(&test.name));
    // A test that comes by few is likelier to look at what it comes by.
    tests.sort_by_key(|test| test.took.as_millis() * (test.reaches.len() + 50) as u128);
    Ok(tests)
}

/// Runs, for each of the mutants, the tests that come by it, the fastest and narrowest first, until one fails. Each end is told
/// at once. Those that survive the first seconds are judged by the rest of the tests when all others are done.
pub fn judge(
    mutants: &[usize],
    name: &(dyn Fn(usize) -> String + Sync),
    tests: &[Test],
    tree: &Path,
    notes: &Notes,
    told: &mut (dyn FnMut(usize, &End) + Send),
) -> Vec<(usize, End)> {
    let known: Vec<(usize, End)> = notes.read(&notes.ends);
    let judged: HashMap<usize, End> = known.iter().cloned().collect();
    let Asked { file, known: asked } = Asked::new(&notes.folder);
    let ends = Mutex::new((notes.open(&notes.ends, &known), file, Vec::new(), told));
    let tell = |mutant: usize, end: End| {
        let (file, asked, ends, told) = &mut *ends.lock().expect("no worker panics with it");
        told(mutant, &end);
        if !judged.contains_key(&mutant) {
            add(file, &(mutant, &end));
            match &end {
                End::Noticed(test) => add(asked, &(name(mutant), [test])),
                End::Hung(tests) => add(asked, &(name(mutant), tests)),
                End::Survived(_) => {}
            }
        }
        ends.push((mutant, end));
    };
    let later = Mutex::new(Vec::new());
    at_once(mutants.len(), |worker, index| {
        let mutant = mutants[index];
        if let Some(end) = judged.get(&mutant) {
            return tell(mutant, end.clone());
        }
        let mut reaching: Vec<&Test> = tests.iter().filter(|test| test.reaches.contains(&mutant)).collect();
        if let Some(asked) = asked.get(&name(mutant)) {
            reaching.sort_by_key(|test| !asked.contains(&test.name));
        }
        let mut took = Duration::ZERO;
        let first = reaching.iter().take_while(|test| {
            took += test.took;
            took < AT_FIRST
        });
        let first = first.count();
        match judge_one(mutant, &reaching[..first], worker, tree) {
            None if first < reaching.len() => {
                println!("as yet unnoticed by {first} of {} tests: {mutant}", reaching.len());
                later.lock().expect("no worker panics with it").push((mutant, reaching, first));
            }
            end => tell(mutant, end.unwrap_or(End::Survived(reaching.len()))),
        }
    });
    let later = later.into_inner().expect("no worker has panicked");
    at_once(later.len(), |worker, index| {
        let (mutant, reaching, first) = &later[index];
        let end = judge_one(*mutant, &reaching[*first..], worker, tree);
        tell(*mutant, end.unwrap_or(End::Survived(reaching.len())));
    });
    let (_, _, mut ends, _) = ends.into_inner().expect("no worker has panicked");
    ends.sort_by_key(|(mutant, _)| *mutant);
    ends
}

/// How it ended by these tests; none if all of them are green.
fn judge_one(mutant: usize, reaching: &[&Test], worker: usize, tree: &Path) -> Option<End> {
    let mut rest = reaching;
    // The first alone: it is likely the one that noticed the mutant the last time.
    let mut many = 1;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(many.min(rest.len()));
        (rest, many) = (later, many * 4);
        for program in now.iter().map(|test| &test.program).collect::<HashSet<_>>() {
            let mine: Vec<&&Test> = now.iter().filter(|test| test.program == *program).collect();
            let limit = Duration::from_secs(10) + mine.iter().map(|test| test.took).sum::<Duration>() * 4;
            let with = |names: &[&str]| {
                let mut command = limited(program, tree, limit);
                command.args(["--exact", "--test-threads=2"]).args(names).env("MUTANT", mutant.to_string());
                run(command, worker, tree)
            };
            let names: Vec<&str> = mine.iter().map(|test| test.name.as_str()).collect();
            let Some(said) = with(&names) else {
                return Some(End::Hung(names.into_iter().map(str::to_owned).collect()));
            };
            if said.success {
                continue;
            }
            // A process that is gone has named none.
            if said.failed.is_empty() {
                return Some(End::Noticed("the process ended".to_owned()));
            }
            // Not by the bad luck of a busy machine.
            let fails_again = |failed: &&String| with(&[failed.as_str()]).is_none_or(|said| !said.success);
            if let Some(failed) = said.failed.iter().find(fails_again) {
                return Some(End::Noticed(failed.clone()));
            }
        }
    }
    None
}

/// Calls this for each of so many, on twice as many threads as there are processors: tests wait more than they compute.
fn at_once(many: usize, work: impl Fn(usize, usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..2 * std::thread::available_parallelism().map_or(2, usize::from) {
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
    command.envs(super::for_cargo());
    // What they write lies in memory where there is such a folder: thousands of runs wait for the disk otherwise.
    if Path::new(IN_MEMORY).is_dir() {
        command.env("TMPDIR", IN_MEMORY);
    }
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
