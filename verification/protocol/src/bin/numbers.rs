//! Prints what the model is asserted to find: in a configuration, `numbers "one owner"`; of a rule left out and the property
//! that breaks then, `numbers "NoNonce E1"`. Without a name, everything.

use gateway_drain_protocol::checks::{CHECKS, SEEDS};
use gateway_drain_protocol::fleet::checks as fleet;

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
    for check in &fleet::CHECKS {
        print(check.config.name, format!("states={} edges={}", check.counts.states, check.counts.edges));
    }
    for seeded in fleet::SEEDS {
        print(&format!("{:?} E4", seeded.seed), format!("steps={}", seeded.steps));
    }
    for seeded in SEEDS {
        print(&format!("{:?} {}", seeded.seed, seeded.breaks), format!("steps={}", seeded.steps));
    }
}
