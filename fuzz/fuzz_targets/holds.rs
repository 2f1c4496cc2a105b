//! The hold set under any sequence of requests, looks and times, however large the numbers are (H1 to H5, S2).
#![no_main]

use arbitrary::Arbitrary;
use gateway_drain::gate::Generation;
use gateway_drain::hold::{
    Action, Denied, Ending, Facts, Hold, HoldSet, Incarnation, LeasePolicy, Nonce, Outcome, Source,
};
use gateway_drain::{Request, RequestId};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Input {
    policy: [Duration; 3],
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Ask(Ask),
    Pass(Duration),
    Absent(u8),
    Absorb,
}

#[derive(Arbitrary, Debug)]
struct Ask {
    id: u8,
    action: u8,
    owner: u8,
    lease: Option<Duration>,
    deadline: Option<Duration>,
    delay: Duration,
    age: Option<Duration>,
    nonce: Option<u8>,
    token: Option<u8>,
    incarnation: Option<bool>,
    generation: Option<bool>,
    drained: bool,
    shutting_down: bool,
    in_process: bool,
}

fn id(number: u8) -> RequestId {
    RequestId::new(format!("hold-{}", number % 4)).expect("a sound name")
}

fn generation(number: u32) -> Generation {
    serde_json::from_value(number.into()).expect("a generation is a number")
}

fn request(ask: &Ask, ours: &Incarnation) -> Request {
    let mut request = Request::begin(id(ask.id), ["", "ops", "bot"][usize::from(ask.owner % 3)]);
    request.action = [Action::Begin, Action::Commit, Action::Withdraw, Action::Override][usize::from(ask.action % 4)];
    (request.lease, request.deadline, request.unready_delay, request.age) =
        (ask.lease, ask.deadline, ask.delay, ask.age);
    request.nonce = ask.nonce.map(|number| Nonce::from(number.to_string()));
    request.token = ask.token.map(|number| Nonce::from(number.to_string()));
    request.incarnation =
        ask.incarnation.map(|same| if same { ours.clone() } else { Incarnation::from("other".to_owned()) });
    request.generation = ask.generation.map(|same| generation(u32::from(same)));
    request.source = if ask.in_process { Source::Process } else { Source::File };
    request
}

/// All holds but that of this name, kept there; an override reaches both of a name.
fn others(holds: &HoldSet, id: &RequestId, source: Option<Source>) -> Vec<Hold> {
    let other = |hold: &&Hold| hold.id != *id || source.is_some_and(|source| hold.source != source);
    holds.iter().filter(other).cloned().collect()
}

