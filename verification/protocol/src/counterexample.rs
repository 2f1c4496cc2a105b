//! A counterexample in plain words: what each actor did, step by step, and what came of it.

use crate::explorer::Counterexample;
use crate::production::{Kind, MARKER, PLACES, Wall};
use crate::system::{Action, Gateway, Phase, Protocol, State};
use std::fmt::Write as _;

/// Tells a counterexample.
pub fn tell(system: &Protocol, found: &Counterexample<State, Action>) -> String {
    let mut text = format!("{}\nin {} steps:\n", found.breaks, found.steps.len());
    let mut before = found.start;
    for (number, (action, after)) in (1..).zip(&found.steps) {
        let _ = write!(text, "{number:>3}. {}", words(*action, &before));
        for consequence in consequences(system, &before, after) {
            let _ = write!(text, "; {consequence}");
        }
        text.push_str(".\n");
        before = *after;
    }
    text
}

fn who(place: u8) -> &'static str {
    ["the marker", "A", "B"][usize::from(place)]
}

fn words(action: Action, before: &State) -> String {
    let phase = |place: u8| before.controllers[usize::from(place) - 1].phase;
    match action {
        Action::Start => "A gateway starts and takes over what its predecessor left".into(),
        Action::Look => "The gateway looks at the files".into(),
        Action::ShortLook => "The gateway has no descriptor left, and goes by what its last look has found".into(),
        Action::Drop => "The application drops the gateway's reconciler, and goes on".into(),
        Action::BlindLook => "The gateway can't read its home".into(),
        Action::Publish => "The gateway publishes its status".into(),
        Action::Crash => "The gateway is killed".into(),
        Action::CrashWhileRecording => "The gateway records its commits, and is killed before it says so".into(),
        Action::Exit => "The gateway's process ends".into(),
        Action::BeginShutdown => "The gateway begins to shut down".into(),
        Action::Admit => "A turn is admitted".into(),
        Action::AdmitInternal => "Internal work is admitted".into(),
        Action::EndTurn => "A turn ends".into(),
        Action::EndInternal => "Internal work ends".into(),
        Action::Tick => "A tick of time passes".into(),
        Action::StepWall(Wall::True) => "The wall clock is set right".into(),
        Action::StepWall(Wall::Ahead) => "The wall clock jumps ahead by a tick".into(),
        Action::StepWall(Wall::FarAhead) => "The wall clock jumps far ahead".into(),
        Action::StepWall(Wall::Behind) => "The wall clock jumps back".into(),
        Action::Reboot => "The machine reboots".into(),
        Action::LoseStatus => "The status file is lost".into(),
        Action::LoseRecord => "The record of commits is lost".into(),
        Action::Rewrite(place) => format!("{} writes its request again, although it acts", who(place)),
        Action::Remove(0) => "The operator removes the marker".into(),
        Action::Remove(place) => format!("The operator removes {}'s file", who(place)),
        Action::Litter(0, Kind::Empty) => "The operator touches the marker".into(),
        Action::Litter(0, Kind::Reference) => "A tool of the reference writes the marker".into(),
        Action::Litter(place, kind) => {
            let what = match kind {
                Kind::Foreign => "a file of another boot",
                Kind::Stranger => "another owner's request",
                _ => "half a file",
            };
            format!("Somebody leaves {what} in the place of {}", who(place))
        }
        Action::Override(place) => format!("The operator overrides {}'s hold", who(place)),
        Action::Begin(place) if phase(place) == Phase::Idle => format!("{} writes its request to drain", who(place)),
        Action::Begin(place) => format!("{} renews its request", who(place)),
        Action::Read(place) => format!("{} reads the status", who(place)),
        Action::GiveUp(place) if phase(place) == Phase::Leaving => format!("{} waits for no answer", who(place)),
        Action::GiveUp(place) => format!("{} removes its own file", who(place)),
        Action::Commit(place) => format!("{} writes its commit", who(place)),
        Action::Release(place) => format!("{} writes its withdrawal, with its token", who(place)),
        Action::Die(place) => format!("{} dies", who(place)),
        Action::Post => "The dashboard is asked to drain, and writes the marker".into(),
        Action::Answer => "The dashboard answers: draining".into(),
        Action::Cancel => "The dashboard is asked to cancel, and removes the marker".into(),
        Action::Forget => "The dashboard's request ends without an answer".into(),
    }
}

fn consequences(system: &Protocol, before: &State, after: &State) -> Vec<String> {
    let mut all = Vec::new();
    let (was, is) = (system.production.holds(before.holds), system.production.holds(after.holds));
    let process_goes_on = after.gateway != Gateway::Dead;
    for place in (0..PLACES).filter(|_| process_goes_on) {
        let name = if place == MARKER { "the marker's" } else { ["", "A's", "B's"][place] };
        match (was.held[place], is.held[place]) {
            (false, true) => all.push(format!("{name} hold is there")),
            (true, false) => all.push(format!("{name} hold is gone")),
            _ => {}
        }
        if was.token[place] != is.token[place] && is.token[place] != 0 {
            all.push(format!("{name} commit stands"));
        }
    }
    let (gate_was, gate_is) = (system.reading(before).state, system.reading(after).state);
    if gate_was != gate_is && process_goes_on {
        all.push(format!("the gate is now {gate_is}"));
    }
    for (name, (was, is)) in ["A", "B"].into_iter().zip(before.controllers.iter().zip(&after.controllers)) {
        if was.phase != is.phase {
            match is.phase {
                Phase::SawDrained => all.push(format!("{name} is told: drained")),
                Phase::Acting => all.push(format!("{name} is told: committed, and acts")),
                Phase::Idle if was.phase != Phase::Leaving => all.push(format!("{name} has nothing any more")),
                _ => {}
            }
        }
    }
    all
}
