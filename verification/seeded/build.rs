//! Generates the library: the production source with every seeded bug behind a switch, on loom's or shuttle's
//! primitives where the package wants them.

mod catalogue;
mod generate;

fn main() {
    generate::generate();
    for primitives in ["loom", "shuttle"] {
        if std::env::var_os(format!("CARGO_FEATURE_{}", primitives.to_uppercase())).is_some() {
            println!("cargo::rustc-cfg={primitives}");
        }
    }
}