fuzz_target!(|input: Input| {
    let [default, max, max_unready_delay] = input.policy;
    let policy = LeasePolicy { default, max, max_unready_delay };
    let longest = max.max(LeasePolicy::MIN);
    let mut holds = HoldSet::new(policy);
    let ours = Incarnation::from("ours".to_owned());
    let mut now = Duration::ZERO;
    for step in &input.steps {
        match step {
            Step::Pass(time) => {
                now = now.saturating_add(*time);
                let committed: Vec<Hold> = holds.iter().filter(|hold| hold.commit.is_some()).cloned().collect();
                for change in holds.expire(now) {
                    assert!(holds.get(&change.id, change.source).is_none(), "H3: it has expired");
                }
                let left: Vec<Hold> = holds.iter().filter(|hold| hold.commit.is_some()).cloned().collect();
                assert_eq!(committed, left, "H4: no time ends a commit");
            }
            Step::Absent(number) => {
                let id = id(*number);
                let (before, rest) = (holds.get(&id, Source::File).cloned(), others(&holds, &id, Some(Source::File)));
                holds.absent(&id);
                assert_eq!(others(&holds, &id, Some(Source::File)), rest, "H2: an absence frees no other hold");
                let stays = before.filter(|hold| hold.commit.is_some() || hold.overwritten);
                assert_eq!(holds.get(&id, Source::File).cloned(), stays, "H4, C7: only one's own absence withdraws");
            }
            Step::Absorb => {
                holds.absorb();
                assert!(
                    holds.iter().all(|hold| hold.source == Source::File),
                    "S3: a shutdown takes in what calls began"
                );
            }
            Step::Ask(ask) => {
                holds.expire(now);
                let request = request(ask, &ours);
                let facts = Facts {
                    incarnation: &ours,
                    generation: generation(1),
                    drained: ask.drained,
                    shutting_down: ask.shutting_down,
                    recorded: None,
                };
                let reached = Some(request.source).filter(|_| request.action != Action::Override);
                let of = |holds: &HoldSet| holds.get(&request.id, request.source).cloned();
                let (before, rest) = (of(&holds), others(&holds, &request.id, reached));
                let (outcome, changes) = holds.apply(&request, &facts, now);
                assert_eq!(others(&holds, &request.id, reached), rest, "H2: a request frees and changes no other hold");
                let after = of(&holds);
                assert_answer(&request, outcome, before.as_ref(), after.as_ref(), ask);
                if changes.is_empty() {
                    assert_eq!(after.is_some(), before.is_some(), "what comes or goes is told");
                }
                let settled = holds.clone();
                let (again, changed) = holds.apply(&request, &facts, now);
                assert_eq!((&changed, &holds), (&Vec::new(), &settled), "S2: {request:?} twice changes something");
                // A call lies nowhere, so that its answer is not kept once its hold is gone: in a shutdown, that there is
                // nothing to end is a refusal.
                let forgotten = request.source == Source::Process && ask.shutting_down && after.is_none();
                assert!(forgotten || again == outcome, "S2: {request:?} twice is {outcome:?} and then {again:?}");
            }
        }
        for hold in holds.iter() {
            assert!(hold.closes_at <= hold.first_seen.saturating_add(max_unready_delay), "H1: the delay is bounded");
            let bound = now.saturating_add(longest);
            assert!(hold.commit.is_some() || hold.expires_at <= bound, "H3: no hold is silent for ever");
            assert!(!hold.overdue(now) || hold.commit.is_some());
        }
        assert_eq!(holds.closes(now), holds.iter().any(|hold| hold.commit.is_some() || hold.closes_at <= now), "H1");
    }
});

fn assert_answer(request: &Request, outcome: Outcome, before: Option<&Hold>, after: Option<&Hold>, ask: &Ask) {
    let committed = |hold: Option<&Hold>| hold.and_then(|hold| hold.commit.clone());
    if let (Some(was), Some(hold)) = (committed(before), before) {
        let owner = hold.owner == request.owner;
        let withdraws = request.action == Action::Withdraw && owner && request.token.as_ref() == Some(&was.token);
        let ends = withdraws || request.action == Action::Override;
        assert!(after.is_some() || ends, "H4: {request:?} ended a committed hold");
    }
    if committed(after).is_some() && committed(before).is_none() {
        assert!(ask.drained, "E1: committed with work in flight");
        assert_eq!((request.action, outcome), (Action::Commit, Outcome::Committed));
        assert_eq!((ask.incarnation, ask.generation), (Some(true), Some(true)), "E1: for another process or drain");
        assert_eq!(before.map(|hold| hold.owner.as_str()), Some(request.owner.as_str()), "H2: of another's hold");
    }
    match outcome {
        Outcome::Held | Outcome::Pending | Outcome::Committed => {
            assert!(after.is_some(), "H1: {outcome:?} without a hold")
        }
        Outcome::Ended(Ending::Withdrawn | Ending::Overridden) if request.action != Action::Begin => {
            // Or it had ended before another hold began, and lies there again: the hold knows that it is written over.
            let but_that = |hold: Option<&Hold>| {
                let mut hold = hold.cloned();
                hold.iter_mut().for_each(|hold| hold.overwritten = false);
                hold
            };
            assert!(after.is_none() || but_that(before) == but_that(after), "it has ended");
        }
        Outcome::Refused(Denied::NotYours) => {
            // But that the hold knows of it.
            let same =
                |hold: Option<&Hold>| hold.map(|hold| (hold.owner.clone(), hold.expires_at, hold.commit.clone()));
            assert_eq!(same(before), same(after), "C7: a stranger changes nothing");
        }
        Outcome::Refused(_) => assert_eq!(before.is_some(), after.is_some(), "a refusal ends no hold"),
        Outcome::Ended(_) | Outcome::Ignored(_) => {}
        outcome => unreachable!("no gateway of this version says {outcome:?}"),
    }
}
