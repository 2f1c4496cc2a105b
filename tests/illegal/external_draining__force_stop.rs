use gateway_drain::{Lifecycle, ExternalDraining};

fn illegal(lifecycle: Lifecycle<ExternalDraining>) {
    lifecycle.force_stop();
}

fn main() {}
