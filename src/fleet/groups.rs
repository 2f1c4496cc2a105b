//! What people do with a fleet's slots: look at them, give one back by hand, set how many there are.

use super::etcd::{Etcd, Read, Trouble};
use super::ready::unready;
use super::semaphore::Semaphore;
use super::server::ServerAnswer;
use super::slot::{Note, Taker, Whereabouts};
use super::{Engine, Fleet, address};
use crate::client::{Failure, Interrupt};
use core::num::NonZeroU32;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So many gateways of one group are asked whether they run.
const ASKED: usize = 32;

/// How long one of them is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A group, as it is kept in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Group {
    /// Its name.
    pub group: String,
    /// How many slots it has; none if what lies there is no semaphore.
    pub total_slots: Option<u32>,
    /// Who has one.
    pub holders: Vec<Holder>,
    /// Why what lies there is no semaphore.
    pub problem: Option<String>,
}

/// A gateway or a machine that has a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// Its id.
    pub id: String,
    /// Since when, by the clock of the controller that took the slot (RFC 3339). Only this crate's controllers say so.
    pub since: Option<String>,
    /// The controllers that use the slot: the machine and the process of each.
    pub controllers: Vec<String>,
    /// Why the slot stays although no controller uses it.
    pub kept: Option<String>,
    /// Whether the gateway says that it runs and is ready; none where it can't be asked from here.
    pub running: Option<bool>,
    /// Why it doesn't, or can't be asked.
    pub detail: Option<String>,
}

/// What giving a slot back by hand found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// It was taken, and is free now.
    Freed(Box<Holder>),
    /// The id had no slot.
    NotHeld,
    /// A FleetLock server has said yes, which doesn't tell whether the id had a slot.
    Accepted,
}

/// What setting a budget changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetSlots {
    /// How many slots there were; none if the group is new.
    pub before: Option<u32>,
    /// How many of them are taken.
    pub taken: usize,
}

impl Fleet {
    /// Every group, or this one: who has a slot, since when, and whether those gateways run that can be asked from here.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a FleetLock server, which tells nobody; [`Failure::Fleet`] if etcd can't be reached.
    pub fn groups(&self, only: Option<&str>) -> Result<Vec<Group>, Failure> {
        let etcd = self.etcd("shows who has a slot")?;
        let values = match only {
            Some(group) => {
                etcd.value(&address::group(group)?)?.map(|value| (group.to_owned(), value)).into_iter().collect()
            }
            None => etcd.groups()?,
        };
        let mut groups = Vec::with_capacity(values.len());
        for (group, value) in values {
            groups.push(match Semaphore::parse(&value) {
                Err(why) => Group { group, total_slots: None, holders: Vec::new(), problem: Some(why.to_string()) },
                Ok(semaphore) => {
                    let notes: BTreeMap<String, Note> = etcd.notes(&group)?.into_iter().collect();
                    let holders = semaphore.holders().iter().enumerate();
                    let holders = holders.map(|(n, id)| Holder::of(id, notes.get(id), n < ASKED)).collect();
                    Group { group, total_slots: Some(semaphore.total_slots()), holders, problem: None }
                }
            });
        }
        Ok(groups)
    }

    /// Gives the slot of this id back by hand. That the gateway runs, or is gone for good, is for the operator who does it to know.
    ///
    /// # Errors
    /// [`Failure::Fleet`] if the slots can't be reached.
    pub fn release(&self, id: &str) -> Result<Released, Failure> {
        let id = &address::id(id)?;
        let etcd = match &self.engine {
            Engine::Etcd(etcd) => etcd,
            Engine::FleetLock(server) => {
                return self.tried(|| match server.steady_state(&self.group, id)? {
                    ServerAnswer::Yes => Ok(Some(Released::Accepted)),
                    ServerAnswer::NotNow(why) => Err(Trouble::Unanswered(why)),
                });
            }
        };
        let mut asked = None;
        self.tried(|| {
            let read = etcd.read(&self.group, id)?;
            let stored = read.stored.as_ref().ok_or_else(|| Trouble::Refused(self.no_semaphore()))?;
            let Some(new) = stored.release(id) else {
                // A transaction of ours may have been applied without an answer.
                return Ok(Some(asked.take().map_or(Released::NotHeld, Released::Freed)));
            };
            let found = asked.get_or_insert_with(|| Box::new(Holder::of(id, stored.note.as_ref(), true))).clone();
            Ok(etcd.write(&self.group, id, &read, &new)?.then_some(Released::Freed(found)))
        })
    }

    /// Sets how many slots this fleet's group has, and makes the group if it is new. A gateway that has a slot keeps it.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a FleetLock server, whose budget is in its own settings; [`Failure::Fleet`] if etcd can't be
    /// reached, or what lies there is no semaphore.
    pub fn set_slots(&self, total_slots: NonZeroU32) -> Result<SetSlots, Failure> {
        let etcd = self.etcd("sets how many slots there are")?;
        let mut before = None;
        self.tried(|| {
            let read: Read = etcd.read(&self.group, "")?;
            let semaphore = read.stored.as_ref().map(|stored| &stored.semaphore);
            let new = semaphore.map_or_else(|| Semaphore::new(total_slots), |there| there.with_slots(total_slots));
            let found = semaphore.map(Semaphore::total_slots);
            let changed = SetSlots { before: *before.get_or_insert(found), taken: new.holders().len() };
            if semaphore == Some(&new) || etcd.write_semaphore(&self.group, &read, &new)? {
                return Ok(Some(changed));
            }
            Ok(None)
        })
    }

    fn etcd(&self, what: &str) -> Result<&Etcd, Failure> {
        match &self.engine {
            Engine::Etcd(etcd) => Ok(etcd),
            Engine::FleetLock(_) => {
                let why = format!(
                    "the FleetLock protocol has no word that {what}: ask the server's own tools, or name etcd (etcd://HOST)"
                );
                Err(Failure::Usage(why))
            }
        }
    }

    /// Tries a change until it is made or there is no more patience.
    fn tried<T>(&self, mut step: impl FnMut() -> Result<Option<T>, Trouble>) -> Result<T, Failure> {
        let began = Instant::now();
        loop {
            let why = match step() {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => "others change the slots faster than this can".to_owned(),
                Err(Trouble::Unanswered(why)) => why,
                Err(Trouble::Refused(failure)) => return Err(failure),
            };
            if began.elapsed() >= self.patience {
                return Err(Failure::Fleet(why));
            }
            Interrupt::new().pause(Duration::from_millis(50));
        }
    }
}

impl Holder {
    fn of(id: &str, note: Option<&Note>, ask: bool) -> Self {
        let gateway = note.and_then(|note| note.gateway.clone()).or_else(|| Whereabouts::in_id(id));
        let gateway = gateway.as_ref().and_then(Whereabouts::gateway).filter(|_| ask);
        let (running, detail) = match gateway {
            None => (None, Some("it can't be asked from here".to_owned())),
            Some(mut gateway) => {
                gateway.be_patient_for(PATIENCE);
                let why = unready(&gateway.once());
                (Some(why.is_none()), why)
            }
        };
        let controller = |taker: &Taker| {
            let gone = if taker.is_dead() { " (it has ended)" } else { "" };
            format!("{}{gone}", taker.in_words())
        };
        Self {
            id: id.to_owned(),
            since: note.map(|note| note.since.clone()).filter(|since| !since.is_empty()),
            controllers: note.map(|note| note.takers.iter().map(controller).collect()).unwrap_or_default(),
            kept: note.and_then(|note| note.kept.clone()),
            running,
            detail,
        }
    }
}
