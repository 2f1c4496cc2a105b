//! The names that requests bear: what a request id may be, and that each name is told as it was given.

use gateway_drain::RequestId;
use gateway_drain::hold::{Incarnation, Nonce};

#[test]
fn a_request_id_is_what_can_name_a_file_and_is_not_the_marker() {
    for sound in ["a", "upgrade-42", "A.b_C-9", &"x".repeat(RequestId::MAX_LEN)] {
        let id = RequestId::new(sound).expect("a sound name");
        assert_eq!((id.as_str(), id.to_string().as_str(), id.is_marker()), (sound, sound, false));
    }
    for unsound in ["", ".hidden", "a/b", "a b", "ä", "!found", "marker", &"x".repeat(RequestId::MAX_LEN + 1)] {
        let why = RequestId::new(unsound).expect_err(unsound).to_string();
        assert!(why.contains(&format!("{unsound:?}")) && why.contains("1 to 64"), "it says what is wrong: {why}");
    }
    assert!(RequestId::marker().is_marker());
}

#[test]
fn a_status_may_name_the_marker_and_what_was_found_without_a_name_but_no_path() {
    for named in ["upgrade-42", "marker", "!no name: 7"] {
        let id = RequestId::try_from(named.to_owned()).expect("a status may name it");
        assert_eq!((id.is_marker(), String::from(id).as_str()), (named == "marker", named));
    }
    for unsound in ["!a/b", "a/b", "no name: 7"] {
        assert!(RequestId::try_from(unsound.to_owned()).is_err(), "{unsound} names no hold");
    }
}

#[test]
fn random_names_are_new_each_time_and_told_as_they_are() {
    let names = [
        (RequestId::random().to_string(), RequestId::random().to_string()),
        (Nonce::fresh().to_string(), Nonce::fresh().to_string()),
        (Incarnation::fresh().to_string(), Incarnation::fresh().to_string()),
    ];
    for (first, second) in names {
        assert_ne!(first, second, "two names of 128 random bits");
        assert!(first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    }
    let text = "0123".to_owned();
    let (nonce, incarnation) = (Nonce::from(text.clone()), Incarnation::from(text));
    assert_eq!((nonce.as_str(), nonce.to_string().as_str()), ("0123", "0123"));
    assert_eq!((incarnation.as_str(), incarnation.to_string().as_str()), ("0123", "0123"));
}
