//! Changes every function of `src` in every way that cargo-mutants knows, and wants each change noticed by a test. What is left
//! out, and why, stands in [`NOT_MUTATED`] and in `.cargo/mutants.toml`.
//!
//! To build the tests once for each of thousands of changes takes days. So all changes are written into one copy of the source,
//! each behind a switch that the environment sets; every test is run once, to see which switches it comes by; and each change is
//! judged by the tests that come by it, until one of them fails. A change that doesn't compile isn't counted, and one that makes
//! its tests hang counts as noticed. Memory orderings and constants aren't changed: bugs are planted in them.

mod reached;
mod switched;

use crate::shell::{Done, line, output, root, run, works};
use crate::tables::NOT_MUTATED;
use reached::{End, Notes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use switched::{Mutant, SWITCH, Switched, switched};

/// Of all that is mutated, what lies in these files or folders, or all; and with those tests alone whose names have one of the
/// words that are no path. One build holds all of it, so that the next files are judged without another.
pub fn run_on(arguments: &[&str]) -> Done {
    let (asked, words): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|argument| argument.starts_with("src"));
    if !works(&mut line("cargo mutants --version")) {
        run(&mut line("cargo install --locked cargo-mutants --version 27.1.0"))?;
    }
    let mutants = listed("--no-config")?;
    let wanted: HashSet<String> = listed("")?.into_iter().map(|mutant| mutant.name).collect();
    let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    let files: Vec<&str> = files.into_iter().collect();
    let mut written = files.clone();
    written.push("src/lib.rs");
    let tree = copied(&written)?;
    let built = build(&tree, &files, &mutants)?;
    let programs = programs(&tree)?;
    let notes = Notes::new(&programs, &words, root().join("target/mutants"));
    let tests = reached::tests(&programs, &words, &tree, &notes)?;
    let is_asked = |number: &usize| {
        let mutant = &mutants[*number];
        wanted.contains(&mutant.name) && (asked.is_empty() || asked.iter().any(|path| mutant.file.starts_with(path)))
    };
    let mut tried: Vec<usize> = (0..mutants.len()).filter(|n| is_asked(n) && !built.left_out.contains(n)).collect();
    // In the order in which they were asked for.
    tried.sort_by_key(|number| asked.iter().position(|path| mutants[*number].file.starts_with(path)));
    let alone: Vec<&Mutant> = built.no_switch.iter().filter(|n| is_asked(n)).map(|n| &mutants[*n]).collect();
    let report = root().join("target/mutants/survivors");
    let mut report = File::create(report).map_err(|error| error.to_string())?;
    let ends =
        reached::judge(&tried, &|number| mutants[number].name.clone(), &tests, &tree, &notes, &mut |number, end| {
            let name = &mutants[number].name;
            let said = match end {
                End::Survived(0) => format!("NOT REACHED  {name}"),
                End::Survived(tests) => format!("SURVIVED {tests:3} {name}"),
                End::Hung(_) => format!("HUNG         {name}"),
                End::Noticed(_) => return,
            };
            println!("{said}");
            // It is on the terminal too.
            let _ = writeln!(report, "{said}");
        });
    let survived = ends.iter().filter(|(_, end)| matches!(end, End::Survived(_))).count();
    println!("{}", table(&ends, &alone, &mutants));
    if survived > 0 {
        return Err(format!("{survived} changes are noticed by no test"));
    }
    one_by_one(&alone)
}

/// For each file, how its mutants ended.
fn table(ends: &[(usize, End)], alone: &[&Mutant], mutants: &[Mutant]) -> String {
    let mut files: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for (number, end) in ends {
        let column = match end {
            End::Noticed(_) => 0,
            End::Hung(_) => 1,
            End::Survived(_) => 2,
        };
        files.entry(&mutants[*number].file).or_default()[column] += 1;
    }
    for mutant in alone {
        files.entry(&mutant.file).or_default()[3] += 1;
    }
    let mut text = String::from("noticed  hung  survived  built alone\n");
    let mut all = [0; 4];
    for (file, counts) in &files {
        text += &row(counts, file);
        all = std::array::from_fn(|column| all[column] + counts[column]);
    }
    text + &row(&all, "all")
}

fn row([noticed, hung, survived, alone]: &[usize; 4], file: &str) -> String {
    format!("{noticed:7} {hung:5} {survived:9} {alone:12}  {file}\n")
}

