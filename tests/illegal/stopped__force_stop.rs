use gateway_drain::{Lifecycle, Stopped};

fn illegal(lifecycle: Lifecycle<Stopped>) {
    lifecycle.force_stop();
}

fn main() {}
