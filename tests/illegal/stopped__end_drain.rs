use gateway_drain::{Lifecycle, Stopped};

fn illegal(lifecycle: Lifecycle<Stopped>) {
    lifecycle.end_drain();
}

fn main() {}
