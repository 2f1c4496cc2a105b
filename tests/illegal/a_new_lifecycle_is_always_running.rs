use gateway_drain::{Lifecycle, Stopped};

fn main() {
    let _ = Lifecycle::<Stopped>::new();
}
