//! What a trace tells of the holds of one process, decided once more by the [set](crate::hold::HoldSet) that production runs on.

use super::position::{Counts, Position};
use super::{Breach, EARLY, LATE, Process, breach};
use crate::hold::{Action, Denied, Ending, Facts, Hold, HoldEvent, Nonce, Notes, Outcome, Request, RequestId, Source};
use crate::properties::PropertyId;
use crate::trace::line::{Line, LineEvent, StartHold};
use std::time::Duration;

impl Process {
    pub(super) fn take_hold(&mut self, line: &Line, counts: Option<Counts>) -> Result<(), Breach> {
        let (Some(id), Some(owner), Some(by)) = (&line.request, &line.owner, &line.by) else { return Ok(()) };
        if !self.history.is_at(line.state, line.generation) {
            let Position { state, generation, .. } = self.history;
            let what = format!(
                "the line is of {} in drain {}, and the gateway is in {state} in drain {generation}",
                line.state, line.generation
            );
            return breach(PropertyId::G4, what);
        }
        if line.event != LineEvent::HoldEnded && by != owner {
            return breach(PropertyId::H2, format!("{id} belongs to {owner:?}, and {by:?} acted on it in that name"));
        }
        let source = line.source.unwrap_or_else(|| self.kept(id));
        match line.event {
            LineEvent::HoldEnded => self.end_hold(id, source, owner, by, line.ending.unwrap_or(Ending::Withdrawn)),
            LineEvent::HoldCommitted => self.commit_hold(line, id, source, owner, counts),
            event => {
                let mut request = self.asking(Action::Begin, id, source, owner);
                // Any delay is as good as another: when it ends is not in the trace.
                let delayed = line.unready_delay_ms.is_some_and(|millis| millis > 0);
                request.unready_delay = if delayed { Duration::from_secs(1) } else { Duration::ZERO };
                let renews = event == LineEvent::HoldRenewed;
                let (outcome, changes) = self.apply(&request, self.history.counts.is_zero());
                match (outcome, changes.first().map(|change| change.what)) {
                    (Outcome::Refused(why), _) => {
                        let verb = if renews { "renewed" } else { "begun" };
                        breach(of(why), format!("{id} was {verb} by {owner:?}: {why}"))
                    }
                    (_, Some(HoldEvent::Renewed)) if !renews => {
                        breach(PropertyId::S2, format!("{id} was begun although it is held: that is a renewal"))
                    }
                    (_, Some(HoldEvent::Begun)) if renews => {
                        breach(PropertyId::H3, format!("{id} was renewed, and nobody holds it"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Where the hold of this name is kept, in a trace that doesn't say: writers of the first versions said it at the
    /// beginning alone.
    fn kept(&self, id: &RequestId) -> Source {
        if self.holds.get(id, Source::File).is_some() { Source::File } else { Source::Process }
    }

    fn commit_hold(
        &mut self,
        line: &Line,
        id: &RequestId,
        source: Source,
        owner: &str,
        counts: Option<Counts>,
    ) -> Result<(), Breach> {
        if counts.is_some_and(|counts| !counts.is_zero()) {
            let counts = counts.unwrap_or_default();
            return breach(PropertyId::E1, format!("{id} was committed with {counts} in flight"));
        }
        if let Some(hold) = self.holds.get(id, source).filter(|hold| !hold.closes(EARLY)).cloned() {
            // Its unready delay may be over by now.
            self.holds.restore(Hold { closes_at: EARLY, ..hold });
        }
        let mut request = self.asking(Action::Commit, id, source, owner);
        request.incarnation = Some(self.incarnation.clone());
        request.generation = Some(self.history.generation);
        // What was in flight at the last line may have finished since: a later line that shows it in flight is the breach.
        let (outcome, _) = self.apply(&request, !self.history.state.admits());
        match outcome {
            Outcome::Committed => {}
            Outcome::Refused(Denied::NotDrained) => {
                return breach(PropertyId::E1, format!("{id} was committed while the gate is open"));
            }
            Outcome::Refused(why) => return breach(of(why), format!("{id} was committed by {owner:?}: {why}")),
            _ => return breach(PropertyId::E1, format!("{id} was committed, and can't have been")),
        }
        self.check_logged(line, Counts::default(), PropertyId::E1)?;
        self.history.counts = Counts::default();
        if self.present.shares_drain(&self.history) {
            self.present.counts = Counts::default();
        }
        Ok(())
    }

    fn end_hold(
        &mut self,
        id: &RequestId,
        source: Source,
        owner: &str,
        by: &str,
        ending: Ending,
    ) -> Result<(), Breach> {
        let Some(hold) = self.holds.get(id, source).cloned() else {
            return breach(PropertyId::H1, format!("{id} ended, and nobody holds it"));
        };
        if hold.owner != owner {
            let what = format!("{id} belongs to {:?}, and it ended as {owner:?}'s", hold.owner);
            return breach(PropertyId::H2, what);
        }
        if matches!(ending, Ending::Expired | Ending::Absorbed) && !by.is_empty() {
            return breach(PropertyId::H2, format!("{id} ended by {by:?}, and such an end is the gateway's own"));
        }
        let ended = match ending {
            Ending::Expired => {
                // Its lease may have run out by now. Whether that ends it is for production's rule to say.
                self.holds.restore(Hold { expires_at: EARLY, ..hold.clone() });
                !self.holds.expire(EARLY).is_empty()
            }
            Ending::Withdrawn if by.is_empty() && !hold.owner.is_empty() => self.holds.absent(id).is_some(),
            Ending::Absorbed => {
                if !self.history.state.is_ending() {
                    return breach(PropertyId::H2, format!("{id} was absorbed, and nothing shuts down"));
                }
                if hold.is_committed_in_file() {
                    return breach(
                        PropertyId::E1,
                        format!("{id} was absorbed: it is committed, and outlasts the process"),
                    );
                }
                self.remove(id, source);
                return Ok(());
            }
            Ending::Overridden => {
                // An override ends all holds of a name, and has a line for each.
                self.remove(id, source);
                true
            }
            Ending::Withdrawn | Ending::Unknown => {
                let mut request = self.asking(Action::Withdraw, id, source, by);
                request.token = hold.commit.as_ref().map(|commit| commit.token.clone());
                match self.apply(&request, true) {
                    (Outcome::Refused(why), _) => {
                        return breach(of(why), format!("{by:?} ended {id}, which belongs to {owner:?}: {why}"));
                    }
                    (_, changes) => !changes.is_empty(),
                }
            }
        };
        if !ended {
            let (property, why) = match &hold.commit {
                Some(_) => (PropertyId::H4, "it is committed"),
                None => (PropertyId::H2, "it is kept in the process, not in a file"),
            };
            let how = if ending == Ending::Expired { "its lease ran out" } else { "its file was removed" };
            return breach(property, format!("{id} ended because {how}, and {why}"));
        }
        self.hold_ended = true;
        self.forget(id);
        Ok(())
    }

    fn remove(&mut self, id: &RequestId, source: Source) {
        if let Some(hold) = self.holds.get(id, source).cloned() {
            self.holds.restore(Hold { expires_at: EARLY, commit: None, ..hold });
        }
        self.holds.expire(EARLY);
        self.forget(id);
    }

    /// The set remembers what ended for as long as a file may lie there; a trace tells of no files.
    fn forget(&mut self, id: &RequestId) {
        self.holds.absent(id);
    }

    fn apply(&mut self, request: &Request, drained: bool) -> (Outcome, Vec<crate::hold::HoldChange>) {
        let shutting_down = self.history.state.is_ending();
        let generation = self.history.generation;
        let facts = Facts { incarnation: &self.incarnation, generation, drained, shutting_down, recorded: None };
        self.holds.apply(request, &facts, EARLY)
    }

    /// A request as the line tells of it. Each line is a write of its own.
    fn asking(&self, action: Action, id: &RequestId, source: Source, owner: &str) -> Request {
        let nonce = Some(Nonce::from(self.sequence.to_string()));
        Request { id: id.clone(), action, owner: owner.to_owned(), nonce, source, ..self.blank.clone() }
    }
}

/// The property that stands behind a refusal: to have granted the request breaks it.
fn of(denied: Denied) -> PropertyId {
    match denied {
        Denied::NotYours => PropertyId::H2,
        Denied::Committed => PropertyId::H4,
        Denied::OtherIncarnation => PropertyId::C6,
        Denied::ShuttingDown => PropertyId::S3,
        Denied::LeaseExpired => PropertyId::H3,
        Denied::NotHeld | Denied::NotDrained | Denied::NotClosedYet | Denied::OtherGeneration | Denied::Unknown => {
            PropertyId::E1
        }
    }
}

pub(super) fn restored(hold: &StartHold) -> Hold {
    let token = Nonce::from(format!("{} at the start", hold.request));
    Hold {
        id: hold.request.clone(),
        owner: hold.owner.clone(),
        notes: Notes::default(),
        source: hold.source,
        first_seen: EARLY,
        closes_at: if hold.pending { Duration::from_secs(1) } else { EARLY },
        expires_at: LATE,
        deadline: None,
        suppress_notification: false,
        nonce: Some(token.clone()),
        bound: false,
        overwritten: false,
        commit: hold.committed.then_some(crate::hold::Commit { token, at: EARLY }),
    }
}
