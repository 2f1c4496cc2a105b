//! The drain endpoint over a real socket: in the gateway's process, and over the home alone as a dashboard has it.

#![cfg(feature = "axum")]

use crate::support::http_server::{Answer, Gateway, PEOPLE, PLACES, Place, Server, bearer};
use gateway_drain::control::{Epoch, Found};
use gateway_drain::{Channel, DrainState, Request, RequestId};
use serde_json::{Value, json};
use std::time::Duration;

fn both(test: impl Fn(Place, &Gateway, &Server)) {
    for place in PLACES {
        let gateway = Gateway::start();
        let server = Server::of(gateway.endpoint(place).verifier(PEOPLE));
        test(place, &gateway, &server);
    }
}

fn waiting(seconds: u32, token: &str) -> Vec<(String, String)> {
    [bearer(token), vec![("prefer".into(), format!("wait={seconds}"))]].concat()
}

fn begin(server: &Server, token: &str, id: &str) -> Answer {
    let begun = server.drain(token, &json!({"action": "drain", "request_id": id}).to_string());
    assert_eq!(begun.code, 200, "{}", begun.body);
    begun
}

fn commit(server: &Server, token: &str, id: &str) -> Answer {
    let gateway = server.hold(token, id).json()["gateway"].clone();
    let body = json!({
        "action": "commit",
        "request_id": id,
        "incarnation": gateway["incarnation"],
        "generation": gateway["generation"],
    });
    server.drain(token, &body.to_string())
}

fn file_of(gateway: &Gateway, id: &str) -> Vec<u8> {
    let id = RequestId::new(id).expect("an id");
    std::fs::read(gateway.home().request_path(&id)).unwrap_or_default()
}

