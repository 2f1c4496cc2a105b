//! What the checks say of themselves that this package can't link: read from their sources, and of the faults from the page
//! that they are compared with in every run.

use gateway_drain::properties::PROPERTIES;
use std::fs;
use std::path::Path;

fn read(root: &Path, file: &str) -> String {
    fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What stands between the first `begin` and the next `end`.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let found = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
    found.unwrap_or_else(|| panic!("nothing stands between {begin:?} and {end:?}")).0
}

/// One target of `.ci/fuzz`.
pub struct Target {
    pub name: String,
    /// Its file's first paragraph.
    pub what: String,
    /// Those that its source names.
    pub properties: Vec<String>,
    /// How many inputs are kept for it.
    pub kept: usize,
}

/// The targets, by the manifest that `cargo fuzz` goes by.
pub fn fuzz_targets(root: &Path) -> Vec<Target> {
    let manifest = read(root, "fuzz/Cargo.toml");
    let files = manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    let target = |file: &str| {
        let name = file.trim_start_matches("fuzz_targets/").trim_end_matches(".rs").to_owned();
        let source = read(root, &format!("fuzz/{file}"));
        let words: Vec<&str> = source.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
        let properties = PROPERTIES.iter().map(|property| property.id.to_string());
        let what = source.lines().map_while(|line| line.strip_prefix("//! ")).collect::<Vec<_>>().join(" ");
        let kept = fs::read_dir(root.join("fuzz/corpus").join(&name)).expect("its corpus").count();
        Target { name, what, properties: properties.filter(|id| words.contains(&id.as_str())).collect(), kept }
    };
    files.map(target).collect()
}

/// In how many ways `.ci/faults` tries each part, by the rows of `docs/reliability.md`.
pub fn faults(root: &Path) -> Vec<(String, usize)> {
    let page = read(root, "docs/reliability.md");
    let parts = page.split("\n## ").skip(1).filter_map(|part| part.split_once("\n\n| Tried |"));
    let rows = |table: &str| table.lines().filter(|line| line.ends_with(" | pass |")).count();
    parts.map(|(part, table)| (part.to_owned(), rows(table))).collect()
}

/// How many properties the conformance suite judges by, and the gateways of this crate that it judges.
pub fn judged(root: &Path) -> (usize, Vec<String>) {
    let properties = PROPERTIES.iter().filter(|property| property.shows_in_calls());
    (properties.count(), gateways(&read(root, "tests/external/own_gateways.rs")))
}

/// Those of them that it judges under loom too.
pub fn judged_under_loom(root: &Path) -> Vec<String> {
    gateways(&read(root, "verification/interleavings/tests/conformance/own.rs"))
}

fn gateways(source: &str) -> Vec<String> {
    let modules = source.lines().filter_map(|line| line.strip_prefix("mod the_")?.strip_suffix(" {"));
    modules.map(|name| format!("the {}", name.replace('_', " "))).collect()
}

/// A gateway that is broken on purpose: its flaw, the property that it breaks and those that fall with it.
pub struct Broken {
    pub flaw: String,
    pub breaks: String,
    pub also: Vec<String>,
}

pub fn broken_gateways(root: &Path) -> Vec<Broken> {
    let source = read(root, "tests/external/broken_gateways.rs");
    let rows = between(&source, "\nflaws! {\n", "\n}").lines();
    let broken = |row: &str| {
        let (test, flaw) = row.trim().trim_end_matches(';').split_once(": ").expect("a test and its flaw");
        let properties = flaw.split_once(" breaks ").expect("what it breaks").1;
        let mut properties = properties.split(", and ").map(str::to_owned);
        let flaw = test.trim_end_matches("_is_caught").trim_end_matches("_are_caught").replace('_', " ");
        Broken { flaw, breaks: properties.next().expect("the first"), also: properties.collect() }
    };
    rows.map(broken).collect()
}

/// How many are broken between two steps or by a memory ordering, and caught under loom.
pub fn broken_under_loom(root: &Path) -> usize {
    let source = read(root, "verification/interleavings/tests/conformance/broken.rs");
    let flaws = between(&source, "enum Flaw {\n", "\n}").lines().map(str::trim);
    flaws.filter(|line| !line.starts_with("///") && *line != "None,").count()
}
