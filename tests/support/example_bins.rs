//! The examples as programs: cargo builds none of them for a single test, and would leave the one of an earlier day there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the examples lie, built once for each test program.
pub fn examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        // What cargo tells a test of its package would have other packages built anew, in here and again outside.
        let of_this_test = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars().filter(|(name, _)| of_this_test(name)) {
            build.env_remove(name);
        }
        let built = build
            .args(["build", "--quiet", "--all-features", "--examples"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the examples build");
        let test = std::env::current_exe().expect("the path of this test");
        test.parent().and_then(Path::parent).expect("target/<profile>/deps").join("examples")
    })
}
