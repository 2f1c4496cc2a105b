//! Generates the library: the production source with every seeded bug behind a switch, on loom's primitives where the
//! package wants them.

mod catalogue;
mod generate;

fn main() {
    generate::generate();
    if std::env::var_os("CARGO_FEATURE_LOOM").is_some() {
        println!("cargo::rustc-cfg=loom");
    }
}
