use gateway_drain::{Lifecycle, Running};

fn illegal(lifecycle: Lifecycle<Running>) {
    lifecycle.force_stop();
}

fn main() {}
