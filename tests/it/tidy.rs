//! What no compiler checks of the source and its pages: the order of the modules, what the pages name, words and lengths.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the source with more lines has two subjects; tables of tests and models may be longer.
const MAX_LINES: [(&str, usize); 2] = [("src/", 650), ("", 900)];

/// Words that leave out who or what is meant; the vocabulary is in `ARCHITECTURE.md`.
const UNCLEAR: [&str; 3] = ["whoever", "whomever", "anew"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The package that is published lacks some folders of the repository.
fn is_repository() -> bool {
    root().join("verification").exists()
}

/// All files below a folder, without what is built and what is hidden.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('.') || name.starts_with("target") || name == "mutants.out" {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The files with these endings, by their path in the repository.
fn texts(endings: &[&str]) -> BTreeMap<String, String> {
    let mut found = Vec::new();
    files(root(), &mut found);
    let named = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let wanted = found.into_iter().filter(|path| endings.iter().any(|ending| path.to_str().unwrap().ends_with(ending)));
    wanted.map(|path| (named(&path), fs::read_to_string(&path).unwrap())).collect()
}

/// The modules of the crate, in the order in which `lib.rs` lists them.
fn modules() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = |line: &str| {
        line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))?.strip_suffix(';').map(ToOwned::to_owned)
    };
    text.lines().filter_map(declared).collect()
}

fn identifier(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first names of the paths that begin with `crate::`, outside of comments and of tests.
fn known(text: &str) -> BTreeSet<&str> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut names = BTreeSet::new();
    for line in code {
        for path in line.split("crate::").skip(1) {
            let Some(group) = path.strip_prefix('{') else {
                names.insert(identifier(path));
                continue;
            };
            // A group of modules stands in one line, and none of them is a group again.
            names.extend(group.split('}').next().unwrap_or_default().split(", ").map(identifier));
        }
    }
    names
}

#[test]
fn a_module_relies_only_on_modules_that_lib_rs_lists_above_it() {
    let order = modules();
    let place = |name: &str| order.iter().position(|module| module == name);
    assert!(order.len() > 20, "{order:?}");
    let (mut upward, mut seen) = (Vec::new(), 0);
    for (path, text) in texts(&[".rs"]) {
        let Some(module) = path.strip_prefix("src/").map(identifier).filter(|name| place(name).is_some()) else {
            continue;
        };
        if path.ends_with("/tests.rs") {
            continue;
        }
        for name in known(&text).into_iter().filter(|name| place(name).is_some()) {
            seen += 1;
            // It is a name alone: where users look for the judge of traces.
            let renamed = (path.as_str(), name) == ("src/trace.rs", "judge");
            if place(name) > place(module) && !renamed {
                upward.push(format!("{path} relies on {name}"));
            }
        }
    }
    assert!(upward.is_empty(), "the order of `src/lib.rs` is {order:?}, but\n{}", upward.join("\n"));
    assert!(seen > 200, "only {seen} were found");
}

#[test]
fn the_architecture_lists_every_module_in_that_order() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = page.split("## Modules").nth(1).unwrap().split("\n## ").next().unwrap();
    let firsts = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let listed: Vec<_> = firsts.flat_map(|cell| cell.split("`, `").map(identifier)).collect();
    assert_eq!(listed, modules());
}

/// What a page has between backticks, outside of blocks of code.
fn quoted(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut quoted = Vec::new();
    for line in page.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if !in_block {
            quoted.extend(line.split('`').skip(1).step_by(2));
        }
    }
    quoted
}

/// Whether this is the path of something in the repository, as a page names it; `*` stands for anything.
fn is_there(path: &str) -> bool {
    let (before, after) = path.split_once('*').unwrap_or((path, ""));
    if !path.contains('*') {
        return root().join(path).exists();
    }
    let (folder, name) = before.rsplit_once('/').unwrap_or(("", before));
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .any(|found| found.starts_with(name) && found.ends_with(after))
}

