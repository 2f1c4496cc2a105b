//! What is proved, from the numbers that `.ci/prove` asserts; and what is optimised, with why its results can be trusted.

use crate::grouped;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

fn read(root: &Path, file: &str) -> String {
    fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// How many obligations a proof has for each property, by the table that its run is compared with.
fn obligations(root: &Path, file: &str, table: &str) -> Vec<(String, usize)> {
    let source = read(root, file);
    let rows =
        source.split_once(&format!("{table} = {{\n")).and_then(|(_, rest)| rest.split_once("\n}")).expect(table).0;
    let row = |row: &str| {
        let (property, number) = row.trim().trim_end_matches(',').split_once(": ").expect("a property and a number");
        (property.trim_matches('"').to_owned(), number.parse().expect("a number"))
    };
    rows.lines().map(row).collect()
}

fn of_the_gate(root: &Path) -> Vec<(String, usize)> {
    obligations(root, "verification/gate-proof/gate_proof/__main__.py", "CLAIMS")
}

fn of_the_protocol(root: &Path) -> Vec<(String, usize)> {
    obligations(root, "verification/protocol-proof/protocol_proof/__main__.py", "OBLIGATIONS")
}

fn of_the_fleet(root: &Path) -> Vec<(String, usize)> {
    obligations(root, "verification/protocol-proof/protocol_proof/fleet/__main__.py", "OBLIGATIONS")
}

fn sum(obligations: &[(String, usize)]) -> String {
    grouped(obligations.iter().map(|(_, number)| number).sum())
}

/// What of this property is proved: the proof and its number of obligations.
pub fn of(root: &Path, property: &str) -> String {
    let proofs = [("gate", of_the_gate(root)), ("protocol", of_the_protocol(root)), ("fleet", of_the_fleet(root))];
    let proved = proofs.iter().filter_map(|(proof, obligations)| {
        let (_, number) = obligations.iter().find(|(name, _)| name == property)?;
        Some(format!("{proof}, {}", grouped(*number)))
    });
    proved.collect::<Vec<_>>().join("; ")
}

/// How often `what` begins a line of a file.
fn count(root: &Path, file: &str, what: &str) -> usize {
    read(root, file).lines().filter(|line| line.starts_with(what)).count()
}

/// How many rules one of the two proofs by two solvers has, each of which is left out once.
fn rules(root: &Path, steps: &str) -> usize {
    let source = read(root, steps);
    source.split_once("RULES = {\n").and_then(|(_, rest)| rest.split_once("\n}")).expect("its rules").0.lines().count()
}

/// The paragraphs of the proofs.
pub fn paragraphs(root: &Path) -> String {
    let edits = count(root, "verification/gate-proof/gate_proof/edits.py", "    Edit(");
    format!(
        "- **proof of the gate**: `.ci/prove` has rustc compile `src/gate/word.rs` and `src/state.rs` to LLVM IR, turns each function \
         into a term over 64-bit words, and z3 proves of one step, from any word that meets an invariant and beside any number of \
         permits, {} claims: so of every interleaving of any number of threads. Beside these, that no panic, no overflow and no \
         look-up out of bounds can be reached, whatever the word. Each of {edits} bugs planted in copies of the sources breaks the property \
         that it names, at a word that is printed; and the translation is compared with the optimised machine code. It shows neither \
         memory orderings nor that waiters wake (`verification/gate-proof`).\n\
         - **proof of the protocol**: an invariant in first-order logic for any number of owners, holds, writes, crashes, restarts, lost \
         statuses and lost records, where a look at the files is no atom: {} obligations, each proved by z3 and by cvc5. Without any one \
         of its {} rules a clause of the property that the rule is for breaks, and stories that can happen show that it is not true of \
         nothing. It is about the rules as they are written there. The protocol model asserts that each look, publication and start of \
         the crate that it computes is an instance of them (`verification/protocol/src/refines.rs`); the gate's, the environment's and the \
         controllers' steps are compared with nothing. No liveness, no controller's conclusions, no torn files (`verification/protocol-proof`).\n\
         - **proof of the fleet**: an invariant of the same kind for any number of gateways, controllers, slots, crashes, and transactions \
         that are lost or late (E4): {} obligations, each proved by z3 and by cvc5. Without any one of its {} rules a clause that is \
         named breaks, and stories that can happen show that it is not true of nothing. Two steps count, and are outside of first-order \
         logic: the solvers are asked for them with one, two and three slots. It is about the rules as they are written there, which \
         are compared with the crate's by reading alone; assumed are a linearisable engine, that who is held to be dead is dead, and \
         what else `verification/protocol-proof` names. No FleetLock server, no clocks, no liveness.\n",
        sum(&of_the_gate(root)),
        sum(&of_the_protocol(root)),
        rules(root, "verification/protocol-proof/protocol_proof/steps.py"),
        sum(&of_the_fleet(root)),
        rules(root, "verification/protocol-proof/protocol_proof/fleet/steps.py"),
    )
}

/// Why results of what is optimised can be trusted, by package.
const OPTIMISED: [(&str, &str); 3] = [
    (
        "gateway-drain-protocol",
        "the explorer takes every step that it kept once more and compares; `.ci/unoptimised` finds the same counts in the three \
         smallest configurations; stateright and TLC find those of others. The reference model is compared with the gateway, \
         which is not optimised",
    ),
    ("loom", "`.ci/unoptimised` runs a third of the models without its optimisation as well, with the same counts"),
    ("generator", "as loom, whose threads it makes"),
];

/// What the checks rest on, by the profiles of the manifest and of what the explorers are built with.
pub fn trusted(root: &Path) -> String {
    let mut text = "\n## What the checks rest on\n\nThe solvers, the checkers, rustc and LLVM. rustc 1.95 compiles twenty lines of safe \
                    code wrong at some levels of optimisation (`docs/decisions/0012-a-compilers-fault.md`), so what checks is built \
                    without optimisation, but for what the table names, each with why its results can be trusted. The instructions \
                    and the benches are measured as the crate is shipped, and fuzzing is optimised: what it finds is found, and its \
                    silence is a sample's.\n\n| Package | `opt-level` | Why its results can be trusted |\n|---|---|---|\n"
        .to_owned();
    let manifests = read(root, "Cargo.toml") + &read(root, "verification/protocol/optimised.toml");
    let profiles = manifests.split("[profile.dev.package.").skip(1).filter(|profile| profile.contains("opt-level"));
    let levels: Vec<(&str, &str)> = profiles
        .map(|profile| {
            let (package, rest) = profile.split_once("]\nopt-level = ").expect("a profile that is for the level alone");
            (package, rest.lines().next().expect("its level"))
        })
        .collect();
    assert_eq!(levels.len(), OPTIMISED.len(), "each package that is optimised says why it may be: {levels:?}");
    for (package, why) in OPTIMISED {
        let (_, level) =
            levels.iter().find(|(name, _)| *name == package).unwrap_or_else(|| panic!("{package} isn't optimised"));
        writeln!(text, "| {package} | {level} | {why} |").unwrap();
    }
    text
}
