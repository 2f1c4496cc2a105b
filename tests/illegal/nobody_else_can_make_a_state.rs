use gateway_drain::{DrainState, lifecycle::State};

enum Reopened {}

impl State for Reopened {
    const STATE: DrainState = DrainState::Running;
}

fn main() {}
