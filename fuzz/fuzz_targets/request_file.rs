//! The marker and the hold files: any content is a finding, and never an absence; what is understood survives a round trip.
//!
//! The first byte says whose file it is; the rest is the content.
#![no_main]

use gateway_drain::control::request_file::{interpret, to_bytes};
use gateway_drain::control::{Epoch, Found, read::Content};
use gateway_drain::hold::Action;
use gateway_drain::{Request, RequestId};
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, SystemTime};

fuzz_target!(|input: &[u8]| {
    let Some((whose, bytes)) = input.split_first() else { return };
    let id = if whose & 1 == 0 { RequestId::marker() } else { RequestId::new("fuzz").expect("a sound name") };
    let ours = Epoch::from("boot:1".to_owned());
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let find = |bytes: &[u8]| interpret(&Content { bytes: bytes.to_vec(), modified: 0 }, &id, &ours, wall);
    match find(bytes) {
        Found::Absent => panic!("C4: something that is there was found absent"),
        Found::Stale { epoch, .. } => assert!(epoch.differs_from(&ours), "C3: {epoch:?} may be ours"),
        Found::Unreadable { why, nonce } => {
            assert!(!why.is_empty() && nonce.is_some(), "C4: it has to be said what is wrong")
        }
        Found::Valid(request) => {
            assert!(!id.is_marker() || request.action == Action::Begin, "the marker can only begin");
            let Found::Valid(again) = find(&to_bytes(&request, &ours)) else { panic!("what was written was not read") };
            assert_same(&request, &again);
        }
    }
});

fn assert_same(request: &Request, again: &Request) {
    let close = |a: Option<Duration>, b: Option<Duration>| match (a, b) {
        (Some(a), Some(b)) => a.abs_diff(b).as_secs_f64() <= 1e-6 + a.as_secs_f64() * 1e-12,
        (a, b) => a == b,
    };
    assert!(close(request.lease, again.lease), "{request:?} became {again:?}");
    assert!(close(request.deadline, again.deadline), "{request:?} became {again:?}");
    assert!(close(Some(request.unready_delay), Some(again.unready_delay)), "{request:?} became {again:?}");
    let mut again = again.clone();
    (again.lease, again.deadline, again.unready_delay) = (request.lease, request.deadline, request.unready_delay);
    // It was written again, and that is when.
    again.age = request.age;
    assert_eq!(*request, again);
}
