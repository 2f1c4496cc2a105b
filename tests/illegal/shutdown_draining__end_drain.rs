use gateway_drain::{Lifecycle, ShutdownDraining};

fn illegal(lifecycle: Lifecycle<ShutdownDraining>) {
    lifecycle.end_drain();
}

fn main() {}
