//! The page for people: its facts are in the HTML as it is served, and names only for those who may read them.

#![cfg(feature = "axum")]

use crate::support::http_server::{Gateway, PEOPLE, PLACES, Place, Server, bearer};
use roxmltree::{Document, Node, ParsingOptions};
use std::time::Duration;

/// Parses the page; gives what `find` makes of it.
fn read<T>(server: &Server, token: &str, find: impl Fn(&Page<'_, '_>) -> T) -> T {
    let answer = server.send("GET", "/drain", &bearer(token), b"");
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&answer.body, options).expect("a page that is well-formed");
    find(&Page(document.root()))
}

struct Page<'a, 'input>(Node<'a, 'input>);

impl Page<'_, '_> {
    fn text(&self, id: &str) -> String {
        let found = self.0.descendants().find(|node| node.attribute("id") == Some(id));
        let found = found.unwrap_or_else(|| panic!("the page has no #{id}"));
        found
            .descendants()
            .filter_map(|node| node.is_text().then(|| node.text()).flatten())
            .collect::<Vec<_>>()
            .join("|")
    }

    fn lit(&self) -> Vec<String> {
        let lit = self.0.descendants().filter(|node| node.attribute("class") == Some("state lit"));
        lit.filter_map(|node| node.attribute("data-state")).map(str::to_owned).collect()
    }
}

#[test]
fn the_current_state_is_lit_and_the_facts_follow_it() {
    for place in PLACES {
        let gateway = Gateway::start();
        let server = Server::of(gateway.endpoint(place).verifier(PEOPLE));
        let facts =
            || read(&server, "", |page| (page.lit(), page.text("in-flight"), page.text("drained"), page.text("holds")));
        let running = (vec!["running".to_owned()], "0".into(), "no".into(), "Nobody keeps the gate closed.".into());
        assert_eq!(facts(), running, "{place:?}");

        let turn = gateway.reconciler.gate().admit().unwrap().into_owned();
        server.drain("token-a", r#"{"action":"drain","request_id":"upgrade","lease_seconds":90}"#);
        let (lit, in_flight, drained, holds) = facts();
        assert_eq!((lit, &*in_flight, &*drained), (vec!["external_draining".to_owned()], "1", "no"), "{place:?}");
        assert!(holds.contains("held") && holds.contains("1 min"), "{holds}");
        drop(turn);
        gateway.until(|status| status.drain.drained);
        assert_eq!(facts().2, "yes");
    }
}

#[test]
fn the_diagram_has_an_arrow_for_each_move_of_the_table() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway));
    let moves =
        gateway_drain::state::TABLE.iter().flatten().filter(|s| matches!(s, gateway_drain::state::Step::Moves(_)));
    let (arrows, states) = read(&server, "", |page| {
        let arrows = page.0.descendants().filter(|node| node.has_tag_name("line") && node.has_attribute("marker-end"));
        (
            arrows.count(),
            page.0.descendants().filter(|node| node.has_attribute("data-state") && node.has_tag_name("g")).count(),
        )
    });
    assert_eq!((arrows, states), (moves.count(), 4));
}

#[test]
fn owners_reasons_and_labels_are_for_those_who_may_read_and_nothing_in_them_is_markup() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    let _turn = gateway.reconciler.gate().admit().unwrap().into_owned().labelled("turn", "<b>label</b>");
    let reason = r#"<script src=\"x\">'&amp;"#;
    server.drain("token-a", &format!(r#"{{"action":"drain","request_id":"upgrade","reason":"{reason}"}}"#));
    let (holds, work) = read(&server, "token-r", |page| (page.text("holds"), page.text("work")));
    assert!(holds.contains(r#"upgrade|alice|<script src="x">'&amp;|held"#), "{holds}");
    assert!(work.contains("turn|<b>label</b>"), "{work}");
    for token in ["", "wrong", "token-x"] {
        let page = server.send("GET", "/drain", &bearer(token), b"");
        for private in ["alice", "upgrade", "&lt;b&gt;", "&quot;x&quot;"] {
            assert!(!page.body.contains(private), "{token:?} is shown {private}");
        }
        assert_eq!(read(&server, token, |page| page.text("in-flight")), "1");
    }
}

#[test]
fn a_lease_is_seen_to_run_down() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    server.drain("token-a", r#"{"action":"drain","request_id":"upgrade","lease_seconds":7200}"#);
    gateway.clock.advance(Duration::from_secs(3700));
    let holds = read(&server, "token-a", |page| page.text("holds"));
    assert!(holds.contains("1 h 01 min") && holds.contains("58 min"), "{holds}");
}

#[test]
fn the_history_shows_what_was_in_flight() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    let levels = || {
        read(&server, "", |page| {
            let line = page.0.descendants().find(|node| node.has_tag_name("polyline")).expect("a line");
            let points = line.attribute("points").unwrap_or_default().split_whitespace();
            points.filter_map(|point| point.split(',').nth(1)).map(str::to_owned).collect::<Vec<_>>()
        })
    };
    assert!(levels().iter().all(|level| level == "90.0"), "nothing was in flight yet");
    let turn = gateway.reconciler.gate().admit().unwrap().into_owned();
    assert!(levels().contains(&"10.0".to_owned()), "the turn isn't drawn");
    drop(turn);
    let after = levels();
    assert!(after.contains(&"10.0".to_owned()) && after.last().is_some_and(|last| last == "90.0"), "{after:?}");
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_nothing_inline() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway));
    let page = server.get("/drain");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let linked: Vec<String> = read(&server, "", |page| {
        let links = page.0.descendants().filter_map(|node| node.attribute("href").or(node.attribute("src")));
        links.map(str::to_owned).collect()
    });
    assert_eq!(linked, ["drain/page.css", "drain/page.js"]);
    for file in linked {
        let answer = server.get(&format!("/{file}"));
        assert!(answer.code == 200 && !answer.body.contains("http:") && !answer.body.contains("https:"), "{file}");
    }
    for inline in ["<style", "style=", "onclick", "javascript:"] {
        assert!(!page.body.contains(inline), "the page has {inline}");
    }
}

#[test]
fn a_dashboard_whose_gateway_is_gone_says_so() {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Dashboard));
    let Gateway { reconciler, folder, .. } = gateway;
    drop(reconciler);
    assert_eq!(read(&server, "", |page| page.text("state")), "No gateway runs in this home.");
    drop(folder);
}
