//! What is tried, in order, and what it shows.
//!
//! Each check leaves the gateway as it found it, and says what it rests on. What isn't seen to be kept is not said to be.
//! What only a gateway with hold files can be asked is in `holds.rs`.

mod holds;

use super::driver::{Driver, LOOK_EVERY, PublishedStatus, Stop};
use super::world::{InFlight, TurnAnswer, Unread};
use super::{Row, Sight, TRIALS};
use crate::control::Epoch;
use crate::hold::Nonce;
use crate::properties::PropertyId::{
    self, C1, C3, C4, C5, C6, E1, G1, G2, G3, G4, G6, H1, H2, H3, H4, L1, L2, S2, S3, S6,
};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

const NO_NEW_PROCESS: &str = "after --restart-cmd no other process published a status";

/// How often a drain is begun and cancelled in a row.
const ROUNDS: u32 = 20;

pub(super) fn all(gateway: &mut Driver<'_>, rows: &mut Vec<Row>) -> Result<(), Stop> {
    let mut rows = Rows(rows);
    let done = each(gateway, &mut rows);
    match &gateway.torn {
        Some(what) => rows.broken(C1, what.clone()),
        None if gateway.home().is_some() => rows.kept(C1, format!("{} reads of the status, all whole", gateway.reads)),
        None => {}
    }
    rows.tell(G6, !gateway.negative, "active_agents was never negative", "active_agents was negative");
    if gateway.options.turn.is_none() {
        only_told(rows.0);
    }
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

/// What the status alone says of the gate, where no turn has shown the gate itself, is the gateway's own word.
fn only_told(rows: &mut [Row]) {
    let of_the_gate = [H1, H2, H3, H4, S2, S3, S6, L2, C3, C4, C5, E1];
    for row in rows.iter_mut().filter(|row| row.sight == Sight::Kept && of_the_gate.contains(&row.property)) {
        row.sight = Sight::Told;
    }
}

/// Tells whether the gateway drains and reopens at all.
fn each(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<bool, Stop> {
    if !trying("a drain", gateway, rows, begin_and_cancel)? {
        return Ok(false);
    }
    trying("a drain around a turn", gateway, rows, a_turn_in_flight)?;
    trying("a drain begun twice", gateway, rows, begun_twice)?;
    trying("one drain after another", gateway, rows, begun_and_cancelled_in_a_row)?;
    if gateway.home().is_none() {
        trying("a shutdown", gateway, rows, a_stop)?;
        return Ok(true);
    }
    whatever_stands_there(gateway, rows)?;
    trying("a marker of another epoch", gateway, rows, another_epoch)?;
    if trying("a hold file", gateway, rows, |gateway, _| holds::knows_hold_files(gateway))? {
        trying("a pair of holds", gateway, rows, holds::two_holds)?;
        trying("a lease", gateway, rows, holds::a_lease)?;
        trying("a commit", gateway, rows, holds::a_commit)?;
    }
    trying("--restart-cmd under a marker", gateway, rows, a_restart)?;
    trying("a shutdown", gateway, rows, a_stop)?;
    Ok(true)
}

/// Notes what is tried: if the gateway ends, it was under that.
fn trying<T>(
    what: &str,
    gateway: &mut Driver<'_>,
    rows: &mut Rows<'_>,
    check: impl FnOnce(&mut Driver<'_>, &mut Rows<'_>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    what.clone_into(&mut gateway.tried);
    check(gateway, rows)
}

pub(super) struct Rows<'a>(pub(super) &'a mut Vec<Row>);

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
fn begin_and_cancel(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<bool, Stop> {
    let nonce = gateway.begin()?;
    let patience = gateway.options.patience;
    let seen = match gateway.until(PublishedStatus::is_draining)? {
        Ok((seen, took)) => {
            rows.kept(H1, format!("the status says draining {} ms after the request", took.as_millis()));
            rows.kept(S6, "while a request lay there the status said draining");
            seen
        }
        Err(last) => {
            let said = format!("{} s after the request the status says {}", patience.as_secs(), last.state());
            match gateway.turn() {
                Some((TurnAnswer::Refused, _)) => rows.broken(S6, format!("{said}, and a turn is refused")),
                Some((TurnAnswer::Admitted(code), _)) => {
                    rows.broken(H1, format!("{said}, and a turn is answered with {code}, which is no refusal"));
                }
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
    let reopened = gateway.until(PublishedStatus::is_running)?;
    match reopened {
        Ok((_, took)) => rows.kept(L2, format!("the status says running {} ms after the cancel", took.as_millis())),
        Err(last) => {
            rows.broken(L2, format!("{} s after the cancel the status says {}", patience.as_secs(), last.state()));
            return Ok(false);
        }
    }
    Ok(true)
}

fn acknowledged(gateway: &mut Driver<'_>, rows: &mut Rows<'_>, nonce: &Nonce) -> Result<(), Stop> {
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

fn turned_away(gateway: &Driver<'_>, rows: &mut Rows<'_>) {
    match gateway.turn() {
        Some((TurnAnswer::Refused, _)) => rows.kept(G1, "a turn was refused once the status said draining"),
        Some((TurnAnswer::Admitted(code), _)) => {
            let what =
                format!("a turn was answered with {code}, which is no refusal, although the status said draining");
            rows.broken(G1, what);
        }
        None if gateway.options.turn.is_none() => rows.unseen(G1, "no --turn-url"),
        None => rows.unseen(G1, "the answer of a turn was neither a success nor a refusal"),
    }
}

/// Drains around a turn.
fn a_turn_in_flight(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let Some(turn) = admitted_again(gateway, rows)? else {
        for property in [G2, G3] {
            rows.unseen(property, "no --turn-url, or the turn was not admitted");
        }
        return Ok(());
    };
    // Not for all its patience: a gateway that counts nothing would have ended the turn by then.
    let soon = gateway.while_watched().max(Duration::from_secs(1));
    let counted = gateway.watch(soon, |seen| seen.agents() > 0)?.is_ok();
    gateway.begin()?;
    let draining = gateway.until(PublishedStatus::is_draining)?;
    let first = draining.as_ref().map_or(0, |(seen, _)| seen.agents());
    let drains = draining.is_ok();
    if drains && first == 0 && streams_on(gateway, &turn)? {
        rows.broken(G3, "the status said draining with 0 in flight while the answer of a turn still streamed");
    } else if !counted || first == 0 {
        for property in [G2, G3] {
            rows.unseen(property, "the turn was over before the gate had closed: let it last longer than two ticks");
        }
    } else {
        drained_around(gateway, rows, first, &turn)?;
    }
    gateway.cancel()?;
    let _ = gateway.until(PublishedStatus::is_running)?;
    Ok(())
}

/// Asks a gateway for a turn that says that it runs again. A refusal may come of a lack of room, which passes.
fn admitted_again(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<Option<InFlight>, Stop> {
    let begun = gateway.now();
    loop {
        match gateway.turn() {
            Some((TurnAnswer::Admitted(_), turn)) => return Ok(turn.map(Unread::read)),
            Some((TurnAnswer::Refused, _)) if gateway.since(begun) < gateway.options.patience => {
                gateway.pause(gateway.options.tick)?;
            }
            Some((TurnAnswer::Refused, _)) => {
                if gateway.until(PublishedStatus::is_running)?.is_ok() {
                    let seconds = gateway.options.patience.as_secs();
                    let what =
                        format!("the status says running, and for {seconds} s after a drain every turn is refused");
                    rows.broken(S6, what);
                }
                return Ok(None);
            }
            None => return Ok(None),
        }
    }
}

/// Whether a turn of the probe's own is in flight, and for longer than its end may be late here.
fn streams_on(gateway: &Driver<'_>, turn: &InFlight) -> Result<bool, Stop> {
    let begun = gateway.now();
    while !turn() && gateway.since(begun) < gateway.while_watched() {
        gateway.pause(gateway.options.tick / 8)?;
    }
    Ok(!turn())
}

/// Watches the count fall to zero, and stay there.
fn drained_around(gateway: &mut Driver<'_>, rows: &mut Rows<'_>, first: i64, turn: &InFlight) -> Result<(), Stop> {
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
    } else if ended.is_ok() && streams_on(gateway, turn)? {
        rows.broken(G3, "the status said draining with 0 in flight while the answer of a turn still streamed");
    } else if ended.is_err() {
        rows.unseen(G3, "the turn did not end while it was waited for");
    } else {
        let turned = gateway.turn().map(|(turned, _)| turned);
        let again = gateway.never(|seen| seen.agents() > 0 || !seen.is_draining())?;
        match (again, turned) {
            (None, Some(TurnAnswer::Refused)) => {
                rows.kept(G3, "once drained it stayed drained, and a turn was refused");
            }
            (None, Some(TurnAnswer::Admitted(code))) => {
                rows.broken(G1, format!("once drained, a turn was answered with {code}, which is no refusal"));
            }
            (None, None) => rows.kept(G3, "once drained it stayed drained"),
            (Some(seen), _) => {
                let said = format!("{} with {} in flight", seen.state(), seen.agents());
                rows.broken(G3, format!("once drained, under a live request, the status says {said}"));
            }
        }
    }
    Ok(())
}

/// Begins twice, cancels once.
fn begun_twice(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    gateway.begin()?;
    let _ = gateway.until(PublishedStatus::is_draining)?;
    gateway.begin()?;
    let opened = gateway.never(|seen| !seen.is_draining())?;
    gateway.cancel()?;
    let reopened = gateway.until(PublishedStatus::is_running)?.is_ok();
    let evidence = match (&opened, reopened) {
        (Some(seen), _) => format!("the second begin led to {}", seen.state()),
        (None, true) => "begun twice and cancelled once: draining, then running".into(),
        (None, false) => "begun twice and cancelled once: it never ran again".into(),
    };
    rows.tell(S2, opened.is_none() && reopened, evidence.clone(), evidence);
    Ok(())
}

/// Whether the status comes to say so and goes on saying it.
///
/// It may say so, then not, and then again: a look that began before the last write can be published after the status that
/// says it already. A gateway has one look under way, so that happens once.
fn comes_and_stays(gateway: &mut Driver<'_>, says: fn(&PublishedStatus) -> bool) -> Result<bool, Stop> {
    for _ in 0..2 {
        if gateway.until(says)?.is_err() {
            return Ok(false);
        }
        if gateway.never(|seen| !says(seen))?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Races the gateway's looks.
fn begun_and_cancelled_in_a_row(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let generation = |seen: &PublishedStatus| seen.drain().and_then(|drain| drain["generation"].as_u64());
    let before = gateway.status()?;
    for round in 0..ROUNDS {
        gateway.begin()?;
        gateway.pause(gateway.options.tick * (round % 5) / 8)?;
        gateway.cancel()?;
        gateway.pause(gateway.options.tick * (round % 3) / 8)?;
    }
    let runs = comes_and_stays(gateway, PublishedStatus::is_running)?;
    let what = format!("begun and cancelled {ROUNDS} times in a row");
    rows.tell(
        L2,
        runs,
        format!("{what}: it runs"),
        format!("{what}: it doesn't run, or not for long, with no request there"),
    );
    gateway.begin()?;
    let drained = gateway.until(PublishedStatus::is_draining)?;
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
    let _ = gateway.until(PublishedStatus::is_running)?;
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

fn whatever_stands_there(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let mut closed = 0;
    for (what, put) in MARKERS {
        gateway.tried = format!("a marker with {what}");
        gateway.put(put)?;
        let drained = gateway.until(PublishedStatus::is_draining)?;
        let opened = if drained.is_ok() { gateway.never(|seen| !seen.is_draining())? } else { None };
        match (&drained, &opened) {
            (Ok(_), None) => closed += 1,
            (Err(last), _) => rows.broken(C4, format!("a marker with {what}: the status says {}", last.state())),
            (_, Some(seen)) => {
                rows.broken(C4, format!("a marker with {what}: it drained, and then the status said {}", seen.state()));
            }
        }
        gateway.cancel()?;
        if let Err(last) = gateway.until(PublishedStatus::is_running)? {
            rows.broken(L2, format!("a marker with {what} is gone, and the status says {}", last.state()));
            return Ok(());
        }
    }
    if closed == MARKERS.len() {
        rows.kept(C4, format!("{closed} kinds of unsound markers: each closed the gate for as long as it lay there"));
    }
    Ok(())
}

fn another_epoch(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let seen = gateway.status()?;
    if !Epoch::current().is_known() || seen.drain().is_some_and(|drain| drain["epoch"] == "") {
        rows.unseen(C3, "the gateway can't know its epoch");
        return Ok(());
    }
    gateway.write_stale()?;
    let drained = gateway.never(PublishedStatus::is_draining)?.is_some();
    let ignored = gateway.status()?;
    gateway.cancel()?;
    let _ = gateway.until(PublishedStatus::is_running)?;
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

/// Restarts the gateway under the request that every gateway knows.
fn a_restart(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let Some(command) = gateway.options.restart.clone() else { return Ok(()) };
    gateway.begin()?;
    let _ = gateway.until(PublishedStatus::is_draining)?;
    let first = gateway.restart(&command)?.first;
    let there = first.is_some();
    match first {
        None => rows.unseen(C5, NO_NEW_PROCESS),
        Some(first) => {
            let turned = gateway.turn().map(|(turned, _)| turned);
            let opened = gateway.never(|seen| !seen.is_draining())?;
            match (first.is_draining(), &opened, turned) {
                (true, None, Some(TurnAnswer::Refused)) => {
                    rows.kept(C5, "restarted under a live request: it said draining first, and refused a turn");
                }
                (true, None, None) => rows.kept(C5, "restarted under a live request: it said draining first"),
                (_, _, Some(TurnAnswer::Admitted(code))) => {
                    rows.broken(C5, format!("restarted under a live request, it answered a turn with {code}"));
                }
                _ => {
                    let then = opened.map(|seen| format!(", and then {}", seen.state())).unwrap_or_default();
                    let said = first.state();
                    rows.broken(C5, format!("restarted under a live request, it said {said} first{then}"));
                }
            }
        }
    }
    gateway.cancel()?;
    if let Err(last) = gateway.until(PublishedStatus::is_running)? {
        if !there {
            return Err(Stop::Lost(NO_NEW_PROCESS.into()));
        }
        rows.broken(L2, format!("restarted, and its request cancelled, the status says {}", last.state()));
    }
    Ok(())
}

/// Has the gateway shut down, last of all: under a request that is cancelled while it shuts down, which reopens nothing.
pub(super) fn a_stop(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let Some(command) = gateway.options.stop.clone() else { return Ok(()) };
    // While its turn lasts a gateway can't end, and can be looked at.
    let turn = gateway.turn().and_then(|(_, turn)| turn);
    let _in_flight = turn.map(Unread::read);
    gateway.begin()?;
    let _ = gateway.until(PublishedStatus::is_draining)?;
    let process = |seen: &PublishedStatus| format!("{:?}", seen.process());
    let this = process(&gateway.status()?);
    let (mut shutting, mut stopped, mut back) = (false, false, false);
    let mut show = |seen: &PublishedStatus| {
        if process(seen) != this {
            return;
        }
        shutting |= seen.is_shutting_down();
        stopped |= seen.state() == "stopped";
        back |= shutting && seen.is_running();
    };
    gateway.run(&command, &mut show)?;
    // Before it shuts down a cancel reopens it by right.
    let heard = gateway.now();
    while gateway.since(heard) < gateway.options.patience {
        let Ok(seen) = gateway.look() else { break };
        show(&seen);
        if seen.is_shutting_down() || process(&seen) != this {
            break;
        }
        gateway.pause(LOOK_EVERY)?;
    }
    gateway.leave();
    let begun = gateway.now();
    while gateway.since(begun) < gateway.options.patience * 3 {
        let Ok(seen) = gateway.look() else { break };
        show(&seen);
        if seen.state() == "stopped" || process(&seen) != this {
            break;
        }
        gateway.pause(LOOK_EVERY)?;
    }
    // An endpoint goes with its process, and a process that is started again at once says something else in the same place.
    let is_in_sight = gateway.look().is_ok_and(|seen| process(&seen) == this);
    match (back, shutting) {
        (true, _) => rows.broken(S3, "after --stop-cmd, and with its request cancelled, the status says running"),
        (false, true) => {
            rows.kept(S3, "after --stop-cmd, and with its request cancelled, the status never said running");
        }
        (false, false) => rows.unseen(S3, "after --stop-cmd the status never said that it shuts down"),
    }
    match (stopped, shutting, is_in_sight) {
        (true, ..) => rows.kept(L1, "after --stop-cmd the status came to say stopped"),
        (false, true, true) => {
            rows.broken(L1, "after --stop-cmd the status said that it shuts down, and never that it stopped");
        }
        (false, true, false) => {
            rows.unseen(
                L1,
                "after --stop-cmd the status said that it shuts down, and its end was too quick to be seen",
            );
        }
        (false, false, _) => rows.unseen(L1, "after --stop-cmd the status never said that it shuts down"),
    }
    gateway.forget_if_ended()
}
