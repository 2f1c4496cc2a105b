//! Turns `cfg(shuttle)` on for this package alone, so that a plain `cargo test --workspace` builds and runs the schedules.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=shuttle");
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-check-cfg=cfg(shuttle)");
    // The features of the crate whose source this is; none of them belongs to its concurrent core.
    println!("cargo::rustc-check-cfg=cfg(feature, values(any()))");
}
