//! `docs/deployment.md` shows the files of `examples/deploy` as they are.
//!
//! To write them in after a change: `cargo xtask docs`.

use crate::support::generated::compare_or_write;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const GUIDE: &str = "docs/deployment.md";

fn read(path: &str) -> String {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(at).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The guide with every file in its place, and which files those are.
fn with_files(guide: &str) -> (String, BTreeSet<String>) {
    let (mut text, mut shown) = (String::new(), BTreeSet::new());
    let mut parts = guide.split("<!-- file: ");
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (head, rest) = part.split_once(" -->\n").expect("a comment ends");
        let (language, path) = head.split_once(' ').expect("a language and a path");
        let (_, rest) = rest.split_once("<!-- end -->").expect("every block ends");
        let block = format!("<!-- file: {head} -->\n```{language}\n{}```\n<!-- end -->{rest}", read(path));
        text.push_str(&block);
        shown.insert(path.to_owned());
    }
    (text, shown)
}

#[test]
fn the_guide_shows_every_file_as_it_is() {
    let guide = read(GUIDE);
    let (wanted, shown) = with_files(&guide);
    compare_or_write(Path::new(env!("CARGO_MANIFEST_DIR")), GUIDE, &wanted);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy");
    let files = fs::read_dir(folder).expect("the files").map(|file| file.expect("a file").file_name());
    for file in files {
        let path = format!("examples/deploy/{}", file.to_str().expect("text"));
        assert!(shown.contains(&path), "{GUIDE} doesn't show {path}");
    }
}
