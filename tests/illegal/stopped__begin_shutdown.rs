use gateway_drain::{Lifecycle, Stopped};

fn illegal(lifecycle: Lifecycle<Stopped>) {
    lifecycle.begin_shutdown();
}

fn main() {}
