//! The home's lock as others see it: who lives there, asked while gateways come and go.

use gateway_drain::Home;
use gateway_drain::hold::Incarnation;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_dead_gateway_is_never_said_to_live_while_its_successor_takes_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let (dead, over) = (Mutex::new(None), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Whoever had died before the question was asked can't be the answer.
                    let dead_before: Option<Incarnation> = dead.lock().unwrap().clone();
                    let live = home.live();
                    if let Ok(Some(live)) = live {
                        assert_ne!(Some(live), dead_before, "a dead gateway is said to live");
                    }
                    std::thread::park_timeout(Duration::from_micros(20));
                }
            });
        }
        for _ in 0..1000 {
            let incarnation = Incarnation::fresh();
            drop(home.lock(&incarnation).expect("the home is free"));
            *dead.lock().unwrap() = Some(incarnation);
        }
        over.store(true, Ordering::Relaxed);
    });
}
