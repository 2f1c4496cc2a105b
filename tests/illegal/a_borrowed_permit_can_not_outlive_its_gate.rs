use gateway_drain::{Gate, Permit};

fn illegal(gate: Gate) -> Permit<'static> {
    gate.admit().unwrap()
}

fn main() {}
