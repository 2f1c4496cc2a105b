use gateway_drain::OwnedPermit;
use gateway_drain::gate::Interrupted;

fn illegal(permit: OwnedPermit) -> Interrupted<'static> {
    permit.interrupted()
}

fn main() {}
