//! Generates the library: the production source with every seeded bug behind a switch, on loom's or shuttle's
//! primitives where the package wants them.

mod catalogue;
mod generate;
#[allow(dead_code, reason = "the catalogue wants the numbers alone")]
#[path = "../../src/properties.rs"]
mod properties;

use properties::PropertyId;

fn main() {
    generate::generate();
    let checker =
        ["LOOM", "SHUTTLE"].into_iter().find(|name| std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some());
    if let Some(checker) = checker {
        println!("cargo::rustc-cfg={}", checker.to_lowercase());
    }
}
