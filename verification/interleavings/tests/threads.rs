//! Every model without the harness of `cargo test`, whose own threads ThreadSanitizer takes for a race; or those whose names
//! have one of the arguments in them.

#[path = "models/main.rs"]
mod models;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, body) in models::MODELS {
        if chosen.is_empty() || chosen.iter().any(|part| name.contains(part)) {
            models::explore::explore(name, *body);
        }
    }
}