#[test]
fn the_files_that_the_pages_name_are_there() {
    const PLACES: [&str; 11] = [
        ".cargo/",
        ".ci/",
        "benches/",
        "docs/",
        "examples/",
        "fuzz/",
        "proptest-regressions/",
        "src/",
        "tests/",
        "verification/",
        "xtask/",
    ];
    /// In the reader's own crate.
    const YOURS: &str = "tests/conformance.rs";
    if !is_repository() {
        return;
    }
    let (mut named, mut missing) = (0, Vec::new());
    for (page, text) in texts(&[".md"]) {
        for path in quoted(&text) {
            let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./_-*@".contains(&byte));
            if !plain || path == YOURS || !PLACES.iter().any(|place| path.starts_with(place)) {
                continue;
            }
            named += 1;
            let beside = Path::new(&page).parent().unwrap().join(path);
            if !is_there(path.trim_end_matches('/')) && !root().join(beside).exists() {
                missing.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "named and not there:\n{}", missing.join("\n"));
    assert!(named > 100, "only {named} were found");
}

#[test]
fn the_items_that_the_pages_name_are_in_the_source() {
    if !is_repository() {
        return;
    }
    let mut words = BTreeSet::new();
    let source = texts(&[".rs", ".py", ".tla", "Cargo.toml"]);
    for text in source.values() {
        words.extend(text.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
    }
    let mut missing = Vec::new();
    for (page, text) in texts(&[".md"]) {
        // What has been is told there.
        if page == "CHANGELOG.md" || page.starts_with("docs/decisions") {
            continue;
        }
        for item in quoted(&text).into_iter().filter(|quoted| quoted.contains("::") && !quoted.contains("://")) {
            let last = item.rsplit("::").map(identifier).find(|name| !name.is_empty()).unwrap_or_default();
            // What others have, beside which this crate is put.
            let others = ["tokio_util", "event_listener", "std", "core", "tower", "axum"];
            if !last.is_empty() && !words.contains(last) && !others.iter().any(|other| item.starts_with(other)) {
                missing.push(format!("{page}: {item}"));
            }
        }
    }
    assert!(missing.is_empty(), "named and not there:\n{}", missing.join("\n"));
}

#[test]
fn every_number_of_a_property_that_is_cited_is_one() {
    let numbers: BTreeSet<_> =
        gateway_drain::properties::PROPERTIES.iter().map(|property| property.id.to_string()).collect();
    let mut unknown = Vec::new();
    for (path, text) in texts(&[".rs", ".md", ".py", ".tla"]) {
        for (at, line) in text.lines().enumerate() {
            for word in line.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-') {
                let cited = word.len() == 2 && word.starts_with(['S', 'G', 'H', 'C', 'E', 'L']);
                if cited && word.ends_with(|letter: char| letter.is_ascii_digit()) && !numbers.contains(word) {
                    unknown.push(format!("{path}:{}: {word}", at + 1));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "no properties:\n{}", unknown.join("\n"));
}

#[test]
fn no_file_of_the_source_has_two_subjects() {
    let mut long = Vec::new();
    for (path, text) in texts(&[".rs"]) {
        let lines = text.lines().count();
        let limit = MAX_LINES.iter().find(|(place, _)| path.starts_with(place)).map_or(0, |(_, limit)| *limit);
        if lines > limit {
            long.push(format!("{path}: {lines} lines, of at most {limit}"));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn sentences_name_who_and_what_they_mean() {
    let mut riddles = Vec::new();
    for (path, text) in texts(&[".rs", ".md", ".py", ".toml", ".js", ".html", ".tla", ".json", ".service"]) {
        if path == "tests/it/tidy.rs" {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let mut words = line.split(|letter: char| !letter.is_alphabetic());
            if let Some(word) = words.find(|word| UNCLEAR.contains(word)) {
                riddles.push(format!("{path}:{}: {word}", at + 1));
            }
        }
    }
    assert!(riddles.is_empty(), "name the noun instead:\n{}", riddles.join("\n"));
}
