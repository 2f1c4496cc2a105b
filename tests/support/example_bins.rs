//! What cargo builds of this package beside a test: its examples, which it builds for no test program alone and would leave
//! there as they were on an earlier day, and its library.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

struct Built {
    examples: PathBuf,
    library: PathBuf,
}

/// Built once for each test program; after a plain `cargo test`, cargo finds all of it built.
fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        // What cargo tells a test of its package would have other packages built again, in here and again outside.
        let of_this_test = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars().filter(|(name, _)| of_this_test(name)) {
            build.env_remove(name);
        }
        let output = build
            .args(["build", "--quiet", "--all-features", "--examples", "--message-format=json-render-diagnostics"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the examples build");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let artifacts = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let of_this_package = artifacts.filter(|artifact: &Value| {
            artifact["reason"] == "compiler-artifact" && artifact["manifest_path"].as_str() == manifest.to_str()
        });
        let of_this_package: Vec<Value> = of_this_package.collect();
        let file = |kind: &str, extension: Option<&str>| {
            let artifact = of_this_package.iter().find(|artifact| artifact["target"]["kind"][0] == kind);
            let files =
                artifact.and_then(|artifact| artifact["filenames"].as_array()).expect("cargo names what it builds");
            let mut files = files.iter().filter_map(Value::as_str).map(PathBuf::from);
            files.find(|file| file.extension().and_then(|found| found.to_str()) == extension).expect("its file")
        };
        let examples = file("example", None).parent().expect("a program lies in a folder").to_owned();
        Built { examples, library: file("lib", Some("rlib")) }
    })
}

/// Where the examples lie.
pub fn examples() -> &'static Path {
    &built().examples
}

/// The library, for `rustc --extern`.
pub fn library() -> &'static Path {
    &built().library
}
