//! Prints what the model is asserted to find in a configuration: `numbers "one owner"`.

use gateway_drain_model::checks::CHECKS;

fn main() {
    let wanted = std::env::args().nth(1);
    for check in CHECKS.iter().filter(|check| wanted.as_deref().is_none_or(|name| name == check.config.name)) {
        println!("{} states={} edges={}", check.config.name, check.counts.states, check.counts.edges);
    }
}