/// What can't be switched at run time is built by itself, as cargo-mutants does.
fn one_by_one(mutants: &[&Mutant]) -> Done {
    println!("{} changes can't be switched, and are built one by one", mutants.len());
    if mutants.is_empty() {
        return Ok(());
    }
    let tree = copied(&[])?;
    let tests = "--cargo-arg=--lib --cargo-arg=--test=it -- -- --skip illegal_transitions";
    let mut command = in_tree(line("cargo mutants --in-place --baseline skip --timeout 300 --colors never"), &tree);
    let escaped =
        |name: &str| {
            name.chars()
                .map(|letter| {
                    if letter.is_alphanumeric() {
                        letter.to_string()
                    } else {
                        format!("\\x{{{:x}}}", u32::from(letter))
                    }
                })
                .collect::<String>()
        };
    for mutant in mutants {
        command.args(["-f", &mutant.file, "-F", &escaped(&mutant.name)]);
    }
    command.args(["--all-features", "-o"]).arg(tree.join("..")).args(tests.split(' '));
    let status = command.status().map_err(|error| error.to_string())?;
    // 3: some mutants ran into the time limit, and none survived.
    if matches!(status.code(), Some(0 | 3)) { Ok(()) } else { Err("mutants survived: see MISSED above".to_owned()) }
}

/// What cargo-mutants would do, with an argument of its own.
fn listed(argument: &str) -> Result<Vec<Mutant>, String> {
    let mut list = line("cargo mutants --list --json");
    list.args([argument].iter().filter(|argument| !argument.is_empty()));
    for (path, _) in NOT_MUTATED {
        list.args(["-e", path, "-e", &format!("{path}/**")]);
    }
    let listed: Vec<Value> = serde_json::from_str(&output(&mut list)?).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(1);
    let mutant = |value: &Value| Mutant {
        name: text(&value["name"]),
        file: text(&value["file"]),
        genre: text(&value["genre"]),
        start: (number(&value["span"]["start"]["line"]), number(&value["span"]["start"]["column"])),
        replacement: text(&value["replacement"]),
    };
    Ok(listed.iter().map(mutant).collect())
}

/// What is known of a build.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Build {
    /// Mutants that don't compile, and those of `no_switch`.
    left_out: BTreeSet<usize>,
    /// Mutants that another way of writing might compile.
    no_switch: BTreeSet<usize>,
    /// Functions that constants are made by.
    constant: BTreeSet<String>,
}

/// Writes the switches of all that compile.
fn build(tree: &Path, files: &[&str], mutants: &[Mutant]) -> Result<Build, String> {
    let root_file = fs::read_to_string(root().join("src/lib.rs")).map_err(|error| error.to_string())?;
    let root_file = format!("#![allow(warnings)] {root_file}") + &SWITCH.replace("COUNT", &mutants.len().to_string());
    let note = tree.join("../built.json");
    let there = |file: &str| fs::read_to_string(tree.join(file)).unwrap_or_default();
    // Of the same source the same build: nothing is written, and so nothing is compiled.
    let noted = fs::read_to_string(&note).ok().and_then(|text| serde_json::from_str::<Build>(&text).ok());
    let same = |noted: &Build| {
        let written = written(files, mutants, &mut noted.clone());
        there("src/lib.rs") == root_file
            && written.is_ok_and(|all| all.iter().all(|(file, new)| there(file) == new.text))
    };
    let mut known = noted.filter(same).unwrap_or_default();
    write_if_new(&tree.join("src/lib.rs"), &root_file)?;
    for _ in 0..30 {
        let before = known.clone();
        let written = written(files, mutants, &mut known)?;
        for (file, result) in &written {
            write_if_new(&tree.join(file), &result.text)?;
        }
        compile(tree, &written, &mut known)?;
        println!("{} changes, {} of them compile so far", mutants.len(), mutants.len() - known.left_out.len());
        if known == before {
            let text = serde_json::to_string(&known).map_err(|error| error.to_string())?;
            fs::write(&note, text).map_err(|error| error.to_string())?;
            return Ok(known);
        }
    }
    Err("the switches don't compile, not even without the changes that the compiler names".to_owned())
}

