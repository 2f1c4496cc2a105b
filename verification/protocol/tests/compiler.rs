//! Tells at which levels of optimisation this compiler still stores wrong numbers beside small enums
//! (`docs/decisions/0012-a-compilers-fault.md`). It fails only if the program is wrong without any optimisation: what is
//! checked here rests on no other level alone.

use std::path::Path;
use std::process::Command;

const RIGHT: &str = "[(Stay, 1), (Step(7), 2), (Turn(8, true), 3)]";

fn printed(level: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("padding");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("compiler/padding.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(rustc)
        .args(["--edition", "2024", "-C", &format!("opt-level={level}"), "-o"])
        .args([&program, &source])
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    String::from_utf8(Command::new(program).output().unwrap().stdout).unwrap().trim_end().to_owned()
}

#[test]
fn a_small_enum_beside_a_number_is_stored_right_without_optimisation() {
    assert_eq!(printed("0"), RIGHT);
    for level in ["1", "2", "3", "s", "z"] {
        let printed = printed(level);
        let verdict = if printed == RIGHT { "right" } else { "WRONG" };
        println!("opt-level {level}: {verdict}: {printed}");
    }
}
