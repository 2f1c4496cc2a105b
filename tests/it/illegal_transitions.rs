//! What the table doesn't have doesn't compile. Each fixture in `tests/illegal/` is one such call, with the diagnostic
//! that its author would see. `cargo xtask docs` writes the diagnostics.

use crate::support::example_bins::library;
use crate::support::generated::compare_or_write;
use gateway_drain::state::{DrainState, Event, Step, next};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The methods of a lifecycle, and the event that each stands for.
const METHODS: [(&str, Event); 5] = [
    ("begin_drain", Event::BeginDrain),
    ("end_drain", Event::EndDrain),
    ("begin_shutdown", Event::BeginShutdown),
    ("stop", Event::Stop),
    ("force_stop", Event::Stop),
];

#[test]
fn every_call_that_the_table_does_not_move_on_has_its_fixture_and_no_other_has() {
    for state in DrainState::ALL {
        for (method, event) in METHODS {
            let fixture = PathBuf::from(format!("tests/illegal/{state}__{method}.rs"));
            let illegal = !matches!(next(state, event), Step::Moves(_));
            assert_eq!(fixture.exists(), illegal, "{} against the table's answer for {event:?}", fixture.display());
        }
    }
}

/// What the compiler says of this program, and whether it compiles. Nothing but the program is compiled: the library is the
/// one that cargo has built for the tests.
fn compiled(program: &Path) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let library = library();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--edition", "2024", "--emit", "metadata", "--color", "never"]);
    rustc.arg("--extern").arg(format!("gateway_drain={}", library.display()));
    rustc.arg("-L").arg(format!("dependency={}", library.parent().unwrap().join("deps").display()));
    rustc.arg("-L").arg(format!("dependency={}", library.parent().unwrap().display()));
    let output = rustc.arg("--out-dir").arg(folder.path()).arg(program).output().expect("rustc runs");
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// Without the lines that say nothing of the program.
fn diagnostic(said: &str) -> String {
    let idle =
        |line: &&str| !line.starts_with("error: aborting due to") && !line.starts_with("For more information about");
    said.lines().filter(idle).collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}

#[test]
fn illegal_calls_do_not_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("tests/illegal")).unwrap().map(|file| file.unwrap().file_name());
    let mut programs: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    programs.retain(|name| name.ends_with(".rs"));
    for program in programs {
        let program = Path::new("tests/illegal").join(program);
        let (compiles, said) = compiled(&program);
        assert!(!compiles, "{} compiles", program.display());
        compare_or_write(root, program.with_extension("stderr").to_str().unwrap(), &diagnostic(&said));
    }
}

#[test]
fn what_the_table_moves_on_compiles() {
    let program = tempfile::tempdir().unwrap();
    let path = program.path().join("legal.rs");
    let legal = "use gateway_drain::Lifecycle;\nfn main() { let _ = Lifecycle::new().begin_drain(); }\n";
    std::fs::write(&path, legal).unwrap();
    let (compiles, said) = compiled(&path);
    assert!(compiles, "{said}");
}
