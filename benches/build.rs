//! Tells the program which compiler it was built by.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").expect("cargo sets it");
    let version = Command::new(rustc).arg("--version").output().expect("the compiler tells its version");
    let version = String::from_utf8(version.stdout).expect("versions are text");
    let number = version.split(' ').nth(1).expect("`rustc 1.89.0 (...)`");
    println!("cargo::rustc-env=COMPILER=rustc {number}");
    println!("cargo::rustc-env=COUNTED_WITH={number}-{}", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
}
