//! A budget of a fleet, with an etcd of a few lines in memory: what is stored, what each end of a slot leaves, and what a lost
//! answer comes to. The real etcd is `tests/external`'s.

#![cfg(feature = "fleet")]

use crate::support::etcd::{Asked, Between, Way, answer, semaphore_key};
use crate::support::etcd_in_memory::{Keys, Shared, changes, lost, serve};
#[cfg(feature = "axum")]
use crate::support::http_server::{PEOPLE, Server};
use crate::support::local_gateway::{Place, id};
use gateway_drain::client::{Failure, Gateway, Interrupt};
use gateway_drain::fleet::{Ended, Fleet, Left, Released, Roll, Slot};
use gateway_drain::reconciler::Options;
use gateway_drain::{Reconciler, Request};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GROUP: &str = "web";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A gateway in this process, an etcd, and a group with one slot.
struct Scene {
    place: Place,
    gateway: Option<Reconciler>,
    keys: Shared,
    etcd: Between,
    fleet: Fleet,
}

impl Scene {
    fn start() -> Self {
        let place = Place::new();
        let (gateway, keys) = (Some(start(&place)), Shared::default());
        keys.lock().unwrap().put(&semaphore_key(GROUP), r#"{"total_slots": 1, "holders": []}"#);
        let etcd = serve(&keys, |_, _| None);
        let fleet = Fleet::at(&etcd.url(), GROUP).unwrap().patience(LONG);
        Self { place, gateway, keys, etcd, fleet }
    }

    fn roll<'f>(&self, fleet: &'f Fleet) -> Roll<'f> {
        Roll::of(fleet, Gateway::at(self.place.home().clone())).id("gw-1").unwrap()
    }

    fn take(&self) -> Slot<'_> {
        self.roll(&self.fleet).take().expect("the slot is free")
    }

    fn fleet_url(&self) -> String {
        self.etcd.url()
    }

    fn holders(&self) -> Vec<String> {
        self.keys.lock().unwrap().holders(GROUP)
    }

    fn note(&self) -> Option<Value> {
        self.keys.lock().unwrap().get(&note_key("gw-1"))
    }
}

/// One with a clock that runs: who asks it sees how old its word is.
fn start(place: &Place) -> Reconciler {
    Reconciler::start(place.home().clone(), Options { events: false, ..Options::default() }).unwrap()
}

/// As `docs/fleet.md` has it.
fn note_key(id: &str) -> String {
    format!("gateway-drain/groups/{GROUP}/slots/{id}")
}