#[test]
fn without_a_request_id_the_answers_are_the_references_byte_for_byte() {
    both(|place, gateway, server| {
        let begun = server.drain("token-a", r#"{"action": "drain"}"#);
        let marker: Value = serde_json::from_slice(&std::fs::read(gateway.home().marker()).unwrap()).unwrap();
        let at = marker["requested_at"].as_str().unwrap();
        let expected = format!(
            r#"{{"ok":true,"action":"drain","requested_at":"{at}","draining":true,"suppress_notification":false}}"#
        );
        assert_eq!((begun.code, begun.body), (200, expected), "{place:?}");
        assert_eq!(gateway.reconciler.controller().state(), DrainState::ExternalDraining);

        let cancelled = server.drain("token-a", r#"{"action":"cancel"}"#);
        assert_eq!(cancelled.body, r#"{"ok":true,"action":"cancel","was_draining":true}"#);
        let again = server.drain("token-a", r#"{"action":"cancel"}"#);
        assert_eq!((again.code, &*again.body), (200, r#"{"ok":true,"action":"cancel","was_draining":false}"#));
        assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
    });
}

#[test]
fn an_empty_body_begins_and_only_an_explicit_true_suppresses_notification() {
    both(|_, gateway, server| {
        assert_eq!(server.drain("token-a", "").json()["draining"], true);
        for (given, taken) in [("true", true), ("\"true\"", false), ("1", false), ("null", false)] {
            let body = format!(r#"{{"action":"drain","suppress_notification":{given}}}"#);
            assert_eq!(server.drain("token-a", &body).json()["suppress_notification"], taken, "{given}");
            assert_eq!(gateway.reconciler.controller().suppresses_notification(), taken, "{given}");
        }
    });
}

#[test]
fn a_marker_put_there_by_hand_can_be_taken_over_and_cancelled() {
    both(|place, gateway, server| {
        std::fs::write(gateway.home().marker(), "").unwrap();
        gateway.until(|status| status.drain.holds.len() == 1);
        assert_eq!(server.drain("token-a", "").json()["draining"], true, "{place:?}");
        assert_eq!(server.hold("token-a", "marker").json()["owner"], "alice");
        assert_eq!(server.drain("token-a", r#"{"action":"cancel"}"#).json()["was_draining"], true);
        std::fs::write(gateway.home().marker(), "").unwrap();
        gateway.until(|status| status.drain.holds.len() == 1);
        assert_eq!(server.drain("token-b", r#"{"action":"cancel"}"#).json()["was_draining"], true);
        assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
    });
}

#[test]
fn a_hold_of_its_own_is_begun_committed_and_cancelled_with_its_token() {
    both(|place, gateway, server| {
        let turn = gateway.reconciler.gate().admit().unwrap().into_owned().labelled("turn", "session 7");
        let begun = begin(server, "token-a", "upgrade").json();
        let holding =
            json!([begun["outcome"], begun["owner"], begun["gateway"]["drained"], begun["gateway"]["in_flight"]]);
        assert_eq!(holding, json!(["held", "alice", false, 1]), "{place:?}");
        gateway.until(|status| !status.drain.active_work.is_empty());
        assert_eq!(server.hold("token-r", "upgrade").json()["gateway"]["active_work"][0]["label"], "session 7");
        assert_eq!(commit(server, "token-a", "upgrade").error(), (409, "not_drained".into()));

        drop(turn);
        gateway.until(|status| status.drain.drained);
        let committed = commit(server, "token-a", "upgrade");
        assert_eq!((committed.code, &committed.json()["outcome"]), (200, &json!("committed")), "{}", committed.body);
        let token = committed.json()["nonce"].clone();

        let read = server.hold("token-r", "upgrade").json();
        assert_eq!(
            (&read["committed"], &read["nonce"]),
            (&json!(true), &Value::Null),
            "a reader isn't given the token"
        );

        let cancel = |token: &Value| {
            server.drain("token-a", &json!({"action": "cancel", "request_id": "upgrade", "token": token}).to_string())
        };
        let lying = file_of(gateway, "upgrade");
        assert_eq!(cancel(&Value::Null).error(), (409, "committed".into()));
        assert_eq!(cancel(&json!("another")).error(), (409, "committed".into()));
        assert_eq!(file_of(gateway, "upgrade"), lying, "what is refused isn't written");
        let cancelled = cancel(&token);
        assert_eq!((cancelled.code, &cancelled.json()["outcome"]), (200, &json!("withdrawn")), "{}", cancelled.body);
        assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
        assert_eq!(file_of(gateway, "upgrade"), b"", "nothing is left lying");
        assert_eq!(server.hold("token-a", "upgrade").error(), (404, "not_held".into()));
    });
}

#[test]
fn a_commit_that_names_its_token_can_be_asked_for_again_and_a_nonce_that_can_be_guessed_is_refused() {
    both(|place, gateway, server| {
        let begun = begin(server, "token-a", "upgrade").json();
        gateway.until(|status| status.drain.drained);
        let commit = |nonce: &str| {
            let (incarnation, generation) = (&begun["gateway"]["incarnation"], &begun["gateway"]["generation"]);
            let body = json!({"action": "commit", "request_id": "upgrade", "nonce": nonce, "incarnation": incarnation, "generation": generation});
            server.drain("token-a", &body.to_string())
        };
        assert_eq!(commit("short").error(), (400, "bad_request".into()), "{place:?}");
        let token = "a-name-of-thirty-two-characters.";
        for _ in 0..2 {
            let committed = commit(token);
            assert_eq!(
                (committed.code, &committed.json()["nonce"]),
                (200, &json!(token)),
                "{place:?} {}",
                committed.body
            );
        }
    });
}

#[test]
fn a_renewal_that_names_no_lease_keeps_the_one_that_the_hold_was_begun_with() {
    both(|place, _, server| {
        server.drain("token-a", &json!({"action": "drain", "request_id": "upgrade", "lease_seconds": 60}).to_string());
        let renewed = server.drain("token-a", &json!({"action": "renew", "request_id": "upgrade"}).to_string()).json();
        let left = renewed["lease_left_seconds"].as_f64().unwrap();
        assert!((30.0..=60.0).contains(&left), "{place:?}: {renewed}");
    });
}

#[test]
fn somebody_elses_hold_can_be_read_and_neither_cancelled_renewed_committed_nor_overwritten() {
    both(|place, gateway, server| {
        begin(server, "token-a", "upgrade");
        server.drain("token-a", "");
        let lying = (file_of(gateway, "upgrade"), std::fs::read(gateway.home().marker()).unwrap());
        for action in ["drain", "renew", "cancel"] {
            let body = json!({"action": action, "request_id": "upgrade"}).to_string();
            assert_eq!(server.drain("token-b", &body).error(), (403, "not_yours".into()), "{place:?} {action}");
            let body = json!({"action": action}).to_string();
            assert_eq!(server.drain("token-b", &body).error(), (403, "not_yours".into()), "{place:?} marker {action}");
        }
        assert_eq!(commit(server, "token-b", "upgrade").error(), (403, "not_yours".into()));
        let still = (file_of(gateway, "upgrade"), std::fs::read(gateway.home().marker()).unwrap());
        assert_eq!(still, lying, "nothing was written over them");
        assert_eq!(gateway.reconciler.controller().holds().len(), 2);
    });
}

#[test]
fn a_begin_that_the_gateway_has_not_seen_yet_is_not_overwritten_by_somebody_else() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Dashboard).verifier(PEOPLE));
    let home = gateway.home();
    let Gateway { reconciler, folder, .. } = gateway;
    drop(reconciler);

    let (one, other) = (json!({"action": "drain", "request_id": "upgrade"}), json!({"action": "drain"}));
    assert_eq!(server.drain("token-a", &one.to_string()).code, 202);
    assert_eq!(server.drain("token-a", &other.to_string()).code, 202);
    assert_eq!(server.drain("token-b", &one.to_string()).error(), (403, "not_yours".into()));
    assert_eq!(server.drain("token-b", &other.to_string()).error(), (403, "not_yours".into()));
    let id = RequestId::new("upgrade").unwrap();
    let Found::Valid(lying) = Channel::new(home).find(&id) else { panic!("the hold's file is gone") };
    assert_eq!(lying.owner, "alice");
    drop(folder);
}

#[test]
fn one_controllers_cancel_never_frees_anothers_drain() {
    both(|place, gateway, server| {
        begin(server, "token-a", "one");
        begin(server, "token-b", "two");
        server.drain("token-a", &json!({"action": "cancel", "request_id": "one"}).to_string());
        assert_eq!(gateway.reconciler.controller().state(), DrainState::ExternalDraining, "{place:?}");
        server.drain("token-b", &json!({"action": "cancel", "request_id": "two"}).to_string());
        assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
    });
}

#[test]
fn after_a_commit_neither_anothers_cancel_nor_its_own_lease_reopens_the_gate() {
    both(|place, gateway, server| {
        begin(server, "token-a", "upgrade");
        gateway.until(|status| status.drain.drained);
        assert_eq!(commit(server, "token-a", "upgrade").code, 200);
        let cancel = json!({"action": "cancel", "request_id": "upgrade"}).to_string();
        assert_eq!(server.drain("token-b", &cancel).error(), (403, "not_yours".into()));
        gateway.clock.advance(Duration::from_secs(100_000));
        gateway.reconciler.controller().settle();
        assert!(gateway.reconciler.gate().admit().is_err(), "{place:?}: the gate reopened under a commit");
        assert_eq!(server.hold("token-a", "upgrade").json()["outcome"], "committed");
    });
}

#[test]
fn an_override_needs_its_own_scope_and_ends_even_a_committed_hold() {
    both(|place, gateway, server| {
        begin(server, "token-a", "upgrade");
        gateway.until(|status| status.drain.drained);
        assert_eq!(commit(server, "token-a", "upgrade").code, 200);
        let body = json!({"action": "override", "request_id": "upgrade"}).to_string();
        assert_eq!(server.drain("token-b", &body).error(), (403, "forbidden".into()));
        let overridden = server.drain("token-o", &body);
        assert_eq!(overridden.json()["outcome"], "overridden", "{place:?}: {}", overridden.body);
        assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);

        server.drain("token-a", "");
        assert_eq!(server.drain("token-o", r#"{"action":"override"}"#).json()["was_draining"], true);
        assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
        assert_eq!(server.drain("token-o", r#"{"action":"override"}"#).error(), (404, "not_held".into()));
    });
}

#[test]
fn a_cancel_by_the_owner_and_an_override_end_what_somebody_else_wrote_over_whether_or_not_that_still_lies_there() {
    both(|place, gateway, server| {
        let mut tried = 0;
        for id in ["upgrade", "marker"] {
            let file = if id == "marker" {
                gateway.home().marker()
            } else {
                gateway.home().request_path(&RequestId::new(id).unwrap())
            };
            let body = |action: &str| match id {
                "marker" => json!({ "action": action }).to_string(),
                id => json!({"action": action, "request_id": id}).to_string(),
            };
            let bob_s = br#"{"action":"drain","principal":"bob","nonce":"0123456789abcdef-bob"}"#;
            for (what, write) in [("bob's begin", &bob_s[..]), ("garbage", b"{"), ("a touch", b"")] {
                for (token, action) in [("token-a", "cancel"), ("token-o", "override")] {
                    for gone in [false, true] {
                        let told = (id, what, action, gone);
                        assert_eq!(server.drain("token-a", &body("drain")).code, 200, "{place:?} {told:?}");
                        std::fs::write(&file, write).unwrap();
                        gateway.until(|status| status.drain.ignored.iter().any(|ignored| ignored.request_id == id));
                        if gone {
                            std::fs::remove_file(&file).unwrap();
                            gateway.until(|status| status.drain.ignored.is_empty());
                        }
                        let ends_by_itself = gone && id == "marker";
                        assert_eq!(gateway.reconciler.gate().admit().is_ok(), ends_by_itself, "{place:?} {told:?}");
                        let ended = server.drain(token, &body(action));
                        let code = if ends_by_itself && action == "override" { 404 } else { 200 };
                        assert_eq!(ended.code, code, "{place:?} {told:?}: {}", ended.body);
                        assert!(gateway.reconciler.gate().admit().is_ok(), "{place:?} {told:?}: the hold stays");
                        assert!(!file.exists(), "{place:?} {told:?}: something was left there");
                        tried += 1;
                    }
                }
            }
        }
        assert_eq!(tried, 2 * 3 * 2 * 2);
    });
}

#[test]
fn a_renewal_lengthens_a_lease_that_lasts_and_revives_none_that_has_run_out() {
    both(|place, gateway, server| {
        let renew = json!({"action": "renew", "request_id": "upgrade", "lease_seconds": 60}).to_string();
        assert_eq!(server.drain("token-a", &renew).error(), (404, "not_held".into()));
        let drain = json!({"action": "drain", "request_id": "upgrade", "lease_seconds": 30}).to_string();
        let lease_left = |answer: Answer| answer.json()["lease_left_seconds"].as_f64().unwrap().round();
        assert!((29.0..=30.0).contains(&lease_left(server.drain("token-a", &drain))), "less the age of the file");
        assert!((59.0..=60.0).contains(&lease_left(server.drain("token-a", &renew))));

        gateway.pass(Duration::from_secs(61), |status| status.drain.holds.is_empty());
        assert_eq!(server.hold("token-a", "upgrade").error(), (410, "lease_expired".into()), "{place:?}");
        assert_eq!(server.drain("token-a", &renew).error(), (410, "lease_expired".into()));
        assert_eq!(commit_seen(server, gateway).error(), (410, "lease_expired".into()));
        assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
        let cancel = json!({"action": "cancel", "request_id": "upgrade"}).to_string();
        assert_eq!(server.drain("token-a", &cancel).error(), (410, "lease_expired".into()));
        assert_eq!(file_of(gateway, "upgrade"), b"", "the cancel clears away what has run out");
    });
}

#[test]
fn a_renewal_that_the_gateway_reads_before_it_ends_the_lease_renews_the_hold() {
    let gateway = Gateway::start_idle();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    for attempt in 0..20 {
        let id = format!("upgrade-{attempt}");
        begin(&server, "token-a", &id);
        let generation = gateway.reconciler.snapshot().drain.generation;
        // The lease runs out, and the gateway has not looked since: it is closed all the while.
        gateway.clock.advance(Duration::from_secs(3601));
        let renew = json!({"action": "renew", "request_id": id}).to_string();
        let renewed = server.drain("token-a", &renew);
        if renewed.error() == (410, "lease_expired".into()) {
            // The endpoint had asked for one more look, which came in between and ended the lease, as it should.
            continue;
        }
        assert_eq!(renewed.json()["outcome"], "held", "{}", renewed.body);
        assert_eq!(gateway.reconciler.snapshot().drain.generation, generation, "no turn came in between");
        return;
    }
    panic!("the gateway looked in between each time");
}

#[test]
fn a_renewal_does_not_put_back_a_file_that_somebody_has_removed() {
    let gateway = Gateway::start_idle();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    begin(&server, "token-a", "upgrade");
    // The gateway has not looked since: its status still says held.
    std::fs::remove_file(gateway.home().request_path(&RequestId::new("upgrade").unwrap())).unwrap();
    let renew = json!({"action": "renew", "request_id": "upgrade"}).to_string();
    assert_eq!(server.drain("token-a", &renew).error(), (404, "not_held".into()));
    assert_eq!(file_of(&gateway, "upgrade"), b"", "the renewal undid the withdrawal");
    gateway.until(|status| status.drain.holds.is_empty());
}

#[test]
fn neither_a_renewal_nor_a_commit_is_written_over_what_somebody_has_ended_the_hold_by() {
    for ending in [Request::withdraw as fn(RequestId, &'static str) -> Request, Request::override_hold] {
        for action in ["renew", "commit"] {
            let gateway = Gateway::start_idle();
            let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
            let process = begin(&server, "token-a", "upgrade").json()["gateway"].clone();
            // The gateway has not looked since: its status still says held.
            let request = ending(RequestId::new("upgrade").unwrap(), "alice");
            Channel::new(gateway.home()).write(&request).unwrap();
            let written = file_of(&gateway, "upgrade");
            let mut body = json!({"action": action, "request_id": "upgrade"});
            if action == "commit" {
                (body["incarnation"], body["generation"]) =
                    (process["incarnation"].clone(), process["generation"].clone());
            }
            let answer = server.drain("token-a", &body.to_string()).error();
            assert_eq!(answer, (404, "not_held".into()), "{action} over {:?}", request.action);
            assert_eq!(file_of(&gateway, "upgrade"), written, "the {action} undid it: {:?}", request.action);
        }
    }
}

#[test]
fn what_an_earlier_boot_left_is_told_apart_from_nothing() {
    both(|place, gateway, server| {
        let id = RequestId::new("upgrade").unwrap();
        let earlier = Channel::of_epoch(gateway.home(), Epoch::from("another-boot:1".to_owned()));
        earlier.write(&Request::begin(id, "alice")).unwrap();
        gateway.until(|status| !status.drain.ignored.is_empty());
        assert_eq!(server.hold("token-a", "upgrade").error(), (412, "other_epoch".into()), "{place:?}");
        let renew = json!({"action": "renew", "request_id": "upgrade"}).to_string();
        assert_eq!(server.drain("token-a", &renew).error(), (412, "other_epoch".into()));
        begin(server, "token-b", "upgrade");
    });
}

#[test]
fn a_dashboard_in_another_epoch_than_its_gateway_says_so_and_writes_nothing() {
    let gateway = Gateway::start_idle();
    let server = Server::of(gateway.endpoint(Place::Dashboard).verifier(PEOPLE));
    let path = gateway.home().status();
    let status = std::fs::read_to_string(&path).unwrap();
    let epoch = Epoch::current();
    assert!(epoch.is_known(), "the epoch of this boot is not known");
    let drain = json!({"action": "drain", "request_id": "upgrade"}).to_string();
    let ask_in_another_epoch = || {
        std::fs::write(&path, status.replace(epoch.as_str(), "another-container:1")).unwrap();
        server.drain("token-a", &drain).error()
    };
    let mut answer = ask_in_another_epoch();
    // The gateway's first look after its start may put its own status back over this one. It looks once.
    if answer.0 == 202 {
        std::fs::remove_file(gateway.home().request_path(&RequestId::new("upgrade").unwrap())).unwrap();
        answer = ask_in_another_epoch();
    }
    assert_eq!(answer, (412, "other_epoch".into()));
    assert_eq!(file_of(&gateway, "upgrade"), b"");
    // To look, and to take a marker away, takes no epoch.
    assert_eq!(server.hold("token-a", "upgrade").error(), (404, "not_held".into()));
    std::fs::write(gateway.home().marker(), "").unwrap();
    server.drain("token-a", r#"{"action":"cancel"}"#);
    assert!(!gateway.home().marker().exists(), "the marker is there still");
}

#[test]
fn a_wait_whose_gateway_dies_is_never_answered_with_drained() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Dashboard).verifier(PEOPLE));
    let _turn = gateway.reconciler.gate().admit().unwrap().into_owned();
    begin(&server, "token-a", "upgrade");
    let Gateway { reconciler, folder, .. } = gateway;
    let ended = std::thread::scope(|threads| {
        let asking = threads.spawn(|| server.send("GET", "/api/gateway/drain/upgrade", &waiting(60, "token-r"), b""));
        drop(reconciler);
        asking.join().unwrap()
    });
    // It goes with a shutdown, whose last status may be seen yet.
    let told = ended.error();
    assert!([(503, "unavailable".into()), (409, "shutting_down".into())].contains(&told), "{told:?}");
    drop(folder);
}

fn commit_seen(server: &Server, gateway: &Gateway) -> Answer {
    let drain = gateway.reconciler.snapshot().drain;
    let body = json!({
        "action": "commit",
        "request_id": "upgrade",
        "incarnation": drain.incarnation,
        "generation": drain.generation,
    });
    server.drain("token-a", &body.to_string())
}

#[test]
fn what_is_meant_for_another_process_or_an_earlier_drain_is_refused() {
    both(|place, gateway, server| {
        let body = json!({"action": "drain", "request_id": "upgrade", "incarnation": "another"}).to_string();
        assert_eq!(server.drain("token-a", &body).error(), (412, "other_incarnation".into()), "{place:?}");
        assert_eq!(file_of(gateway, "upgrade"), b"");

        let first = begin(server, "token-a", "upgrade").json()["gateway"].clone();
        server.drain("token-a", &json!({"action": "cancel", "request_id": "upgrade"}).to_string());
        begin(server, "token-a", "upgrade");
        gateway.until(|status| status.drain.drained);
        let stale = json!({
            "action": "commit",
            "request_id": "upgrade",
            "incarnation": first["incarnation"],
            "generation": first["generation"],
        });
        assert_eq!(server.drain("token-a", &stale.to_string()).error(), (412, "other_generation".into()));
        assert_eq!(server.hold("token-a", "upgrade").json()["outcome"], "held");
    });
}

#[test]
fn a_shutdown_wins_over_every_request_and_a_cancel_still_clears_the_way_for_the_next_process() {
    both(|place, gateway, server| {
        let _turn = gateway.reconciler.gate().admit().unwrap().into_owned();
        begin(server, "token-a", "upgrade");
        server.drain("token-a", "");
        gateway.reconciler.controller().begin_shutdown(Duration::from_secs(3600)).unwrap();
        gateway.until(|status| status.drain.state == DrainState::ShutdownDraining);

        for body in [json!({"action": "drain"}), json!({"action": "drain", "request_id": "late"})] {
            assert_eq!(server.drain("token-a", &body.to_string()).error(), (409, "shutting_down".into()), "{place:?}");
        }
        assert_eq!(file_of(gateway, "late"), b"", "no request is left for the next process");
        assert_eq!(server.hold("token-a", "upgrade").error(), (409, "shutting_down".into()));

        let cancel = json!({"action": "cancel", "request_id": "upgrade"}).to_string();
        assert_eq!(server.drain("token-a", &cancel).json()["outcome"], "withdrawn");
        assert_eq!(server.drain("token-a", r#"{"action":"cancel"}"#).json()["was_draining"], true);
        assert_eq!(file_of(gateway, "upgrade"), b"");
        assert!(!gateway.home().marker().exists());
    });
}

#[test]
fn a_wait_for_drained_ends_when_the_last_turn_does() {
    both(|place, gateway, server| {
        let turn = gateway.reconciler.gate().admit().unwrap().into_owned();
        let body = json!({"action": "drain", "request_id": "upgrade"}).to_string();
        let answer = std::thread::scope(|threads| {
            let asking =
                threads.spawn(|| server.send("POST", "/api/gateway/drain", &waiting(60, "token-a"), body.as_bytes()));
            gateway.until(|status| status.drain.state == DrainState::ExternalDraining);
            assert!(!asking.is_finished(), "{place:?}: the answer came before the turn had ended");
            drop(turn);
            asking.join().unwrap()
        });
        let seen = json!([answer.code, answer.json()["gateway"]["drained"], answer.header("preference-applied")]);
        assert_eq!(seen, json!([200, true, "wait=60"]), "{place:?}");
    });
}

#[test]
fn a_wait_that_is_over_before_drained_says_so_and_one_whose_hold_ends_says_why() {
    both(|place, gateway, server| {
        let _turn = gateway.reconciler.gate().admit().unwrap().into_owned();
        begin(server, "token-a", "upgrade");
        let path = "/api/gateway/drain/upgrade";
        let short = server.send("GET", path, &waiting(1, "token-r"), b"");
        assert_eq!((short.code, &short.json()["gateway"]["drained"]), (200, &json!(false)), "{place:?}");

        let ended = std::thread::scope(|threads| {
            let asking = threads.spawn(|| server.send("GET", path, &waiting(60, "token-r"), b""));
            gateway.pass(Duration::from_secs(3601), |status| status.drain.holds.is_empty());
            asking.join().unwrap()
        });
        assert_eq!(ended.error(), (410, "lease_expired".into()), "{place:?}");
        let senseless = [bearer("token-r"), vec![("prefer".into(), "wait=soon".into())]].concat();
        assert_eq!(server.send("GET", path, &senseless, b"").code, 410, "a preference is no reason to refuse");
    });
}

#[test]
fn a_dead_gateway_is_never_reported_and_a_begin_is_kept_for_its_successor() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Dashboard).verifier(PEOPLE));
    begin(&server, "token-a", "upgrade");
    gateway.until(|status| status.drain.drained);
    let generation = server.hold("token-a", "upgrade").json()["gateway"].clone();
    let Gateway { reconciler, folder, .. } = gateway;
    drop(reconciler);

    assert_eq!(
        server.hold("token-a", "upgrade").error(),
        (503, "unavailable".into()),
        "its status file is still there"
    );
    let commit = json!({
        "action": "commit",
        "request_id": "upgrade",
        "incarnation": generation["incarnation"],
        "generation": generation["generation"],
    });
    let refused = server.drain("token-a", &commit.to_string());
    assert_eq!((refused.error(), refused.json()["written"].clone()), ((503, "unavailable".into()), json!(false)));
    let status = server.get("/api/status").json();
    assert_eq!(json!([status["gateway_running"], status["active_agents"], status["drain"]]), json!([false, 0, null]));
    assert_eq!(server.get("/readyz").code, 503);
    assert_eq!(server.get("/livez").code, 200);

    let begun = server.drain("token-a", "");
    assert_eq!((begun.code, &begun.json()["draining"]), (202, &json!(false)), "nobody has acknowledged it");
    let successor = Gateway::start_in(folder);
    assert_eq!(successor.reconciler.controller().state(), DrainState::ExternalDraining);
}

#[test]
fn a_home_that_vanishes_is_a_503_and_readiness_says_why() {
    both(|place, gateway, server| {
        // In one step: a gateway that publishes meanwhile would put a file into a folder that is being emptied.
        let away = tempfile::tempdir().unwrap();
        std::fs::rename(gateway.folder.path(), away.path().join("gone")).unwrap();
        let begun = server.drain("token-a", r#"{"action":"drain","request_id":"upgrade"}"#);
        assert_eq!(begun.error(), (503, "unavailable".into()), "{place:?}");
        assert!(begun.json()["detail"].as_str().unwrap().contains("home"), "{}", begun.body);
        crate::support::eventually::comes_true("readiness fails", || server.get("/readyz").code == 503);
        assert!(server.get("/readyz").body.contains("home"), "{}", server.get("/readyz").body);
        assert_eq!(server.get("/livez").code, 200);
    });
}

#[test]
fn the_public_status_has_the_references_fields_and_neither_owner_nor_reason() {
    both(|place, gateway, server| {
        let running = server.get("/api/status").json();
        assert_eq!(
            json!([running["gateway_running"], running["gateway_state"], running["gateway_drainable"]]),
            json!([true, "running", true]),
            "{place:?}"
        );
        let _turn = gateway.reconciler.gate().admit().unwrap().into_owned().labelled("turn", "private label");
        server.drain("token-a", r#"{"action":"drain","request_id":"upgrade","reason":"private reason"}"#);
        let answer = server.get("/api/status");
        let status = answer.json();
        assert_eq!(
            json!([status["gateway_state"], status["active_agents"], status["gateway_busy"], status["drain"]["holds"]]),
            json!(["draining", 1, false, 1])
        );
        for private in ["alice", "private", "upgrade"] {
            assert!(!answer.body.contains(private), "{place:?} tells everybody: {}", answer.body);
        }
    });
}

#[test]
fn a_restart_begins_the_shutdown_supersedes_the_drain_and_hands_on_the_suppression() {
    let gateway = Gateway::start();
    let (told, restarts) = std::sync::mpsc::channel();
    let endpoint = gateway.endpoint(Place::Gateway).verifier(PEOPLE);
    let server = Server::of(endpoint.on_restart(Duration::from_secs(3600), move |restart| told.send(restart).unwrap()));
    let _turn = gateway.reconciler.gate().admit().unwrap().into_owned();
    server.drain("token-a", r#"{"action":"drain","suppress_notification":true}"#);

    let restart = |token: &str| server.send("POST", "/api/gateway/restart", &bearer(token), b"");
    assert_eq!(restart("token-a").error(), (403, "forbidden".into()));
    let answer = restart("token-x");
    assert_eq!(answer.body, r#"{"ok":true,"action":"restart","state":"shutdown_draining"}"#);
    let told = restarts.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((&*told.by, told.suppress_notification), ("xaver", true));
    assert_eq!(server.get("/api/status").json()["restart_drain_timeout"], 3600.0);
    gateway.until(|status| status.description.restart_requested);
}

#[test]
fn without_a_callback_there_is_no_restart_and_the_description_has_none() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Dashboard).unauthenticated("demo"));
    assert_eq!(server.send("POST", "/api/gateway/restart", &[], b"").code, 404);
    assert!(server.get("/api/openapi.json").json()["paths"].get("/api/gateway/restart").is_none());
}

#[test]
fn every_described_route_answers_and_any_other_method_is_a_405_that_names_the_right_one() {
    let gateway = Gateway::start();
    let endpoint = gateway.endpoint(Place::Gateway).on_restart(Duration::ZERO, |_| ());
    let server = Server::of(endpoint.verifier(PEOPLE));
    let description = server.get("/api/openapi.json").json();
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path.replace("{request_id}", "upgrade");
        for (method, told) in methods.as_object().unwrap() {
            let answer = server.send(&method.to_uppercase(), &path, &[], b"");
            let expected = if told.get("security").is_some() { 401 } else { 200 };
            assert_eq!(answer.code, expected, "{method} {path}");
            let takes_a_body = told["requestBody"]["content"].get("application/json").is_some();
            assert_eq!(takes_a_body, method == "post", "{method} {path}: {told}");
        }
        let refused = server.send("DELETE", &path, &[], b"");
        assert_eq!(refused.error(), (405, "method_not_allowed".into()), "{path}");
        assert!(!refused.header("allow").is_empty());
    }
}

#[test]
fn the_description_for_people_names_every_route_and_field() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway).on_restart(Duration::ZERO, |_| ()));
    let description = server.get("/api/openapi.json").json();
    let text = include_str!("../../docs/http.md");
    for (path, methods) in description["paths"].as_object().unwrap() {
        let served_for_the_page = path.starts_with("/drain/");
        for method in methods.as_object().unwrap().keys() {
            let name = format!("`{} {path}`", method.to_uppercase());
            assert!(served_for_the_page || text.contains(&name), "docs/http.md lacks {name}");
        }
    }
    let body = &description["paths"]["/api/gateway/drain"]["post"]["requestBody"]["content"]["application/json"];
    for shape in body["schema"]["oneOf"].as_array().unwrap() {
        for field in shape["properties"].as_object().unwrap().keys() {
            assert!(text.contains(&format!("| `{field}` |")), "docs/http.md lacks the field {field}");
        }
    }
}

#[test]
fn a_cancel_that_can_not_remove_the_marker_is_no_success() {
    both(|place, gateway, server| {
        std::fs::create_dir(gateway.home().marker()).unwrap();
        gateway.reconciler.kick();
        let cancelled = server.drain("token-a", r#"{"action": "cancel"}"#);
        assert_eq!(cancelled.code, 503, "{place:?}: {}", cancelled.body);
        assert!(gateway.home().marker().exists(), "{place:?}: it lies there still");
    });
}

#[test]
fn all_holds_are_listed_for_those_who_may_read_and_for_nobody_else() {
    both(|place, gateway, server| {
        assert_eq!(server.send("GET", "/api/gateway/drain", &[], b"").code, 401, "{place:?}");
        let list = |token: &str| server.send("GET", "/api/gateway/drain", &bearer(token), b"");
        assert_eq!(list("token-x").error(), (403, "forbidden".into()), "{place:?}");
        assert_eq!(list("token-r").json()["holds"], json!([]), "{place:?}");
        begin(server, "token-a", "upgrade");
        begin(server, "token-b", "backup");
        gateway.until(|status| status.drain.holds.len() == 2);
        let listed = list("token-r").json();
        let told = listed["holds"].as_array().unwrap().iter();
        let told: Vec<_> = told.map(|hold| json!([hold["request_id"], hold["owner"], hold["outcome"]])).collect();
        assert_eq!(told, [json!(["backup", "bob", "held"]), json!(["upgrade", "alice", "held"])], "{place:?}");
        assert_eq!(listed["gateway"]["state"], "external_draining");
    });
}

#[test]
fn an_id_may_be_percent_encoded_and_only_its_own_path_names_a_hold() {
    both(|place, _, server| {
        begin(server, "token-a", "upgrade-1.4");
        for path in ["upgrade-1.4", "upgrade%2D1.4", "%75pgrade-1%2e4"] {
            let found = server.hold("token-a", path);
            assert_eq!((found.code, &found.json()["request_id"]), (200, &json!("upgrade-1.4")), "{place:?}: {path}");
        }
        for (path, code) in [
            ("foo/api/gateway/drain/upgrade-1.4", 404),
            ("foo%2Fapi%2Fgateway%2Fdrain%2Fupgrade-1.4", 400),
            ("upgrade-1.4/", 404),
            ("%ff", 400),
            ("..%2Fupgrade-1.4", 400),
        ] {
            assert_eq!(server.hold("token-a", path).code, code, "{place:?}: {path}");
        }
    });
}

#[test]
fn the_routes_can_be_nested_and_their_parts_served_apart_from_an_applications_own() {
    let gateway = Gateway::start();
    let endpoint = || gateway.endpoint(Place::Gateway).verifier(PEOPLE);
    // An application that has its own of everything but the control routes.
    let own = |path| axum::Router::new().route(path, axum::routing::get(async || "its own"));
    let app = own("/livez").merge(own("/readyz")).merge(own("/drain")).merge(endpoint().routers().control);
    let server = Server::of_routes(app);
    assert_eq!(server.get("/livez").body, "its own");
    assert_eq!(server.drain("token-a", "").code, 200);
    // Nested, the page's parts and the description's paths are found where they are.
    let nested = Server::of_routes(axum::Router::new().nest("/ops", endpoint().routes()));
    let page = nested.get("/ops/drain");
    for part in ["drain/page.css", "drain/page.js"] {
        assert!(page.body.contains(&format!("=\"{part}\"")), "{}", page.body);
        assert_eq!(nested.get(&format!("/ops/{part}")).code, 200);
    }
    let description = nested.get("/ops/api/openapi.json").json();
    assert_eq!(description["servers"], json!([{"url": "/ops"}]), "what its paths are below");
    assert_eq!(nested.send("GET", "/ops/api/gateway/drain/marker", &bearer("token-a"), b"").code, 200);
}
