//! A counterexample in plain words.

use super::system::{Action, Fleet, GATEWAYS, State};
use crate::explorer::{Counterexample, System};
use std::fmt::Write as _;

/// Tells a counterexample.
pub fn tell(system: &Fleet, found: &Counterexample<State, Action>) -> String {
    let mut text = format!("{}\nin {} steps:\n", found.breaks, found.steps.len());
    let mut before = system.initial();
    for (number, (action, after)) in (1..).zip(&found.steps) {
        let _ = write!(text, "{number:>3}. {}", words(*action, &before));
        for (gateway, name) in GATEWAY.iter().enumerate() {
            match (before.closed(gateway), after.closed(gateway)) {
                (false, true) => write!(text, "; {name} is closed"),
                (true, false) => write!(text, "; {name} is open"),
                _ => Ok(()),
            }
            .expect("a text can be written to");
        }
        if before.value.holders != after.value.holders {
            let held: Vec<&str> = (0..GATEWAYS).filter(|id| after.value.holders[*id]).map(|id| GATEWAY[id]).collect();
            let _ = write!(text, "; slots: {}", if held.is_empty() { "none".to_owned() } else { held.join(", ") });
        }
        text.push_str(".\n");
        before = *after;
    }
    text
}

const GATEWAY: [&str; GATEWAYS] = ["a", "b", "c"];

fn words(action: Action, before: &State) -> String {
    let name = |who: u8| ["A", "B"][usize::from(who)];
    let gateway = |number: u8| GATEWAY[usize::from(number)];
    let its = |who: u8| gateway(before.controllers[usize::from(who)].gateway);
    match action {
        Action::Begin(who, number) => format!("{} begins to roll {}", name(who), gateway(number)),
        Action::Read(who) => format!("{} reads what is stored", name(who)),
        Action::ReadKnowing(who) => format!("{} reads what is stored, and knows that the dead are dead", name(who)),
        Action::Apply(who) => format!("The engine gets {}'s transaction", name(who)),
        Action::Answer(who) => format!("The engine answers {}", name(who)),
        Action::Lose(who) => format!("{} gets no answer", name(who)),
        Action::Delay(who) => format!("{} gets no answer, since its transaction is late", name(who)),
        Action::Late(who) => format!("The engine gets a late transaction of {}'s", name(who)),
        Action::Gone(who) => format!("A late transaction of {}'s is lost", name(who)),
        Action::GiveUp(who) => format!("{} gives up", name(who)),
        Action::Leave(who) => format!("{} leaves before it has closed {}", name(who), its(who)),
        Action::Close(who) => format!("{} asks {} to close", name(who), its(who)),
        Action::Commit(who) => format!("{}'s commit is granted by {}", name(who), its(who)),
        Action::Act(who) => format!("{} acts: {} is replaced", name(who), its(who)),
        Action::Fail(who) => format!("{}'s act fails at {}", name(who), its(who)),
        Action::Withdraw(who) => format!("{} withdraws at {}", name(who), its(who)),
        Action::SeeReady(who) => format!("{} sees that {} runs and is ready", name(who), its(who)),
        Action::Kill(who) => format!("{} is killed", name(who)),
        Action::Look(number) => format!("{} notices what it is asked", gateway(number)),
        Action::BecomeReady(number) => format!("{} is ready", gateway(number)),
        Action::EndHold(who, number) => format!("What {} left at {} ends", name(who), gateway(number)),
        Action::Cut => "The engine is cut off".into(),
        Action::Heal => "The engine is there again".into(),
        Action::ReleaseByHand(number) => format!("The operator gives back the slot of {}", gateway(number)),
        Action::Reset => "The operator removes the semaphore and makes it again".into(),
        Action::SetSlots(slots) => format!("The operator sets the budget to {slots}"),
    }
}
