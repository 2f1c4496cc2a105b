use gateway_drain::{Lifecycle, Running};

fn illegal(lifecycle: Lifecycle<Running>) {
    lifecycle.stop();
}

fn main() {}
