use gateway_drain::{Lifecycle, Running};

fn illegal(lifecycle: Lifecycle<Running>) {
    lifecycle.end_drain();
}

fn main() {}
