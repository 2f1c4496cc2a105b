//! Generates the library: the production source with every seeded bug behind a switch.

mod catalogue;
mod generate;

fn main() {
    generate::generate();
}
