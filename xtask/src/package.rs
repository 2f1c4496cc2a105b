//! What is published: unpacked as a user of the registry gets it, and its own tests run there.

use crate::shell::{Done, line, output, root, run};
use std::fs;

pub fn run_tests() -> Done {
    run(&mut line("cargo package --package gateway-drain --allow-dirty --no-verify"))?;
    let id = output(&mut line("cargo pkgid --package gateway-drain"))?;
    let version = id.trim().rsplit(['#', '@']).next().ok_or("a package has a version")?;
    let (name, folder) = (format!("gateway-drain-{version}"), root().join("target/package/unpacked"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // With the time of now: by the one that all packages have, cargo would take an earlier one that it has built for this one.
    run(line("tar -xmf").arg(format!("target/package/{name}.crate")).arg("-C").arg(&folder))?;
    let package = folder.join(name);
    // Below this repository cargo would take it for a member of its workspace.
    let manifest = package.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|error| error.to_string())?;
    fs::write(&manifest, text + "\n[workspace]\n").map_err(|error| error.to_string())?;
    // In the folder of the repository: what the two share has been built there.
    let target = root().join("target");
    run(line("cargo test --locked --all-features").current_dir(&package).env("CARGO_TARGET_DIR", target))
}
