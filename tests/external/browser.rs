//! The page in a real browser: `cargo test --all-features --test external browser`, with Chromium installed.
//!
//! Not among the tests that run by default, since it needs a program that not every machine has. What it adds to
//! `status_page.rs` is the script: that it puts new facts in place, under the policy that the page is served with. The
//! picture it takes is the one in `docs/images`.

#![cfg(feature = "axum")]

use crate::support::http_server::{Gateway, Place, Server};
use axum::extract::Request as Asked;
use axum::middleware::{Next, from_fn};
use gateway_drain::{Request, RequestId};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn chromium(arguments: &[&str]) -> String {
    let profile = tempfile::tempdir().expect("a folder for the profile");
    let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    let quiet = ["disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-sync"];
    let output = Command::new(&program)
        .args([
            "--headless",
            "--no-sandbox",
            "--hide-scrollbars",
            "--disable-component-update",
            "--window-size=760,1000",
        ])
        .args(quiet.map(|flag| format!("--{flag}")))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} can't be run ({error}): install it, or name it in CHROMIUM"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_page_that_is_open_follows_the_gateway() {
    let gateway = Gateway::start();
    let (views, controller) = (Arc::new(AtomicU32::new(0)), gateway.reconciler.controller().clone());
    let begin_at_the_third = from_fn(move |asked: Asked, next: Next| {
        if asked.uri().path() == "/drain" && views.fetch_add(1, Ordering::Relaxed) == 2 {
            controller.request(&Request::begin(RequestId::new("upgrade-42").expect("an id"), "ops")).expect("a hold");
        }
        next.run(asked)
    });
    let server = Server::of_routes(gateway.endpoint(Place::Gateway).routes().layer(begin_at_the_third));
    let url = format!("http://{}/drain", server.address);
    let seen = chromium(&["--virtual-time-budget=6000", "--dump-dom", &url]);
    assert!(seen.contains(r#"id="state" data-state="external_draining""#), "the open page stayed as it was: {seen}");
    assert!(seen.contains(r#"class="state lit" data-state="external_draining""#), "{seen}");
}

#[test]
fn the_page_is_drawn() {
    let gateway = Gateway::start();
    let admit =
        |label: &'static str| gateway.reconciler.gate().admit().expect("open").into_owned().labelled("turn", label);
    let server = Server::of(gateway.endpoint(Place::Gateway).unauthenticated("drain-control"));
    let look = || assert_eq!(server.get("/drain").code, 200);
    look();
    let turns = [admit("session 7"), admit("session 12"), admit("session 31")];
    let hold = |id: &str, owner: &str, reason: &str, lease: u64| {
        let hold = Request::begin(RequestId::new(id).expect("an id"), owner).reason(reason);
        gateway.reconciler.controller().request(&hold.lease(Duration::from_secs(lease))).expect("a hold");
    };
    look();
    hold("upgrade-42", "deploy-bot", "upgrade to 1.4", 600);
    hold("backup", "ops", "nightly backup of the sessions", 7200);
    gateway.clock.advance(Duration::from_secs(245));
    let [_one, _other, ended] = turns;
    drop(ended);
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page.png");
    let url = format!("http://{}/drain", server.address);
    chromium(&["--virtual-time-budget=2500", &format!("--screenshot={}", picture.display()), &url]);
    let bytes = std::fs::read(&picture).expect("a picture");
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{} bytes", bytes.len());
    println!("{}", picture.display());
}
