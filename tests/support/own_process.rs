//! A test that changes its whole process (user, umask, limits, working folder, signals) has that done in a process of its own:
//! this test program once more, with nothing but that test, told by its environment which part it plays.

use std::path::Path;
use std::process::Command;

/// Runs nothing but `test` of the module that `module_path!()` names, in this test program or a copy of it at `program`.
pub fn alone(program: &Path, module_path: &str, test: &str) -> Command {
    let mut command = Command::new(program);
    command.args(arguments(module_path, test));
    command
}

/// What the harness has to be told for that.
pub fn arguments(module_path: &str, test: &str) -> [String; 3] {
    // The harness leaves out the name of the crate.
    let module = module_path.split_once("::").map(|(_, module)| format!("{module}::")).unwrap_or_default();
    [format!("{module}{test}"), "--exact".into(), "--nocapture".into()]
}

/// Runs `body`, a closure in a test, where it can change what belongs to the whole process: the test starts that process and
/// waits for it, and there this is `body`.
#[track_caller]
pub fn in_own_process<F: FnOnce()>(body: F) {
    const PART: &str = "GATEWAY_DRAIN_TEST_ALONE";
    // PROGRAM::MODULE::TEST::{{closure}}
    let test = std::any::type_name::<F>().rsplit_once("::").expect("a closure has a path").0;
    if std::env::var_os(PART).is_some_and(|part| part == *test) {
        return body();
    }
    let (module, name) = test.rsplit_once("::").expect("a test has a module");
    let output = alone(&this_program(), module, name).env(PART, test).output().expect("this program runs again");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{test} in a process of its own: {said}");
}

/// This test program.
pub fn this_program() -> std::path::PathBuf {
    std::env::current_exe().expect("a running program has a path")
}
