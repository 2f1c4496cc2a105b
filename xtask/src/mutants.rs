//! Changes every function of the files in [`MUTATED`] in every way that cargo-mutants knows, and wants each change noticed by a
//! test. What is left out, and why, stands in `.cargo/mutants.toml`.
//!
//! To build the tests once for each of thousands of changes takes days. So all changes are written into one copy of the source,
//! each behind a switch that the environment sets; every test is run once, to see which switches it comes by; and each change is
//! judged by the tests that come by it, until one of them fails. A change that doesn't compile isn't counted, and one that makes
//! its tests hang counts as noticed. Memory orderings and constants aren't changed: bugs are planted in them.

mod reached;
mod switched;

use crate::shell::{Done, line, output, root, run, works};
use crate::tables::MUTATED;
use reached::End;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use switched::{Mutant, SWITCH, Switched, switched};

/// On these files alone, or on all; and with those tests alone whose names have one of the words that are no file.
pub fn run_on(arguments: &[&str]) -> Done {
    let (files, words): (Vec<&str>, Vec<&str>) = arguments
        .iter()
        .partition(|argument| Path::new(argument).extension().is_some_and(|extension| extension == "rs"));
    let files = if files.is_empty() { MUTATED.to_vec() } else { files };
    if !works(&mut line("cargo mutants --version")) {
        run(&mut line("cargo install --locked cargo-mutants --version 27.1.0"))?;
    }
    let mutants = listed(&files)?;
    let mut written = files.clone();
    written.push("src/lib.rs");
    let tree = copied(&written)?;
    let built = build(&tree, &files, &mutants)?;
    let programs = programs(&tree)?;
    let tests = reached::tests(&programs, &words, &tree)?;
    let tried: Vec<usize> = (0..mutants.len()).filter(|number| !built.left_out.contains(number)).collect();
    let ends = reached::judge(&tried, &tests, &tree);
    let mut report = Vec::new();
    let mut survived = 0;
    for (number, end) in &ends {
        let name = &mutants[*number].name;
        match end {
            End::Survived(0) => report.push(format!("NOT REACHED  {name}")),
            End::Survived(tests) => report.push(format!("SURVIVED {tests:3} {name}")),
            End::Noticed(_) | End::Hung => {}
        }
        survived += usize::from(matches!(end, End::Survived(_)));
    }
    let report = report.join("\n");
    fs::write(root().join("target/mutants/survivors"), &report).map_err(|error| error.to_string())?;
    let hung = ends.iter().filter(|(_, end)| *end == End::Hung).count();
    println!("{report}\n{} changes compile; {survived} survive; {hung} make tests hang", ends.len());
    if survived > 0 {
        return Err(format!("{survived} changes are noticed by no test"));
    }
    one_by_one(&built.no_switch.iter().map(|number| &mutants[*number]).collect::<Vec<_>>())
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

/// What cargo-mutants would do to these files.
fn listed(files: &[&str]) -> Result<Vec<Mutant>, String> {
    let mut list = line("cargo mutants --list --json");
    for file in files {
        list.args(["-f", file]);
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
    let root_file = root_file + &SWITCH.replace("COUNT", &mutants.len().to_string());
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
        let called = called.rsplit("::").next().unwrap_or_default();
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

/// Builds the tests, and gives their programs.
fn programs(tree: &Path) -> Result<Vec<PathBuf>, String> {
    let test = "cargo test --all-features --package gateway-drain --lib --test it --test processes --no-run";
    let built = output(in_tree(line(test), tree).arg("--message-format=json"))?;
    let said = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = said.filter(|said| said["profile"]["test"] == true);
    Ok(programs.filter_map(|said| said["executable"].as_str().map(PathBuf::from)).collect())
}

fn in_tree(mut command: Command, tree: &Path) -> Command {
    command.current_dir(tree).env("CARGO_TARGET_DIR", root().join("target"));
    command.env("CARGO_INCREMENTAL", "1");
    command
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
