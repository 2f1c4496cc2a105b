//! Writes the copy of the production source in which every seeded bug can be switched on at run time.
//!
//! One compilation holds all bugs: each replaces its snippet by
//! `if seeded(id) { bug } else { snippet }`, and the environment variable `SEED` chooses one. With none chosen the copy
//! does what the original does, except that what was `const` is decided at run time.
//!
//! A snippet that isn't found exactly once fails the build: the catalogue can't rot.

use crate::catalogue::{Seed, seeds};
use std::ops::Range;
use std::path::Path;
use std::{env, fs};

/// Copies `../../src` to `$OUT_DIR/src`, with the seeds of the catalogue planted.
pub fn generate() {
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../src");
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("src");
    println!("cargo::rerun-if-changed={}", source.display());
    for own in ["build.rs", "catalogue.rs", "catalogue", "generate.rs"] {
        println!("cargo::rerun-if-changed={own}");
    }
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-check-cfg=cfg(shuttle)");
    println!("cargo::rustc-check-cfg=cfg(feature, values(any()))");

    let mut planted = 0;
    copy(&source, &out, &source, &mut planted);
    assert_eq!(planted, seeds().count(), "every seed names a file of src/ that exists");
}

fn copy(from: &Path, to: &Path, root: &Path, planted: &mut usize) {
    fs::create_dir_all(to).expect("the output folder can be written");
    for entry in fs::read_dir(from).expect("src/ can be read") {
        let path = entry.expect("src/ can be listed").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target, root, planted);
            continue;
        }
        let name = path.strip_prefix(root).expect("it is below src/").to_str().expect("names are text");
        let text = fs::read_to_string(&path).expect("a source file can be read");
        let seeds: Vec<&Seed> = seeds().filter(|seed| seed.file == name).collect();
        *planted += seeds.len();
        let mut text = plant(&text, &seeds);
        if name == "lib.rs" {
            text = as_included(&text);
        }
        // A seed is looked up at run time, so nothing that may hold one is evaluated by the compiler. The primitives hold
        // none, and make a `static`.
        if !name.starts_with("sync") {
            text = text.replace("const fn ", "fn ").replace("const { agrees_with_table", "{ agrees_with_table");
        }
        // What a file includes from beside the source is there and not here.
        let text = text.replace("(\"../../docs/", &format!("(\"{}/../docs/", root.display()));
        fs::write(target, text).expect("the output folder can be written");
    }
}

/// The crate's root without its inner attributes, which an included file can't have, and with the switch.
fn as_included(root: &str) -> String {
    let items: String = root.lines().filter(|line| !line.starts_with("#![")).map(|line| format!("{line}\n")).collect();
    let switch = r#"
/// Whether this is the seed that the environment has chosen.
pub(crate) fn seeded(id: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("SEED").ok()).as_deref() == Some(id)
}
"#;
    items + switch
}

fn plant(text: &str, seeds: &[&Seed]) -> String {
    let mut spans: Vec<(Range<usize>, &Seed)> = seeds.iter().map(|seed| (span(text, seed), *seed)).collect();
    // Outer spans before what they contain; of equal spans, in the order of the catalogue.
    spans.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    plant_into(text, 0..text.len(), &spans)
}

fn plant_into(text: &str, within: Range<usize>, spans: &[(Range<usize>, &Seed)]) -> String {
    let mut planted = String::new();
    let mut at = within.start;
    let mut rest = spans;
    while let Some(((span, first), _)) = rest.split_first() {
        assert!(at <= span.start && span.end <= within.end, "{}: its snippet overlaps with another seed's", first.id);
        let inside = rest.iter().take_while(|(other, _)| other.start < span.end).count();
        let (group, inner) = rest[..inside].split_at(rest.iter().take_while(|(other, _)| other == span).count());
        // An expression is put in brackets, so that it can stand wherever the snippet did.
        let (open, close) = if text[span.clone()].trim_end().ends_with(';') { ("", "") } else { ("(", ")") };
        planted += &text[at..span.start];
        planted += open;
        for (_, seed) in group {
            planted += &format!("if crate::seeded({:?}) {{ {} }} else ", seed.id, seed.replace);
        }
        planted += &format!("{{ {} }}{close}", plant_into(text, span.clone(), inner));
        at = span.end;
        rest = &rest[inside..];
    }
    planted + &text[at..within.end]
}

/// Where the seed's snippet stands.
fn span(text: &str, seed: &Seed) -> Range<usize> {
    let within = only(text, seed.within, seed);
    let find = only(&text[within.clone()], seed.find, seed);
    within.start + find.start..within.start + find.end
}

fn only(text: &str, snippet: &str, seed: &Seed) -> Range<usize> {
    let found: Vec<usize> = text.match_indices(snippet).map(|(at, _)| at).collect();
    match found[..] {
        [at] => at..at + snippet.len(),
        _ => panic!("seed {}: src/{} has {} times, not once: {snippet}", seed.id, seed.file, found.len()),
    }
}
