//! What is tried, in order, and what it shows.
//!
//! Each check leaves the gateway as it found it, and says what it rests on. What isn't seen to be kept is not said to be.

use super::outside::{OWNER, Outside, Restarted, Seen, Stop, Turned};
use super::{Row, Sight, TRIALS};
use crate::control::Epoch;
use crate::gate::Generation;
use crate::hold::{Incarnation, Nonce, Request, RequestId};
use crate::properties::PropertyId::{self, C1, C3, C4, C5, C6, E1, G1, G2, G3, G4, G6, H1, H2, H3, H4, L2, S2, S6};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

const NO_NEW_PROCESS: &str = "after --restart-cmd no other process published a status";

/// How often a drain is begun and cancelled in a row.
const ROUNDS: u32 = 20;

pub(super) fn all(gateway: &mut Outside<'_>, rows: &mut Vec<Row>) -> Result<(), Stop> {
    let mut rows = Rows(rows);
    let done = each(gateway, &mut rows);
    match &gateway.torn {
        Some(what) => rows.broken(C1, what.clone()),
        None if gateway.home().is_some() => rows.kept(C1, format!("{} reads of the status, all whole", gateway.reads)),
        None => {}
    }
    rows.tell(G6, !gateway.negative, "active_agents was never negative", "active_agents was negative");
    let drains = done?;
    for trial in TRIALS {
        if rows.0.iter().all(|row| row.property != trial.property) {
            let why =
                if drains { trial.unseen(gateway.options) } else { "not tried: first it has to drain and to reopen" };
            rows.unseen(trial.property, why);
        }
    }
    Ok(())
}

/// Tells whether the gateway drains and reopens at all.
fn each(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<bool, Stop> {
    if !begin_and_cancel(gateway, rows)? {
        return Ok(false);
    }
    a_turn_in_flight(gateway, rows)?;
    begun_twice(gateway, rows)?;
    begun_and_cancelled_in_a_row(gateway, rows)?;
    if gateway.home().is_none() {
        return Ok(true);
    }
    whatever_stands_there(gateway, rows)?;
    another_epoch(gateway, rows)?;
    if knows_hold_files(gateway)? {
        two_holds(gateway, rows)?;
        a_lease(gateway, rows)?;
        a_commit(gateway, rows)?;
    }
    a_restart(gateway, rows)?;
    Ok(true)
}

struct Rows<'a>(&'a mut Vec<Row>);

impl Rows<'_> {
    fn add(&mut self, property: PropertyId, sight: Sight, evidence: impl Into<String>) {
        self.0.push(Row { property, sight, evidence: evidence.into() });
    }

    fn kept(&mut self, property: PropertyId, evidence: impl Into<String>) {
        self.add(property, Sight::Kept, evidence);
    }

    fn broken(&mut self, property: PropertyId, evidence: impl Into<String>) {
        self.add(property, Sight::Broken, evidence);
    }

    fn unseen(&mut self, property: PropertyId, why: impl Into<String>) {
        self.add(property, Sight::Unseen, why);
    }

    fn tell(&mut self, property: PropertyId, kept: bool, if_kept: impl Into<String>, if_broken: impl Into<String>) {
        if kept { self.kept(property, if_kept) } else { self.broken(property, if_broken) }
    }
}

