//! The variables that name the home, and which of two holds.

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, Tool, tool};
use gateway_drain::Home;
use gateway_drain::client::ExitCode;
use std::path::Path;

/// `status`, with these variables and no option.
fn status(elsewhere: &Path, variables: &[(&str, &Path)]) -> Ended {
    let mut command = tool(elsewhere);
    command.env_remove(Home::VARIABLE).env_remove(Home::REFERENCE_VARIABLE);
    command.arg("status").envs(variables.iter().copied());
    Tool::spawn(command).ended()
}

#[test]
fn our_name_for_the_home_holds_over_the_references_and_must_not_be_empty() {
    let (home, empty) = (home(), home());
    let _gateway = GatewayProcess::start(home.path());
    let (ours, theirs) = (Home::VARIABLE, Home::REFERENCE_VARIABLE);
    status(empty.path(), &[(ours, home.path()), (theirs, empty.path())]).expect(ExitCode::Drained);
    status(empty.path(), &[(theirs, home.path())]).expect(ExitCode::Drained);
    status(empty.path(), &[(ours, empty.path()), (theirs, home.path())]).expect(ExitCode::Unreachable);
    let ended = status(empty.path(), &[(ours, Path::new("")), (theirs, home.path())]).expect(ExitCode::Usage);
    assert!(ended.stderr.contains(ours), "{}", ended.stderr);
}
