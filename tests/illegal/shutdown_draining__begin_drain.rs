use gateway_drain::{Lifecycle, ShutdownDraining};

fn illegal(lifecycle: Lifecycle<ShutdownDraining>) {
    lifecycle.begin_drain();
}

fn main() {}
