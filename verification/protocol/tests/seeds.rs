//! Each rule, left out, breaks the property that it is there for, and the shortest counterexample is as long as it says.

use gateway_drain_protocol::checks::{CHECKS, SEEDS, Seeded, named};
use gateway_drain_protocol::counterexample::tell;
use gateway_drain_protocol::explorer::explore;
use gateway_drain_protocol::production::Seed;
use gateway_drain_protocol::system::{Protocol, Watched};
use std::fmt::Write as _;

fn counterexample(seeded: &Seeded) -> (usize, String) {
    let mut system = Protocol::without(named(seeded.config).config, seeded.seed);
    system.watched = Watched::Only(seeded.breaks);
    match explore(&mut system) {
        Ok(graph) => panic!("{seeded:?}: nobody notices, in {:?}", graph.counts()),
        Err(found) => (found.steps.len(), tell(&system, &found)),
    }
}

#[test]
fn every_rule_left_out_is_noticed_and_no_later_than_counted() {
    let mut wrong = String::new();
    for seeded in SEEDS {
        let (steps, text) = counterexample(seeded);
        assert!(text.starts_with(&seeded.breaks.to_string()), "{seeded:?}: {text}");
        if steps != seeded.steps {
            let _ = writeln!(wrong, "{seeded:?} is noticed in {steps} steps: {text}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_counterexample_of_a_commit_that_ends_with_its_file_can_be_read_by_anybody() {
    let (_, text) = counterexample(&SEEDS[0]);
    let told = "E1: told committed, and a turn is in flight
in 12 steps:
  1. A gateway starts and takes over what its predecessor left.
  2. A writes its request to drain.
  3. The gateway looks at the files; A's hold is there; the gate is now external_draining.
  4. The gateway publishes its status.
  5. A reads the status; A is told: drained.
  6. A writes its commit.
  7. The gateway looks at the files; A's commit stands.
  8. The gateway publishes its status.
  9. A reads the status; A is told: committed, and acts.
 10. The operator removes A's file.
 11. The gateway looks at the files; A's hold is gone; the gate is now running.
 12. A turn is admitted.
";
    assert_eq!(text, told);
    assert_eq!(SEEDS[0].seed, Seed::CommitEndsWithItsFile);
}

#[test]
fn every_seed_names_a_property_of_its_configuration() {
    for seeded in SEEDS {
        let check = CHECKS.iter().find(|check| check.config.name == seeded.config).expect("its configuration is there");
        assert!(check.properties.contains(&seeded.breaks), "{seeded:?} isn't in the table of what {check:?} can show");
    }
}
