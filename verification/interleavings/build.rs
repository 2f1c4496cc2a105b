//! Turns `cfg(loom)` or `cfg(shuttle)` on for this package alone, so that a plain `cargo test --workspace` builds and runs
//! the models, and as few other packages as possible are built again.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let checker =
        ["LOOM", "SHUTTLE"].into_iter().find(|name| std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some());
    if let Some(checker) = checker {
        println!("cargo::rustc-cfg={}", checker.to_lowercase());
    }
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-check-cfg=cfg(shuttle)");
    // The features of the crate whose source this is; none of them belongs to its concurrent core.
    println!("cargo::rustc-check-cfg=cfg(feature, values(any()))");
}
