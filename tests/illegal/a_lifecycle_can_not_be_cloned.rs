use gateway_drain::{Lifecycle, Running};

fn illegal(lifecycle: Lifecycle<Running>) -> (Lifecycle<Running>, Lifecycle<Running>) {
    (lifecycle.clone(), lifecycle)
}

fn main() {}
