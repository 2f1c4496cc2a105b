//! The pages of the repository lead somewhere: each relative link to a file that is there, each anchor to a heading.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that the published package leaves out: there, a link into them leads to the repository.
const NOT_PUBLISHED: [&str; 7] =
    [".ci", "benches", "examples/conformance", "examples/loom", "fuzz", "verification", "xtask"];

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Without what stands in blocks of code and between backticks.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let outside = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            prose.push_str(&outside);
            prose.push('\n');
        }
    }
    prose
}

/// The targets of `[text](target)`, and of `[name]: target` at the beginning of a line.
fn targets(prose: &str) -> Vec<&str> {
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let references = prose.lines().filter(|line| line.starts_with('['));
    let references = references.filter_map(|line| line.split_once("]: ").map(|(_, target)| target));
    inline.chain(references).map(|target| target.split_whitespace().next().unwrap_or_default()).collect()
}

/// The anchors of a page's headings, as the forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if in_block || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        anchors.insert(kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect());
    }
    anchors
}

#[test]
fn links_and_the_anchors_of_headings_are_found_outside_of_code() {
    let text = "# What it's *for*\n[a](b.md#c) `[x](y)`\n```\n[x](y)\n# no\n```\n[d]: e/f.md\n";
    assert_eq!(targets(&prose(text)), ["b.md#c", "e/f.md"]);
    assert_eq!(anchors(text), BTreeSet::from(["what-its-for".to_owned()]));
}

#[test]
fn every_relative_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    pages(root, &mut found);
    let (mut followed, mut broken) = (0, Vec::new());
    for page in &found {
        let text = fs::read_to_string(page).unwrap();
        let prose = prose(&text);
        for target in targets(&prose) {
            if target.contains("://") || target.starts_with("mailto:") || target.is_empty() {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            followed += 1;
            let published = NOT_PUBLISHED.iter().all(|folder| !file.trim_start_matches("../").starts_with(folder));
            let leads = if !path.exists() {
                // In the package, what is left out isn't there at all.
                !published && !root.join("verification").exists()
            } else if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
                true
            } else {
                anchors(&fs::read_to_string(&path).unwrap()).contains(anchor)
            };
            if !leads {
                broken.push(format!("{}: {target}", page.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    assert!(followed >= 50, "only {followed} links were found in {} pages", found.len());
}
