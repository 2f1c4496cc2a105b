//! Generates the library: the production source with every seeded bug behind a switch, on loom's primitives.

#[path = "../seeded/catalogue.rs"]
mod catalogue;
#[path = "../seeded/generate.rs"]
mod generate;

fn main() {
    generate::generate();
    println!("cargo::rustc-cfg=loom");
}
