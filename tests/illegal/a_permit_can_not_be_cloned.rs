use gateway_drain::OwnedPermit;

fn illegal(permit: OwnedPermit) -> (OwnedPermit, OwnedPermit) {
    (permit.clone(), permit)
}

fn main() {}
