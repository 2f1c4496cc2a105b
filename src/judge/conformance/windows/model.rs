//! What a gateway has become by calls of two threads, and what its answers then have to be.

use super::super::session::Step;
use super::super::{Ability, Gateway, Holder, Snapshot, can, limit};
use crate::properties::PropertyId::{self, G5, G6, H1, H2, L2, S6};
use crate::state::DrainState;

/// A call, and whether it had an effect: work was admitted, or finished.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub step: Step,
    pub effect: bool,
}

/// What a gateway is to answer when no call is under way.
#[derive(Default)]
pub(super) struct Model {
    holds: [bool; 2],
    in_flight: u64,
}

impl Model {
    pub fn take(&mut self, made: Made) {
        match (made.step, made.effect) {
            (Step::Begin(holder), _) => self.holds[holder as usize] = true,
            (Step::End(holder), _) => self.holds[holder as usize] = false,
            (Step::Admit, true) => self.in_flight += 1,
            (Step::Finish, true) => self.in_flight = self.in_flight.saturating_sub(1),
            _ => {}
        }
    }

    /// What is wrong with an answer, and by which properties.
    pub fn objects<G: Gateway>(&self, told: &Snapshot, admits: bool) -> Option<(&'static [PropertyId], String)> {
        let held = [Holder::A, Holder::B].into_iter().find(|holder| self.holds[*holder as usize]);
        let running = told.state == DrainState::Running;
        match held {
            Some(holder) if admits => {
                let broken: &[_] = if self.holds.contains(&false) { &[H1, H2] } else { &[H1] };
                return Some((broken, format!("the gate admits although {} holds it closed.", holder.as_str())));
            }
            None if !admits && self.in_flight < limit::<G>() => {
                let broken: &[_] = if running { &[H1, L2, S6] } else { &[H1, L2] };
                return Some((broken, format!("nobody holds the gate closed, and it refuses and tells \"{told}\".")));
            }
            Some(_) if running => return Some((&[S6], "the status shows running, and the gate refuses.".into())),
            None if !running => return Some((&[L2], format!("every hold was withdrawn, and it tells \"{told}\"."))),
            _ => {}
        }
        let left = self.in_flight;
        if told.drained && left > 0 {
            return Some((&[G5], format!("{left} piece(s) of work are unfinished, and it tells \"{told}\".")));
        }
        (can::<G>(Ability::Count) && told.in_flight != left)
            .then(|| (&[G6][..], format!("{left} piece(s) of work are unfinished, and it tells \"{told}\".")))
    }
}
