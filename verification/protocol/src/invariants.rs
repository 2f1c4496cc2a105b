//! What must hold in every state, and in every step.
//!
//! The names are the properties' numbers. They are written against what can be seen from outside (files, published status,
//! turns in flight, what each controller was told), not against the rules that are to bring them about.

use crate::production::{File, Kind, MARKER, NOW, PLACES, id_of};
use crate::system::{Dashboard, Gateway, Phase, Protocol, State};
use gateway_drain::control::scan::Scan;
use gateway_drain::hold::{Denied, Ending, NotHonoured, Outcome, Source};
use gateway_drain::steps::{self, Moment};
use gateway_drain::{DrainState, HoldSet};

/// As the properties are judged by it. In the model every step is seen, so a gate that stays closed is in one drain.
fn moment(system: &Protocol, state: &State) -> Moment {
    Moment { drain: 0, ..system.reading(state).moment() }
}

/// What a state breaks.
pub fn of_a_state(system: &Protocol, state: &State) -> Option<&'static str> {
    let gate = system.reading(state);
    let holds = system.production.holds(state.holds);
    let alive = state.gateway != Gateway::Dead;
    let shutting_down = !matches!(gate.state, DrainState::Running | DrainState::ExternalDraining);
    if alive && gate.state.admits() == (holds.closes || shutting_down) {
        return Some("H1: closed if and only if a live hold or a shutdown exists");
    }
    if alive && shutting_down && state.shutdown.is_none() {
        return Some("S1: only the table's transitions exist, and nobody has begun this shutdown");
    }
    let now = moment(system, state);
    if let Some(property) = steps::broken(&now, &now) {
        return Some(property.claim());
    }
    if state.gateway != Gateway::Serving && gate.total() > 0 {
        return Some("C5: a gateway that starts admits nothing before it has looked and published");
    }
    for controller in &state.controllers {
        if controller.told && alive && gate.total() > 0 {
            return Some("E1: told committed, and a turn is in flight");
        }
    }
    for (place, controller) in (1..).zip(&state.controllers) {
        if controller.told_no != 0 && holds.token[place] == controller.told_no {
            return Some("S2: a commit that its owner was told is refused was granted later");
        }
    }
    None
}

/// What a step breaks that doesn't show in the state it leads to.
pub fn of_a_step(system: &Protocol, before: &State, after: &State) -> Option<&'static str> {
    let same_process = before.gateway != Gateway::Dead && after.gateway != Gateway::Dead;
    if same_process {
        let (was, is) = (moment(system, before), moment(system, after));
        if let Some(property) = steps::broken(&was, &is) {
            return Some(property.claim());
        }
    }
    for (place, (was, is)) in before.controllers.iter().zip(&after.controllers).enumerate() {
        let reported = is.phase != was.phase && matches!(is.phase, Phase::SawDrained | Phase::Acting);
        if reported && after.gateway == Gateway::Dead {
            return Some("E2: a dead gateway is reported drained");
        }
        if is.phase == Phase::SawDrained && was.phase == Phase::Waiting && !was.witnessed {
            return Some("C6: reported drained, and it never was since the wait began");
        }
        if is.phase == Phase::Acting && was.phase == Phase::Committing && !was.witnessed {
            return Some("C6: told committed, and the gateway never granted this very commit");
        }
        if is.phase == Phase::Acting && was.phase == Phase::Committing && was.spoilt && !was.ended {
            return Some("E1: told committed, and a turn was in flight since the grant");
        }
        debug_assert!(place < PLACES);
    }
    if after.dashboard == Dashboard::Draining && before.dashboard == Dashboard::Posted && !before.dashboard_witnessed {
        return Some("C6: the endpoint answered draining, and the gateway had not acted on this request");
    }
    if before.status != after.status
        && let Some(shown) = after.status
        && same_process
        && before.gate == after.gate
        && shown.state == DrainState::Running
        && shown.drain == crate::production::Drain::Current
        && !system.reading(after).state.admits()
    {
        return Some("S6: the status shows running although the gate admits nothing");
    }
    None
}