/// Each file with the switches of the mutants that are not left out.
fn written<'f>(files: &[&'f str], mutants: &[Mutant], known: &mut Build) -> Result<Vec<(&'f str, Switched)>, String> {
    let mut all = Vec::new();
    for file in files {
        let of_file =
            mutants.iter().enumerate().filter(|(n, mutant)| mutant.file == *file && !known.left_out.contains(n));
        let text = fs::read_to_string(root().join(file)).map_err(|error| error.to_string())?;
        // What the compiler evaluates can't ask the environment. Columns stay as they are listed.
        let mut text = if file.contains("sync") { text } else { text.replace("const fn ", "      fn ") };
        for name in &known.constant {
            for bracket in ["(", "<"] {
                text = text.replace(&format!("      fn {name}{bracket}"), &format!("const fn {name}{bracket}"));
            }
        }
        let result = switched(&text, &of_file.collect::<Vec<_>>()).map_err(|why| format!("{file}: {why}"))?;
        known.no_switch.extend(result.alone.iter().copied());
        known.left_out.extend(result.no_rust.iter().copied());
        all.push((*file, result));
    }
    known.left_out.extend(known.no_switch.iter().copied());
    Ok(all)
}

fn write_if_new(path: &Path, text: &str) -> Done {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let folder = path.parent().expect("it lies in the tree");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).map_err(|error| error.to_string())
}

/// Compiles it, and leaves out what the compiler doesn't like.
fn compile(tree: &Path, written: &[(&str, Switched)], known: &mut Build) -> Done {
    let test = "cargo test --all-features --package gateway-drain --lib --no-run --message-format=json";
    let built = in_tree(line(test), tree).output().map_err(|error| error.to_string())?;
    let before = known.clone();
    let mut elsewhere = String::new();
    for said in String::from_utf8_lossy(&built.stdout).lines() {
        let Ok(said) = serde_json::from_str::<Value>(said) else { continue };
        let message = &said["message"];
        if message["level"] != "error" {
            continue;
        }
        let called = message["message"].as_str().and_then(|text| text.split('`').nth(1)).unwrap_or_default();
        // Without its path, and without the types that it is called with.
        let called = called.split("::<").next().and_then(|path| path.rsplit("::").next()).unwrap_or_default();
        if message["code"]["code"] == "E0015" && called != "mutant" {
            known.constant.insert(called.to_owned());
            continue;
        }
        let spans = message["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
        let blamed = spans.iter().filter(|span| span["is_primary"] == true).chain(spans).find_map(|span| {
            let (_, file) = written.iter().find(|(file, _)| span["file_name"] == **file)?;
            file.blamed(usize::try_from(span["byte_start"].as_u64()?).ok()?)
        });
        let Some((numbers, own)) = blamed else {
            elsewhere += message["rendered"].as_str().unwrap_or_default();
            continue;
        };
        known.left_out.extend(numbers.iter().copied());
        if !own {
            known.no_switch.extend(numbers);
        }
    }
    if *known == before && !built.status.success() { Err(elsewhere) } else { Ok(()) }
}

/// Builds the tests, and gives their programs. Of the examples, which some tests have cargo build, nothing is left to build.
fn programs(tree: &Path) -> Result<Vec<PathBuf>, String> {
    let examples = "cargo build --quiet --all-features --examples";
    output(&mut in_tree(line(examples), tree))?;
    let test = "cargo test --all-features --package gateway-drain --lib --test it --test processes --no-run";
    let built = output(in_tree(line(test), tree).arg("--message-format=json"))?;
    let said = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = said.filter(|said| said["profile"]["test"] == true);
    // In one order, whatever cargo's is: notes are of these programs, and are found again by them.
    let programs: BTreeSet<PathBuf> =
        programs.filter_map(|said| said["executable"].as_str().map(PathBuf::from)).collect();
    Ok(programs.into_iter().collect())
}

fn in_tree(mut command: Command, tree: &Path) -> Command {
    command.current_dir(tree).envs(for_cargo());
    command
}

/// What cargo is to know, in here and in a test, so that nothing is built twice. The folder is one of its own: in the folder of the
/// rest cargo would take what is built here for the package's own.
fn for_cargo() -> [(&'static str, PathBuf); 2] {
    [("CARGO_TARGET_DIR", root().join("target/mutants/built")), ("CARGO_INCREMENTAL", "1".into())]
}

/// A copy of the sources, without these files. What is there already and hasn't changed stays, so that it isn't built again.
fn copied(without: &[&str]) -> Result<PathBuf, String> {
    let tree = root().join("target/mutants/tree");
    let listed = output(&mut line("git ls-files -co --exclude-standard"))?;
    for file in listed.lines().filter(|file| !without.contains(file)) {
        let (from, to) = (root().join(file), tree.join(file));
        let Ok(content) = fs::read(&from) else { continue };
        if fs::read(&to).ok().as_ref() == Some(&content) {
            continue;
        }
        fs::create_dir_all(to.parent().expect("it lies in the tree")).map_err(|error| error.to_string())?;
        // With its mode: some are run.
        fs::copy(&from, &to).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(tree)
}
