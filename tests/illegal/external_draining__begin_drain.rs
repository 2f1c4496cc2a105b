use gateway_drain::{Lifecycle, ExternalDraining};

fn illegal(lifecycle: Lifecycle<ExternalDraining>) {
    lifecycle.begin_drain();
}

fn main() {}
