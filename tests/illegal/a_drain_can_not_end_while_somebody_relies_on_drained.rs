use gateway_drain::{Drained, ExternalDraining, Lifecycle};

fn act(_safe: Drained<'_>) {}

fn illegal(lifecycle: Lifecycle<ExternalDraining>) {
    if let Some(drained) = lifecycle.drained() {
        lifecycle.end_drain();
        act(drained);
    }
}

fn main() {}
