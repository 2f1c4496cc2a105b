use gateway_drain::{Lifecycle, Stopped};

fn illegal(lifecycle: Lifecycle<Stopped>) {
    lifecycle.stop();
}

fn main() {}
