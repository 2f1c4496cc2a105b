//! What each defect means, at both doors: in a file, and in a body.

use super::*;
use crate::control::read::Content;
use crate::control::{Epoch, Found, request_file};
use std::time::SystemTime;

fn upgrade() -> RequestId {
    RequestId::new("upgrade").unwrap()
}

fn in_hold_file(bytes: &[u8]) -> Found {
    let content = Content { bytes: bytes.to_vec(), modified: 0 };
    request_file::interpret(&content, &upgrade(), &Epoch::default(), SystemTime::UNIX_EPOCH)
}

/// A file of these fields beside its action.
fn file(fields: &str) -> Found {
    in_hold_file(format!(r#"{{"action":"drain"{fields}}}"#).as_bytes())
}

#[test]
fn the_marker_is_meant_by_naming_no_hold() {
    let request = Request::override_hold(RequestId::marker(), "ops");
    let nonce = json!(request.nonce);
    assert_eq!(body(Verb::Override, &request), json!({"action": "override", "nonce": nonce}));
    let request = Request { id: upgrade(), ..request };
    let named = json!({"action": "override", "request_id": "upgrade", "nonce": nonce});
    assert_eq!(body(Verb::Override, &request), named);
}

#[test]
fn a_write_names_its_own_nonce_so_that_one_whose_answer_is_lost_can_be_asked_for_again() {
    let write = Request { nonce: Some(Nonce::from("n".repeat(16))), ..Request::begin(RequestId::marker(), "ops") };
    for verb in Verb::ALL {
        assert_eq!(body(verb, &write)["nonce"], "n".repeat(16));
    }
}

#[test]
fn the_action_comes_first_since_it_decides_what_the_others_mean() {
    assert_eq!(FIELDS[0].kind, Kind::Action);
}

/// What is strict in a body and lenient in a file never means two things: where both take a value, they take the same.
#[test]
fn what_a_body_and_a_file_both_take_means_the_same_in_both() {
    let values = [
        "null",
        "true",
        "false",
        "\"\"",
        "\"x\"",
        "\" \"",
        "0",
        "-0.0",
        "-1",
        "0.5",
        "1",
        "1.0",
        "1e0",
        "7.5",
        "60",
        "600",
        "601",
        "86400",
        "86401",
        "31536000",
        "31536001",
        "4194303",
        "4194304",
        "1e30",
        "[]",
        "{}",
        "\"1\"",
        "\"2026-06-01T12:00:00\"",
    ];
    let names = FIELDS.iter().filter(|field| field.is_over_http() && field.goes_with(Verb::Drain));
    for field in names.filter(|field| !matches!(field.kind, Kind::Action | Kind::RequestId)) {
        for value in values {
            let text = format!(r#"{{"action":"drain","{}":{value}}}"#, field.name);
            let Found::Valid(lenient) = in_hold_file(text.as_bytes()) else { panic!("{text} closes for nobody") };
            #[cfg(feature = "axum")]
            if let Ok((_, strict)) = in_body(text.as_bytes()) {
                let nonce = strict.request.nonce.clone();
                let same = nonce.is_none() || nonce == lenient.nonce;
                assert!(same, "{text}");
                let lenient = Request { nonce, age: None, id: RequestId::marker(), ..*lenient };
                assert_eq!(strict.request, lenient, "{text}");
            }
            #[cfg(not(feature = "axum"))]
            drop(lenient);
        }
    }
}

#[test]
fn what_is_written_is_read_as_it_is_meant_or_refused_with_the_name_and_the_limit() {
    let begin = || Request::begin(upgrade(), "ops");
    let long = |length: usize| "ä".repeat(length);
    let sound = [
        begin().reason(long(MAX_REASON)),
        Request { owner: long(MAX_NAME), ..begin() },
        begin().token(Nonce::from(long(MAX_NAME))),
        begin().only_for(Incarnation::from(long(MAX_NAME))),
        begin().lease(Duration::from_secs(1)),
        begin().lease(Duration::from_secs(86_400)),
        begin().deadline(Duration::from_millis(1)),
        begin().unready_delay(Duration::from_secs(600)),
    ];
    for request in sound {
        check(&request).unwrap();
        let bytes = request_file::to_bytes(&request, &Epoch::default());
        let Found::Valid(found) = in_hold_file(&bytes) else { panic!("{} can't be read", bytes.escape_ascii()) };
        assert_eq!(*found, Request { age: found.age, source: found.source, ..request });
    }
    let unsound = [
        ("reason", begin().reason(long(MAX_REASON + 1))),
        ("principal", Request { owner: long(MAX_NAME + 1), ..begin() }),
        ("nonce", Request { nonce: Some(Nonce::from(long(MAX_NAME + 1))), ..begin() }),
        ("token", begin().token(Nonce::from(long(MAX_NAME + 1)))),
        ("incarnation", begin().only_for(Incarnation::from(long(MAX_NAME + 1)))),
        ("lease_seconds", begin().lease(Duration::ZERO)),
        ("lease_seconds", begin().lease(Duration::from_millis(999))),
        ("lease_seconds", begin().lease(Duration::from_secs(86_401))),
        ("deadline_seconds", begin().deadline(Duration::ZERO)),
        ("deadline_seconds", begin().deadline(Duration::MAX)),
        ("unready_delay_seconds", begin().unready_delay(Duration::from_secs(601))),
    ];
    let place = tempfile::tempdir().unwrap();
    let channel = crate::Channel::new(crate::Home::at(place.path()));
    for (name, request) in unsound {
        let refused = channel.write(&request).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        let said = refused.to_string();
        assert!(said.starts_with(&format!("`{name}` has to be ")), "{said}");
        assert!(matches!(channel.find(&upgrade()), Found::Absent), "{name}: nothing was written");
    }
}

#[test]
fn in_a_file_a_defect_of_a_field_is_as_if_it_were_not_there_and_a_long_reason_shows_that_it_was_cut() {
    let Found::Valid(plain) = file("") else { panic!("it is sound") };
    let of = |fields: &str| {
        let Found::Valid(found) = file(fields) else { panic!("{fields} closes for nobody: {:?}", file(fields)) };
        Request { nonce: plain.nonce.clone(), ..*found }
    };
    for defect in [
        r#","principal":null"#,
        r#","principal":"""#,
        r#","principal":7"#,
        r#","nonce":"""#,
        r#","nonce":[]"#,
        r#","incarnation":"""#,
        r#","token":"""#,
        r#","epoch":"""#,
        r#","lease_seconds":0"#,
        r#","lease_seconds":"60""#,
        r#","deadline_seconds":-5"#,
        r#","unready_delay_seconds":-5"#,
        r#","generation":"1""#,
        r#","generation":1.5"#,
        r#","generation":4194304"#,
        r#","requested_at":1780000000"#,
        r#","requested_at":"yesterday""#,
        r#","unknown":7,"unknown":8"#,
    ] {
        assert_eq!(of(defect), *plain, "{defect}");
    }
    for (fields, generation) in [(r#","generation":1.0"#, 1), (r#","generation":1e0"#, 1), (r#","generation":0"#, 0)] {
        assert_eq!(of(fields).generation, Some(Generation::from(generation)), "{fields}");
    }
    assert_eq!(of(r#","lease_seconds":1e30"#).lease, Some(Duration::from_secs(86_400)));
    let cut = of(&format!(r#","reason":"{}""#, "x".repeat(8000))).reason;
    assert!(cut.chars().count() == MAX_REASON && cut.ends_with("x…"), "{cut}");
}

#[test]
fn a_time_without_an_offset_is_utc() {
    let age = |text: &str| {
        let content = Content { bytes: format!(r#"{{"action":"drain","requested_at":"{text}"}}"#).into(), modified: 0 };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000);
        match request_file::interpret(&content, &upgrade(), &Epoch::default(), wall) {
            Found::Valid(request) => request.age.map(|age| age.as_secs()),
            other => panic!("{other:?}"),
        }
    };
    // 1,780,000,000 is 2026-05-28T20:26:40Z.
    for text in [
        "2026-05-28T20:26:30Z",
        "2026-05-28T20:26:30+00:00",
        "2026-05-28T22:26:30+02:00",
        "2026-05-28T20:26:30",
        "2026-05-28 20:26:30",
        "2026-05-28T20:26:30.000000",
    ] {
        assert_eq!(age(text), Some(10), "{text}");
    }
}

#[test]
fn actions_are_read_as_the_reference_reads_them_at_both_doors() {
    for word in ["drain", "Drain", " DRAIN ", "drain\\n"] {
        let text = format!(r#"{{"action":"{word}"}}"#);
        assert!(matches!(in_hold_file(text.as_bytes()), Found::Valid(_)), "{text}");
        #[cfg(feature = "axum")]
        assert!(matches!(in_body(text.as_bytes()), Ok((Verb::Drain, _))), "{text}");
    }
}

#[test]
fn what_is_no_json_object_without_doubt_is_unreadable() {
    let rows: [(&[u8], &str); 9] = [
        (b"\xef\xbb\xbf{\"action\":\"drain\"}", "byte order mark"),
        (br#"{"action":"drain","action":"cancel"}"#, "`action` twice"),
        (br#"{"action":"drain","lease_seconds":5,"lease_seconds":5}"#, "`lease_seconds` twice"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (br#"{"action":"drain"} x"#, "not JSON"),
        (br#"{"action":"drain","reason":"\ud800"}"#, "not JSON"),
        (br#"{"action":"drain","lease_seconds":1e400}"#, "not JSON"),
        (b"{\"action\":\"drain\",\"reason\":\"\xfc\"}", "not JSON"),
    ];
    for (bytes, says) in rows {
        let found = in_hold_file(bytes);
        let Found::Unreadable { why, nonce: Some(_) } = &found else { panic!("{}: {found:?}", bytes.escape_ascii()) };
        assert!(why.contains(says), "{}: {why}", bytes.escape_ascii());
        #[cfg(feature = "axum")]
        assert!(in_body(bytes).is_err_and(|why| why.contains(says)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_nonce_of_a_write_without_one_can_be_derived_by_any_program() {
    // printf '{"action":"drain"}' | sha256sum
    let content = Content { bytes: br#"{"action":"drain"}"#.to_vec(), modified: 1_780_000_000_123_456_789 };
    let found = request_file::interpret(&content, &upgrade(), &Epoch::default(), SystemTime::UNIX_EPOCH);
    let Found::Valid(request) = found else { panic!("{found:?}") };
    assert_eq!(request.nonce, Some(Nonce::from("5044bb13d372c86c-1780000000123456789".to_owned())));
}

#[cfg(feature = "axum")]
mod over_http {
    use super::*;

    #[test]
    fn a_body_that_says_nothing_begins_with_the_marker() {
        for body in ["", " ", "\r\n", "{}", " {} ", r#"{"suppress_notification":true}"#, r#"{"reason":null}"#] {
            let (verb, draft) = in_body(body.as_bytes()).unwrap();
            assert!(verb == Verb::Drain && draft.request.id.is_marker(), "{body}");
        }
    }

    #[test]
    fn which_hold_and_which_act_are_not_left_to_a_variable_that_was_never_set() {
        for (body, names) in [
            (r#"{"request_id":null}"#, "request_id"),
            (r#"{"request_id":""}"#, "request_id"),
            (r#"{"request_id":"marker"}"#, "request_id"),
            (r#"{"action":"cancel","request_id":null}"#, "request_id"),
            (r#"{"action":null}"#, "action"),
            (r#"{"action":""}"#, "action"),
            (r#"{"action":"dance"}"#, "action"),
            (r#"{"action":["drain"]}"#, "action"),
            (r#"{"requestid":"x"}"#, "isn't known"),
            (r#"{"action":"cancel","requestid":"x"}"#, "isn't known"),
            (r#"{"principal":"somebody"}"#, "isn't known"),
            (r#"{"epoch":"mine"}"#, "isn't known"),
        ] {
            let why = in_body(body.as_bytes()).map(drop).unwrap_err();
            assert!(why.contains(names), "{body}: {why}");
        }
    }

    #[test]
    fn a_known_field_that_does_not_go_with_the_action_does_no_harm_whatever_it_says() {
        for verb in Verb::ALL {
            for field in FIELDS.iter().filter(|field| field.is_over_http() && !field.goes_with(verb)) {
                for value in ["null", "7", "\"x\"", "-1", "true", "[1]"] {
                    let text = format!(r#"{{"action":"{}","{}":{value}}}"#, verb.word(), field.name);
                    let (read, draft) = in_body(text.as_bytes()).unwrap_or_else(|why| panic!("{text}: {why}"));
                    assert_eq!((read, draft.request), (verb, Request::blank(RequestId::marker())), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_a_gateway_could_not_read_as_it_is_meant_is_refused_with_its_name_and_its_limit() {
        let long = |length: usize| format!("\"{}\"", "x".repeat(length));
        for (name, value, limit) in [
            ("reason", long(513), "512"),
            ("incarnation", long(257), "256"),
            ("nonce", long(15), "16 to 256"),
            ("nonce", long(257), "16 to 256"),
            ("lease_seconds", "0".into(), "from 1 to 86400"),
            ("lease_seconds", "86401".into(), "from 1 to 86400"),
            ("lease_seconds", "\"60\"".into(), "a number"),
            ("deadline_seconds", "0".into(), "0.001"),
            ("unready_delay_seconds", "601".into(), "600"),
            ("unready_delay_seconds", "-1".into(), "600"),
        ] {
            let why = in_body(format!(r#"{{"{name}":{value}}}"#).as_bytes()).map(drop).unwrap_err();
            assert!(why.contains(&format!("`{name}`")) && why.contains(limit), "{why}");
        }
        let why = in_body(br#"{"action":"commit","generation":4194304}"#).map(drop).unwrap_err();
        assert!(why.contains("`generation`") && why.contains("4194303"), "{why}");
        let why = in_body(format!(r#"{{"action":"cancel","token":{}}}"#, long(257)).as_bytes()).map(drop).unwrap_err();
        assert!(why.contains("`token`"), "{why}");
    }
}