/// What one look at the files breaks: the holds before and after it, and the answers that they give.
pub fn of_a_look(
    before: &HoldSet,
    after: &HoldSet,
    files: &[File; PLACES],
    scan: &Scan,
    blind: bool,
    shutting_down: bool,
) -> Option<&'static str> {
    let given = after.acknowledged(NOW);
    for (place, file) in files.iter().enumerate() {
        let id = id_of(place);
        let own = given.iter().find(|answer| answer.request_id == id);
        if let Some(was) = before.get(&id, Source::File) {
            let expired = was.commit.is_none() && was.expires_at <= NOW;
            // What belongs to nobody is there for the taking.
            let others = matches!(file.kind, Kind::Foreign | Kind::Stranger | Kind::Empty | Kind::Torn);
            let by_others = !blind && others && !was.owner.is_empty();
            match after.get(&id, Source::File) {
                None => {
                    let file = if blind { Kind::Begin } else { file.kind };
                    // The marker's presence decides, no matter who wrote there last.
                    let by_absence = file == Kind::Absent && (place == MARKER || !was.overwritten);
                    let by_owner = file == Kind::Withdraw;
                    let allowed = match &was.commit {
                        None => expired || by_absence || by_owner || file == Kind::Override,
                        Some(_) => by_owner || file == Kind::Override,
                    };
                    if !allowed && (by_others || was.overwritten) {
                        return Some("C7: somebody else's write, or its removal, ended a hold");
                    }
                    if !allowed && was.commit.is_some() {
                        return Some("H4: a committed hold ended, and its owner had not withdrawn it");
                    }
                    if !allowed {
                        return Some("H2: a hold ended that nobody had withdrawn");
                    }
                    let token = was.commit.as_ref().map(|commit| commit.token.as_str());
                    if !blind && by_owner && token.is_some() && token != token_of(place, files).as_deref() {
                        return Some("H4: a committed hold was withdrawn without its token");
                    }
                }
                Some(is) if by_others && !expired && (is.owner != was.owner || is.expires_at != was.expires_at) => {
                    return Some("C7: somebody else's write took over a hold");
                }
                Some(is) if is.nonce == was.nonce && is.commit.is_none() && is.expires_at != was.expires_at => {
                    return Some("H5: a lease changed, and nobody had renewed it");
                }
                Some(is) if was.commit.is_some() && is.commit.is_none() => {
                    return Some("H4: a commit was taken back");
                }
                Some(_) => {}
            }
        }
        if blind {
            continue;
        }
        match file.kind {
            Kind::Foreign => {
                let said = scan.ignored.iter().any(|(ignored, _)| ignored == id.as_str());
                let ignored = Outcome::Ignored(NotHonoured::OtherEpoch);
                if own.is_none_or(|answer| answer.outcome != ignored) || !said {
                    return Some("C3: a request of another epoch was honoured, or nothing said of it");
                }
            }
            Kind::Empty | Kind::Torn | Kind::Reference | Kind::Begin => {
                let closes = after.closes(NOW);
                match own.map(|answer| answer.outcome) {
                    Some(Outcome::Held | Outcome::Committed) if closes => {}
                    Some(
                        Outcome::Ended(_)
                        | Outcome::Refused(Denied::NotYours | Denied::ShuttingDown | Denied::Committed),
                    ) => {}
                    _ => return Some("C4: something lies there, and neither holds the gate closed nor is answered"),
                }
            }
            Kind::Absent | Kind::Commit | Kind::Withdraw | Kind::Override | Kind::Stranger => {}
        }
    }
    let over = |outcome| matches!(outcome, Outcome::Ended(Ending::Expired));
    let had_its_lease = given.iter().any(|answer| answer.nonce.is_none() && over(answer.outcome));
    if blind && !after.closes(NOW) && !shutting_down && !had_its_lease {
        return Some("C4: a look that failed opened the gate");
    }
    None
}

/// What a look breaks that learned nothing, since the process had no descriptor left.
pub fn of_a_short_look(before: &HoldSet, after: &HoldSet) -> Option<&'static str> {
    let mut expected = before.clone();
    expected.expire(NOW);
    let kept = expected.iter().all(|hold| after.get(&hold.id, hold.source) == Some(hold));
    match (kept, expected == *after) {
        (false, _) => Some("C4: what a process lacks ended or changed a hold"),
        (true, false) => Some("H1: what a process lacks is held for a request, or answers one"),
        (true, true) => None,
    }
}

fn token_of(place: usize, files: &[File; PLACES]) -> Option<String> {
    let token = files[place].token;
    (token != 0).then(|| format!("{}{token}", ["m", "a", "b"][place]))
}
