use gateway_drain::{Lifecycle, ExternalDraining};

fn illegal(lifecycle: Lifecycle<ExternalDraining>) {
    lifecycle.stop();
}

fn main() {}