fn slots(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

#[track_caller]
fn kept(ended: Result<Ended, Failure>, says: &str) {
    match ended {
        Err(Failure::SlotKept(why)) => assert!(why.contains(says), "{why}"),
        other => panic!("it was to be kept ({says}): {other:?}"),
    }
}

#[test]
fn a_budget_lies_where_airlock_keeps_it_and_is_written_only_if_it_changes() {
    let scene = Scene::start();
    let fleet = Fleet::at(&scene.fleet_url(), "new").unwrap();
    let set = |n: u32| fleet.set_slots(slots(n)).unwrap();
    let version = || scene.keys.lock().unwrap().version("com.coreos.airlock/groups/new/v1/semaphore");
    assert_eq!((set(2).before, version()), (None, 1));
    assert_eq!((set(2).before, version()), (Some(2), 1), "it is so already");
    assert_eq!((set(3).before, version()), (Some(2), 2));
    let stored = scene.keys.lock().unwrap().get("com.coreos.airlock/groups/new/v1/semaphore");
    assert_eq!(stored, Some(json!({"total_slots": 3, "holders": []})));
    let slot = scene.take();
    assert_eq!((scene.holders(), scene.fleet.set_slots(slots(5)).unwrap().taken), (vec!["gw-1".to_owned()], 1));
    let names = |only| scene.fleet.groups(only).unwrap().into_iter().map(|group| group.group).collect::<Vec<_>>();
    assert_eq!(
        (names(None), names(Some("new")), names(Some("none"))),
        (vec!["new".into(), "web".into()], vec!["new".into()], vec![])
    );
    assert_eq!(slot.acted(), Ok(Ended::GivenBack));
}

#[test]
fn every_group_and_every_note_is_shown_however_many_there_are_and_only_so_many_gateways_are_asked() {
    let scene = Scene::start();
    let home = scene.place.home().path().to_str().unwrap().to_owned();
    let holders: Vec<String> = (0..40).map(|n| format!("gw-{n:02}")).collect();
    {
        let mut keys = scene.keys.lock().unwrap();
        for n in 0..20 {
            keys.put(&semaphore_key(&format!("g{n:02}")), r#"{"total_slots": 7, "holders": []}"#);
        }
        // Somebody else's keys around them.
        for foreign in
            ["com.coreos.airlock/groups/", "com.coreos.airlock/groups/a/b/v1/semaphore", "com.coreos.airlock/groups0"]
        {
            keys.put(foreign, "{}");
        }
        keys.put(&semaphore_key(GROUP), json!({"total_slots": 40, "holders": holders}).to_string());
        for id in &holders {
            let taker = json!({"nonce": "a", "machine": format!("of-{id}")});
            keys.put(&note_key(id), json!({"takers": [taker], "gateway": {"home": home}}).to_string());
        }
        keys.put(&note_key("gw-39"), "no note");
    }
    let groups = scene.fleet.groups(None).unwrap();
    assert_eq!(groups.len(), 21);
    assert!(groups.iter().all(|group| group.problem.is_none()), "{groups:?}");
    assert_eq!(groups[19].total_slots, Some(7));
    let web = groups.into_iter().find(|group| group.group == GROUP).expect("the group");
    assert_eq!((web.total_slots, web.holders.len()), (Some(40), 40));
    for (n, holder) in web.holders.iter().enumerate() {
        assert_eq!((&holder.id, holder.running), (&holders[n], (n < 32).then_some(true)), "{holder:?}");
        let controllers = if n < 39 { vec![format!("process unknown on of-{}", holder.id)] } else { vec![] };
        assert_eq!((&holder.controllers, &holder.since), (&controllers, &None), "{holder:?}");
    }
}

#[test]
fn a_slot_is_the_gateways_until_it_runs_again_and_says_who_took_it_and_since_when() {
    let scene = Scene::start();
    let before = jiff::Timestamp::now().as_second();
    assert_eq!(scene.roll(&scene.fleet).gateway_id(), "gw-1");
    let slot = scene.take();
    assert_eq!(slot.gateway_id(), "gw-1");
    let line = format!("gateway-drain fleet --fleet-lock {} --fleet-group web release gw-1", scene.fleet_url());
    assert_eq!(slot.release_line(), line);
    assert_eq!(scene.holders(), ["gw-1"]);
    let note = scene.note().expect("a note");
    let since: jiff::Timestamp = note["since"].as_str().unwrap().parse().unwrap();
    assert!((before..=jiff::Timestamp::now().as_second()).contains(&since.as_second()), "{note}");
    let holder = scene.fleet.groups(Some(GROUP)).unwrap().remove(0).holders.remove(0);
    assert_eq!((holder.running, holder.detail, holder.since.as_deref()), (Some(true), None, note["since"].as_str()));
    let process = format!("process {} on ", std::process::id());
    assert!(holder.controllers[0].starts_with(&process), "{:?}", holder.controllers);
    // Another controller of the same gateway waits, since this one lives; and so does another gateway.
    for (id, says) in [
        ("gw-1", &*format!("another controller rolls this gateway: {process}")),
        ("gw-2", "1 of 1 slots taken by gw-1"),
    ] {
        let other = scene.roll(&scene.fleet).id(id).unwrap().timeout(Duration::ZERO).take();
        assert!(matches!(&other, Err(Failure::NoSlot(why)) if why.contains(says)), "{says}: {other:?}");
    }
    assert_eq!(slot.acted(), Ok(Ended::GivenBack));
    assert_eq!((scene.holders().len(), scene.note()), (0, None));
    // A note that outlived its slot is in nobody's way, although its controller lives.
    scene.keys.lock().unwrap().put(&note_key("gw-1"), note.to_string());
    let again = scene.roll(&scene.fleet).timeout(Duration::ZERO).take().expect("the slot is free");
    assert_eq!(again.not_acted(), Ok(Ended::GivenBack));
}

#[test]
fn a_slot_that_is_kept_says_why_until_it_is_given_back_by_hand() {
    let scene = Scene::start();
    let why = scene.take().keep("exit 1").to_string();
    assert!(why.contains("exit 1\n") && why.ends_with("--fleet-group web release gw-1"), "{why}");
    let held = scene.fleet.groups(Some(GROUP)).unwrap().remove(0).holders.remove(0);
    assert_eq!((held.kept.as_deref(), held.controllers.len()), (Some("exit 1"), 0));
    let slot = scene.take();
    let Ok(Released::Freed(freed)) = scene.fleet.release("gw-1") else { panic!("it was taken") };
    assert_eq!((freed.id.as_str(), scene.holders().len(), scene.note()), ("gw-1", 0, None));
    assert_eq!(scene.fleet.release("gw-1"), Ok(Released::NotHeld));
    assert_eq!(slot.acted(), Ok(Ended::Gone));
}

#[test]
fn a_slot_is_kept_while_the_gateway_does_not_say_that_it_runs_and_is_ready() {
    let mut scene = Scene::start();
    let ended = |scene: &Scene| scene.roll(&scene.fleet).ready_within(Duration::ZERO).take().unwrap().acted();
    let soon = Request::begin(id("soon"), "ann").unready_delay(Duration::from_secs(10));
    let gateway = scene.gateway.take().unwrap();
    let _ = scene.place.ask(&gateway, &soon);
    kept(ended(&scene), "a hold is about to close its gate");
    let _ = scene.place.ask(&gateway, &Request::begin(id("now"), "ann"));
    kept(ended(&scene), "its state is external_drain");
    for name in ["soon", "now"] {
        let _ = scene.place.ask(&gateway, &Request::withdraw(id(name), "ann"));
    }
    // Somebody who interrupts the wait doesn't wait for it, and one without patience either.
    drop(gateway);
    let slot_of = |interrupt: &Interrupt| scene.roll(&scene.fleet).interrupt(interrupt.clone());
    let interrupt = Interrupt::new();
    interrupt.raise();
    assert_eq!(slot_of(&interrupt).take().map(drop), Err(Failure::Interrupted), "no gateway lives yet");
    let gateway = start(&scene.place);
    let interrupt = Interrupt::new();
    let slot = slot_of(&interrupt).take().expect("the controller that came back for it has the slot");
    drop(gateway);
    interrupt.raise();
    kept(slot.acted(), "interrupted before it was seen running and ready");
    // What is refused has closed nothing, whether the gateway runs or not.
    let gateway = start(&scene.place);
    let slot = scene.take();
    drop(gateway);
    assert_eq!(slot.not_begun(&Failure::Denied("taken".into())), Ok(Ended::Left(Left::AsFound)));
    let impatient = Fleet::at(&scene.fleet_url(), GROUP).unwrap().patience(Duration::ZERO);
    let nobody = scene.roll(&impatient).take();
    assert!(matches!(nobody, Err(Failure::Unreachable(_))), "{nobody:?}");
    let _gateway = start(&scene.place);
    assert_eq!(scene.take().acted(), Ok(Ended::GivenBack));
    let silent = Failure::Unreachable("silence".into());
    assert_eq!(scene.take().not_begun(&silent), Ok(Ended::GivenBack), "no hold can come late to a home");
}

#[test]
fn a_slot_whose_note_can_not_be_read_is_left_to_the_program_that_wrote_it() {
    let scene = Scene::start();
    {
        let mut keys = scene.keys.lock().unwrap();
        keys.put(&semaphore_key(GROUP), r#"{"total_slots": 1, "holders": ["gw-1"]}"#);
        keys.put(&note_key("gw-1"), "no note");
    }
    assert_eq!(scene.take().acted(), Ok(Ended::Left(Left::ToAnotherProgram)));
    assert_eq!(scene.holders(), ["gw-1"]);
}

/// The gateway may close yet, by a request that is still on its way.
#[test]
#[cfg(feature = "axum")]
fn a_hold_that_was_asked_for_over_http_and_not_answered_keeps_the_slot_though_the_gateway_runs() {
    let scene = Scene::start();
    let endpoint = gateway_drain::http::Endpoint::of_home(scene.place.home().clone());
    let server = Server::of(endpoint.verifier(PEOPLE));
    let url = format!("http://{}", server.address);
    let gateway = Gateway::over_http(&url, Some("token-a".into())).unwrap();
    let roll = Roll::of(&scene.fleet, gateway).id("gw-1").unwrap();
    let silent = Failure::Unreachable("silence".into());
    kept(roll.take().unwrap().not_begun(&silent), "may close yet");
    kept(roll.take().unwrap().not_begun(&Failure::Interrupted), "may close yet");
    assert_eq!(roll.take().unwrap().acted(), Ok(Ended::GivenBack), "it runs and is ready");
}

/// A fleet whose changes become what `rule` makes of them, the first of which is number 0.
fn changed_by(
    scene: &Scene,
    mut rule: impl FnMut(usize, &Asked, &mut Keys) -> Option<Way> + Send + 'static,
) -> (Between, Fleet) {
    let mut n = 0;
    let etcd = serve(&scene.keys, move |asked, keys| {
        if !changes(asked) {
            return None;
        }
        n += 1;
        rule(n - 1, asked, keys)
    });
    let fleet = Fleet::at(&etcd.url(), GROUP).unwrap().patience(LONG);
    (etcd, fleet)
}

#[test]
fn a_change_whose_answer_is_lost_is_known_again_by_what_is_stored() {
    let scene = Scene::start();
    let (_etcd, fleet) = changed_by(&scene, |n, asked, keys| {
        // The first to take, and the first to end.
        (n < 2).then(|| drop(keys.answer(asked))).and_then(|()| lost())
    });
    let slot = scene.roll(&fleet).take().expect("the slot is this controller's");
    assert_eq!(scene.holders(), ["gw-1"]);
    assert_eq!(slot.acted(), Ok(Ended::GivenBack), "nobody else gave it back");
    assert_eq!(scene.holders().len(), 0);
    // The same by hand.
    let _ = scene.take().keep("exit 1");
    let (_etcd, fleet) =
        changed_by(&scene, |n, asked, keys| (n < 1).then(|| drop(keys.answer(asked))).and_then(|()| lost()));
    assert!(matches!(fleet.release("gw-1"), Ok(Released::Freed(_))));
}

#[test]
fn a_change_that_meets_another_is_decided_once_more() {
    let scene = Scene::start();
    let meets = |n: usize, keys: &mut Keys| {
        if n == 0 {
            let value = keys.get(&semaphore_key(GROUP)).unwrap();
            keys.put(&semaphore_key(GROUP), value.to_string());
        }
        None
    };
    let fleet = || changed_by(&scene, move |n, _, keys| meets(n, keys));
    let (_etcd, taking) = fleet();
    let slot = scene.roll(&taking).take().expect("the second try takes it");
    drop(slot);
    let (_etcd, releasing) = fleet();
    assert!(matches!(releasing.release("gw-1"), Ok(Released::Freed(_))));
    let (_etcd, setting) = fleet();
    assert_eq!(setting.set_slots(slots(4)).unwrap().before, Some(1));
    assert_eq!((scene.holders().len(), scene.fleet.groups(Some(GROUP)).unwrap()[0].total_slots), (0, Some(4)));
}

#[test]
fn who_gives_up_leaves_no_slot_behind_that_it_may_have_taken() {
    for applied in [true, false] {
        let scene = Scene::start();
        let written = Arc::new(Mutex::new(0));
        let count = Arc::clone(&written);
        let (_etcd, fleet) = changed_by(&scene, move |n, asked, keys| {
            *count.lock().unwrap() = n + 1;
            (n == 0).then(|| applied.then(|| drop(keys.answer(asked)))).and_then(|_| lost())
        });
        let interrupt = Interrupt::new();
        let raise = interrupt.clone();
        let roll = scene.roll(&fleet).interrupt(interrupt).on_waiting(move |_| raise.raise());
        assert_eq!(roll.take().map(drop), Err(Failure::Interrupted));
        assert_eq!((scene.holders().len(), scene.note()), (0, None));
        // Also where nothing is there: a change that comes late finds another revision then.
        assert_eq!(*written.lock().unwrap(), 2);
    }
}

#[test]
fn a_fleet_without_patience_says_what_was_not_answered_and_one_that_refuses_is_not_asked_again() {
    let scene = Scene::start();
    let slot = scene.take();
    let silent = serve(&scene.keys, |_, _| lost());
    let refusing = serve(&scene.keys, |_, _| {
        let body = r#"{"error": "etcdserver: permission denied", "code": 7}"#;
        Some(Way::Answer(answer(403, "application/json", body)))
    });
    for (url, patience, says) in [
        (silent.url(), Duration::ZERO, silent.host.as_str()),
        (refusing.url(), LONG, "refuses: etcdserver: permission denied"),
    ] {
        let fleet = Fleet::at(&url, GROUP).unwrap().patience(patience);
        let tried =
            [scene.roll(&fleet).take().map(drop), fleet.release("gw-1").map(drop), fleet.groups(None).map(drop)];
        for tried in tried {
            assert!(matches!(&tried, Err(Failure::Fleet(why)) if why.contains(says)), "{says}: {tried:?}");
        }
    }
    assert_eq!(slot.acted(), Ok(Ended::GivenBack));
    // It is lost after the slot was taken.
    let (_etcd, mut fleet) = changed_by(&scene, |n, _, _| if n > 0 { lost() } else { None });
    fleet = fleet.patience(Duration::ZERO);
    kept(scene.roll(&fleet).take().unwrap().acted(), "it could not be given back");
    assert_eq!(scene.holders(), ["gw-1"]);
}

#[test]
fn the_endpoint_that_did_not_answer_a_change_is_not_the_first_to_be_asked_next() {
    let scene = Scene::start();
    let mut silent = false;
    let first = serve(&scene.keys, move |asked, _| {
        assert!(!silent, "asked again: {}", asked.body);
        silent = changes(asked);
        if silent { lost() } else { None }
    });
    let second = serve(&scene.keys, |_, _| None);
    let fleet = Fleet::at(&format!("etcd://{},{}", first.host, second.host), GROUP).unwrap().patience(LONG);
    let slot = scene.roll(&fleet).take().expect("the second answers");
    assert_eq!(slot.acted(), Ok(Ended::GivenBack));
}

#[test]
fn a_fleet_lock_server_that_did_not_answer_is_told_that_no_slot_is_needed() {
    let scene = Scene::start();
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&asked_for);
    let server = Between::start("", move |asked| {
        let path = asked.head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = if path.ends_with("pre-reboot") { Vec::new() } else { answer(200, "text/plain", "") };
        paths.lock().unwrap().push(path);
        Way::Answer(answer)
    });
    let fleet = Fleet::at(&format!("http://{}", server.host), GROUP).unwrap().patience(LONG);
    let interrupt = Interrupt::new();
    let raise = interrupt.clone();
    let roll = scene.roll(&fleet).interrupt(interrupt).on_waiting(move |_| raise.raise());
    assert_eq!(roll.take().map(drop), Err(Failure::Interrupted));
    assert_eq!(*asked_for.lock().unwrap(), ["/v1/pre-reboot", "/v1/steady-state"]);
}