/// Begins, looks, cancels. Tells whether the gateway can be drained at all: without that nothing else can be tried.
fn begin_and_cancel(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<bool, Stop> {
    let nonce = gateway.begin()?;
    let patience = gateway.options.patience;
    let seen = match gateway.until(Seen::is_draining)? {
        Ok((seen, took)) => {
            rows.kept(H1, format!("the status says draining {} ms after the request", took.as_millis()));
            rows.kept(S6, "while a request lay there the status said draining");
            seen
        }
        Err(last) => {
            let said = format!("{} s after the request the status says {}", patience.as_secs(), last.state());
            match gateway.turn() {
                Some((Turned::Refused, _)) => rows.broken(S6, format!("{said}, and a turn is refused")),
                Some((Turned::Admitted, _)) => rows.broken(H1, format!("{said}, and a turn is admitted")),
                None => rows.broken(H1, format!("{said}; taken at its word, its gate is open (no --turn-url to look)")),
            }
            gateway.cancel()?;
            return Ok(false);
        }
    };
    match (nonce, seen.drain()) {
        (Some(nonce), Some(_)) => acknowledged(gateway, rows, &nonce)?,
        _ => rows.unseen(C6, "the status acknowledges no request"),
    }
    turned_away(gateway, rows);
    gateway.cancel()?;
    let reopened = gateway.until(Seen::is_running)?;
    match reopened {
        Ok((_, took)) => rows.kept(L2, format!("the status says running {} ms after the cancel", took.as_millis())),
        Err(last) => {
            rows.broken(L2, format!("{} s after the cancel the status says {}", patience.as_secs(), last.state()));
            return Ok(false);
        }
    }
    Ok(true)
}

fn acknowledged(gateway: &mut Outside<'_>, rows: &mut Rows<'_>, nonce: &Nonce) -> Result<(), Stop> {
    match gateway.until(|seen| seen.answer(nonce).is_some())? {
        Ok((seen, _)) => {
            let answer = seen.answer(nonce).unwrap_or_default();
            let evidence = format!("the status acknowledges the nonce of this very write: {answer}");
            rows.tell(C6, answer == "held", evidence.clone(), evidence);
        }
        Err(_) => rows.broken(C6, "the status has a drain object and never acknowledged the nonce of the request"),
    }
    Ok(())
}

fn turned_away(gateway: &Outside<'_>, rows: &mut Rows<'_>) {
    match gateway.turn() {
        Some((turned, _)) => rows.tell(
            G1,
            turned == Turned::Refused,
            "a turn was refused once the status said draining",
            "a turn was admitted although the status said draining",
        ),
        None => rows.unseen(G1, "no --turn-url, or its answer is neither 503 nor a success"),
    }
}

/// Drains around a turn.
fn a_turn_in_flight(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let Some((Turned::Admitted, Some(turn))) = gateway.turn() else {
        for property in [G2, G3] {
            rows.unseen(property, "no --turn-url, or the turn was not admitted");
        }
        return Ok(());
    };
    // Read to its end, as a client would: the gateway may stream it.
    let turn = std::thread::spawn(move || io::copy(&mut turn.into_body().into_reader(), &mut io::sink()).is_ok());
    let counted = gateway.until(|seen| seen.agents() > 0)?.is_ok();
    gateway.begin()?;
    let draining = gateway.until(Seen::is_draining)?;
    let first = draining.as_ref().map_or(0, |(seen, _)| seen.agents());
    if !counted || first == 0 {
        for property in [G2, G3] {
            rows.unseen(property, "the turn was over before the gate had closed: let it last longer than two ticks");
        }
    } else {
        drained_around(gateway, rows, first)?;
    }
    gateway.cancel()?;
    let _ = gateway.until(Seen::is_running)?;
    if turn.is_finished() {
        // It has ended: this waits for nothing, and whether it was whole is for the application to know.
        let _ = turn.join();
    }
    Ok(())
}

/// Watches the count fall to zero, and stay there.
fn drained_around(gateway: &mut Outside<'_>, rows: &mut Rows<'_>, first: i64) -> Result<(), Stop> {
    let (mut least, mut rose, mut early) = (first, None, false);
    let ended = gateway.watch(gateway.options.patience * 3, |seen| {
        let agents = seen.agents();
        if agents > least {
            rose = Some((least, agents));
        }
        least = least.min(agents);
        early |= agents > 0 && seen.drain().is_some_and(|drain| drain["drained"] == true);
        agents == 0
    })?;
    match rose {
        Some((from, to)) => rows.broken(G2, format!("while draining, active_agents rose from {from} to {to}")),
        None => rows.kept(G2, format!("while draining, active_agents only fell, from {first} to {least}")),
    }
    if early {
        rows.broken(G3, "the status said drained with a turn in flight");
    } else if ended.is_err() {
        rows.unseen(G3, "the turn did not end while it was waited for");
    } else {
        let refused = gateway.turn();
        let again = gateway.never(|seen| seen.agents() > 0 || !seen.is_draining())?;
        match again {
            None if refused.is_some_and(|(turned, _)| turned == Turned::Refused) => {
                rows.kept(G3, "once drained it stayed drained, and a turn was refused");
            }
            None => rows.kept(G3, "once drained it stayed drained"),
            Some(seen) => {
                let said = format!("{} with {} in flight", seen.state(), seen.agents());
                rows.broken(G3, format!("once drained, under a live request, the status says {said}"));
            }
        }
    }
    Ok(())
}

/// Begins twice, cancels once.
fn begun_twice(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    gateway.begin()?;
    let _ = gateway.until(Seen::is_draining)?;
    gateway.begin()?;
    let opened = gateway.never(|seen| !seen.is_draining())?;
    gateway.cancel()?;
    let reopened = gateway.until(Seen::is_running)?.is_ok();
    let evidence = match (&opened, reopened) {
        (Some(seen), _) => format!("the second begin led to {}", seen.state()),
        (None, true) => "begun twice and cancelled once: draining, then running".into(),
        (None, false) => "begun twice and cancelled once: it never ran again".into(),
    };
    rows.tell(S2, opened.is_none() && reopened, evidence.clone(), evidence);
    Ok(())
}

/// Races the gateway's looks.
fn begun_and_cancelled_in_a_row(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let generation = |seen: &Seen| seen.drain().and_then(|drain| drain["generation"].as_u64());
    let before = gateway.look().map_err(Stop::Lost)?;
    for round in 0..ROUNDS {
        gateway.begin()?;
        gateway.pause(gateway.options.tick * (round % 5) / 8)?;
        gateway.cancel()?;
        gateway.pause(gateway.options.tick * (round % 3) / 8)?;
    }
    let ran = gateway.until(Seen::is_running)?.is_ok();
    let stayed = gateway.never(|seen| !seen.is_running())?.is_none();
    let what = format!("begun and cancelled {ROUNDS} times in a row");
    rows.tell(
        L2,
        ran && stayed,
        format!("{what}: it runs"),
        format!("{what}: it doesn't run, or not for long, with no request there"),
    );
    gateway.begin()?;
    let drained = gateway.until(Seen::is_draining)?;
    let closed = drained.is_ok() && gateway.never(|seen| !seen.is_draining())?.is_none();
    rows.tell(
        H1,
        closed,
        format!("{what}, then begun: it drains"),
        format!("{what}, then begun: it doesn't drain, or not for long"),
    );
    let after = drained.ok().and_then(|(seen, _)| generation(&seen));
    match (generation(&before), after) {
        (Some(before), Some(after)) => {
            let evidence = format!("the drain before was {before}, this one is {after}");
            rows.tell(G4, after > before, evidence.clone(), evidence);
        }
        _ => rows.unseen(G4, "the status has no generation"),
    }
    gateway.cancel()?;
    let _ = gateway.until(Seen::is_running)?;
    Ok(())
}

/// What can stand in the marker's place and is no sound request. Presence decides: each of them closes the gate.
type Put = fn(&Path) -> io::Result<()>;
const MARKERS: [(&str, Put); 8] = [
    ("nothing in it, as touch leaves it", |path| fs::write(path, "")),
    ("half of a request", |path| fs::write(path, "{\"action\": \"dra")),
    ("bytes that are no UTF-8", |path| fs::write(path, [0xff, 0xfe, 0x00, 0x80])),
    ("a list", |path| fs::write(path, "[1, 2, 3]")),
    ("100,000 open brackets", |path| fs::write(path, "[".repeat(100_000))),
    ("fields of the wrong type", |path| {
        fs::write(path, r#"{"action": 7, "requested_at": {}, "principal": [], "epoch": 1}"#)
    }),
    ("four million spaces", |path| fs::write(path, " ".repeat(4_000_000))),
    ("a time in the far future", |path| {
        fs::write(path, r#"{"action": "drain", "requested_at": "9999-12-31T23:59:59+00:00"}"#)
    }),
];

fn whatever_stands_there(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let mut closed = 0;
    for (what, put) in MARKERS {
        gateway.put(put)?;
        let drained = gateway.until(Seen::is_draining)?;
        let opened = if drained.is_ok() { gateway.never(|seen| !seen.is_draining())? } else { None };
        match (&drained, &opened) {
            (Ok(_), None) => closed += 1,
            (Err(last), _) => rows.broken(C4, format!("a marker with {what}: the status says {}", last.state())),
            (_, Some(seen)) => {
                rows.broken(C4, format!("a marker with {what}: it drained, and then the status said {}", seen.state()));
            }
        }
        gateway.cancel()?;
        if let Err(last) = gateway.until(Seen::is_running)? {
            rows.broken(L2, format!("a marker with {what} is gone, and the status says {}", last.state()));
            return Ok(());
        }
    }
    if closed == MARKERS.len() {
        rows.kept(C4, format!("{closed} kinds of unsound markers: each closed the gate for as long as it lay there"));
    }
    Ok(())
}

fn another_epoch(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let seen = gateway.look().map_err(Stop::Lost)?;
    if !Epoch::current().is_known() || seen.drain().is_some_and(|drain| drain["epoch"] == "") {
        rows.unseen(C3, "the gateway can't know its epoch");
        return Ok(());
    }
    gateway.write_stale()?;
    let drained = gateway.never(Seen::is_draining)?.is_some();
    let ignored = gateway.look().map_err(Stop::Lost)?;
    gateway.cancel()?;
    let _ = gateway.until(Seen::is_running)?;
    let said = ignored.drain().map(|drain| drain["ignored"].as_array().is_some_and(|ignored| !ignored.is_empty()));
    match (drained, said) {
        (true, _) => rows.broken(C3, "a marker of another epoch closed the gate"),
        (false, Some(true)) => rows.kept(C3, "a marker of another epoch closed nothing, and the status says so"),
        (false, Some(false)) => {
            rows.broken(C3, "a marker of another epoch closed nothing, and the status doesn't say so");
        }
        (false, None) => rows.kept(C3, "a marker of another epoch closed nothing; whether that is said is unseen"),
    }
    Ok(())
}

fn id(name: &str) -> RequestId {
    // Sound names: the fallback is never used.
    RequestId::new(format!("probe-{name}")).unwrap_or_else(|_| RequestId::random())
}

fn knows_hold_files(gateway: &mut Outside<'_>) -> Result<bool, Stop> {
    let hold = id("a");
    gateway.write(&Outside::request(&hold))?;
    // A gateway that lists its holds at all is given its time to list this one.
    let lists = gateway.look().map_err(Stop::Lost)?.drain().is_some_and(|drain| drain["holds"].is_array());
    let time = if lists { gateway.options.patience } else { gateway.while_watched() };
    let known = gateway.watch(time, |seen| seen.is_draining() && seen.hold(&hold).is_some())?.is_ok();
    gateway.remove(&hold)?;
    let _ = gateway.until(Seen::is_running)?;
    Ok(known)
}

/// Each of two holds ends, and the other one goes on.
fn two_holds(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let (marker, hold) = (RequestId::marker(), id("b"));
    for (ended, other) in [(&marker, &hold), (&hold, &marker)] {
        gateway.write(&Outside::request(&marker))?;
        gateway.write(&Outside::request(&hold))?;
        let both = |seen: &Seen| seen.is_draining() && seen.hold(&marker).is_some() && seen.hold(&hold).is_some();
        let both_named = gateway.until(both)?.is_ok();
        gateway.remove(ended)?;
        let freed = gateway.never(|seen| !seen.is_draining())?;
        match (both_named, freed) {
            (false, _) => rows.broken(H2, "two holds were begun, and the status never named both"),
            (true, None) => rows.kept(H2, format!("{ended} was cancelled under {other}: it went on draining")),
            (true, Some(seen)) => {
                rows.broken(
                    H2,
                    format!("{ended} was cancelled, {other} lies there, and the status says {}", seen.state()),
                );
            }
        }
        gateway.remove(other)?;
        let _ = gateway.until(Seen::is_running)?;
    }
    Ok(())
}

/// How often the check of a lease is tried, if the probe itself doesn't renew in time.
const TRIES: u32 = 3;

/// A lease is renewed, and runs out.
fn a_lease(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let hold = id("lease");
    let mut told = false;
    for _ in 0..TRIES {
        told = renewed_and_run_out(gateway, rows, &hold)?;
        gateway.remove(&hold)?;
        let _ = gateway.until(Seen::is_running)?;
        if told {
            break;
        }
    }
    if !told {
        rows.unseen(H3, format!("the probe could not renew in time in any of {TRIES} tries: this machine is too busy"));
    }
    Ok(())
}

/// Tells what it saw, unless a renewal was written so late that the gateway was right to end the lease.
fn renewed_and_run_out(gateway: &mut Outside<'_>, rows: &mut Rows<'_>, hold: &RequestId) -> Result<bool, Stop> {
    let lease = gateway.options.tick * 2 + Duration::from_secs(1);
    let begin = || Outside::request(hold).lease(lease);
    let mut written = Instant::now();
    gateway.write(&begin())?;
    let _ = gateway.until(Seen::is_draining)?;
    let mut early = None;
    for _ in 0..3 {
        // Renewed at half of the lease, for longer than the lease.
        early = early.or(gateway.watch(lease / 2, |seen| !seen.is_draining())?.ok());
        let next = Instant::now();
        gateway.write(&begin())?;
        // The lease may run from the moment at which the write began, and a gateway looks once in a tick.
        if written.elapsed() + gateway.options.tick >= lease {
            return Ok(false);
        }
        written = next;
    }
    let ended = gateway.watch(lease + gateway.options.patience, Seen::is_running)?;
    let again = gateway.never(|seen| !seen.is_running())?;
    let of = format!("a lease of {} ms", lease.as_millis());
    match (early, &ended, again) {
        (Some(_), ..) => rows.broken(H3, format!("{of} was renewed in time, and the gate reopened")),
        (None, Err(_), _) => rows.broken(H3, format!("{of} ran out, and the gate stayed closed")),
        (None, Ok(_), Some(_)) => rows.broken(H3, format!("{of} ran out, and its file closed the gate once more")),
        (None, Ok((_, took)), None) => {
            let took = took.as_millis();
            rows.kept(
                H3,
                format!("{of} was renewed three times; {took} ms after the last, the gate reopened for good"),
            );
        }
    }
    Ok(true)
}

/// Begins a hold and commits it. None if that was not granted.
fn committed(gateway: &mut Outside<'_>, rows: &mut Rows<'_>, hold: &RequestId) -> Result<Option<()>, Stop> {
    gateway.write(&Outside::request(hold))?;
    let drained = |seen: &Seen| seen.hold(hold).is_some() && seen.drain().is_some_and(|drain| drain["drained"] == true);
    let Ok((seen, _)) = gateway.until(drained)? else {
        rows.unseen(E1, "the gateway never said that it is drained");
        gateway.remove(hold)?;
        return Ok(None);
    };
    let drain = seen.drain().cloned().unwrap_or_default();
    let incarnation = Incarnation::from(drain["incarnation"].as_str().unwrap_or_default().to_owned());
    let generation: Option<Generation> = serde_json::from_value(drain["generation"].clone()).ok();
    let generation = generation.unwrap_or_else(|| Generation::from(0));

    let stranger = Request::commit(hold.clone(), OWNER, Incarnation::fresh(), generation);
    gateway.write(&stranger)?;
    if let Some(nonce) = &stranger.nonce {
        let answered = gateway.until(|seen| seen.answer(nonce).is_some())?;
        let answer =
            answered.as_ref().map_or("nothing", |(seen, _)| seen.answer(nonce).unwrap_or("nothing")).to_owned();
        let evidence = format!("a commit meant for another incarnation was answered with {answer}");
        rows.tell(C6, answer == "refused", evidence.clone(), evidence);
    }

    let commit = Request::commit(hold.clone(), OWNER, incarnation, generation);
    let Some(token) = commit.nonce.clone() else { return Ok(None) };
    // Noted before it is written: from then on it may be granted.
    gateway.committed(hold, token.clone());
    gateway.write(&commit)?;
    if gateway.until(|seen| seen.answer(&token) == Some("committed"))?.is_ok() {
        return Ok(Some(()));
    }
    rows.broken(C6, "a commit of a drained gateway, with its incarnation and generation, was not granted");
    // It may be granted yet, and then it ends with its token alone.
    gateway.withdraw(hold)?;
    let _ = gateway.until(|seen| seen.hold(hold).is_none())?;
    gateway.withdrawn(hold)?;
    Ok(None)
}

/// Commits, and lets others try to end it.
fn a_commit(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let (hold, marker) = (id("commit"), RequestId::marker());
    if committed(gateway, rows, &hold)?.is_none() {
        let _ = gateway.until(Seen::is_running)?;
        return Ok(());
    }
    gateway.remove(&hold)?;
    let by_removal = gateway.never(|seen| !seen.is_draining())?;
    gateway.write(&Outside::request(&marker))?;
    gateway.pause(gateway.options.tick)?;
    gateway.remove(&marker)?;
    gateway.write(&Request::withdraw(hold.clone(), OWNER).token(Nonce::fresh()))?;
    let by_others = gateway.never(|seen| !seen.is_draining() || seen.agents() > 0)?;
    match (by_removal, by_others) {
        (Some(_), _) => rows.broken(H4, "the file of a committed hold was removed, and the gate reopened"),
        (None, Some(_)) => {
            rows.broken(
                H4,
                "a committed hold ended with another hold's cancel, or with a withdrawal without its token",
            );
        }
        (None, None) => {
            rows.kept(H4, "a committed hold outlasted its file, another's cancel and a withdrawal with a wrong token");
        }
    }
    let mut there = true;
    if let Some(command) = gateway.options.restart.clone() {
        let Restarted { shut_down, first } = gateway.restart(&command)?;
        there = first.is_some();
        let committed = |seen: &Seen| seen.is_draining() && seen.hold(&hold).is_some_and(is_committed);
        let drains = first.as_ref().is_some_and(committed);
        let stays = drains && gateway.never(|seen| !seen.is_draining() || seen.agents() > 0)?.is_none();
        match (first, stays, shut_down) {
            (None, ..) => rows.unseen(E1, NO_NEW_PROCESS),
            (Some(_), true, _) => {
                rows.kept(E1, "a committed hold outlived a restart, with its file gone, and nothing was in flight");
            }
            (Some(_), false, true) => {
                rows.unseen(E1, "--restart-cmd shuts the gateway down, which ends a commit: let it kill");
            }
            (Some(_), false, false) => rows.broken(E1, "a committed hold did not outlive the death of the process"),
        }
    }
    gateway.withdraw(&hold)?;
    if gateway.until(Seen::is_running)?.is_err() {
        if !there {
            // The withdrawal is left for a gateway that comes back after all.
            return Err(Stop::Lost(NO_NEW_PROCESS.into()));
        }
        rows.broken(L2, "a committed hold was withdrawn with its token, and the gate stayed closed");
    }
    gateway.withdrawn(&hold)?;
    Ok(())
}

fn is_committed(hold: &Value) -> bool {
    hold["committed"] == true
}

/// Restarts the gateway under the request that every gateway knows.
fn a_restart(gateway: &mut Outside<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let Some(command) = gateway.options.restart.clone() else { return Ok(()) };
    gateway.begin()?;
    let _ = gateway.until(Seen::is_draining)?;
    let first = gateway.restart(&command)?.first;
    let there = first.is_some();
    match first {
        None => rows.unseen(C5, NO_NEW_PROCESS),
        Some(first) => {
            let turned = gateway.turn().map(|(turned, _)| turned);
            let opened = gateway.never(|seen| !seen.is_draining())?;
            match (first.is_draining(), opened, turned) {
                (true, None, Some(Turned::Refused)) => {
                    rows.kept(C5, "restarted under a live request: it said draining first, and refused a turn");
                }
                (true, None, None) => rows.kept(C5, "restarted under a live request: it said draining first"),
                (_, _, Some(Turned::Admitted)) => rows.broken(C5, "restarted under a live request, it admitted a turn"),
                _ => rows.broken(C5, format!("restarted under a live request, it said {} first", first.state())),
            }
        }
    }
    gateway.cancel()?;
    if let Err(last) = gateway.until(Seen::is_running)? {
        if !there {
            return Err(Stop::Lost(NO_NEW_PROCESS.into()));
        }
        rows.broken(L2, format!("restarted, and its request cancelled, the status says {}", last.state()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Interrupt;
    use crate::control::Home;
    use crate::probe::Options;
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::io::Write as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    const TICK: Duration = Duration::from_millis(10);

    /// A gateway whose status is a pipe, so that each look of the probe takes as long as this wants: the second one under a
    /// hold lasts until its lease is over.
    fn answer_late(home: &Home, over: &AtomicBool) {
        let lease = TICK * 2 + Duration::from_secs(1);
        let next = || {
            let next = home.path().join("next");
            mkfifoat(CWD, &next, Mode::RUSR | Mode::WUSR).unwrap();
            fs::rename(next, home.status()).unwrap();
        };
        let mut looks_under_a_hold = 0;
        loop {
            // Waits for the next reader, and sends whoever comes after it to another pipe.
            let mut pipe = fs::OpenOptions::new().write(true).open(home.status()).unwrap();
            next();
            if over.load(Ordering::Relaxed) {
                return;
            }
            let held = home.request_path(&id("lease")).exists();
            looks_under_a_hold = if held { looks_under_a_hold + 1 } else { 0 };
            let answer_at = Instant::now() + if looks_under_a_hold == 2 { lease } else { Duration::ZERO };
            while Instant::now() < answer_at {
                thread::park_timeout(answer_at - Instant::now());
            }
            let state = if held { "draining" } else { "running" };
            pipe.write_all(format!(r#"{{"gateway_state": "{state}", "active_agents": 0}}"#).as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_probe_that_renews_too_late_itself_calls_the_lease_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let over = Arc::new(AtomicBool::new(false));
        mkfifoat(CWD, home.status(), Mode::RUSR | Mode::WUSR).unwrap();
        let gateway = thread::spawn({
            let (home, over) = (home.clone(), over.clone());
            move || answer_late(&home, &over)
        });
        let patience = Duration::from_secs(60);
        let options = Options { home: Some(folder.path().into()), tick: TICK, patience, ..Options::default() };
        let interrupt = Interrupt::new();
        let mut outside = Outside::of(&options, &interrupt).unwrap();
        let mut rows = Vec::new();
        a_lease(&mut outside, &mut Rows(&mut rows)).unwrap();
        outside.take_back().unwrap();
        over.store(true, Ordering::Relaxed);
        drop(fs::File::open(home.status()).unwrap());
        gateway.join().unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((rows[0].property, rows[0].sight), (H3, Sight::Unseen), "{rows:?}");
        assert!(rows[0].evidence.contains("could not renew in time"), "{rows:?}");
    }
}
