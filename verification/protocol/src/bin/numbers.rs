//! Prints what the model is asserted to find: in a configuration, `numbers "one owner"`; of a rule left out and the property
//! that breaks then, `numbers "NoNonce E1"`. Without a name, everything.

use gateway_drain_protocol::checks::{CHECKS, SEEDS};

fn main() {
    let wanted = std::env::args().nth(1);
    let print = |name: &str, numbers: String| {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            println!("{name} {numbers}");
        }
    };
    for check in &CHECKS {
        print(check.config.name, format!("states={} edges={}", check.counts.states, check.counts.edges));
    }
    for seeded in SEEDS {
        print(&format!("{:?} {}", seeded.seed, seeded.breaks), format!("steps={}", seeded.steps));
    }
}
