//! The home's lock as others see it: who lives there, asked while gateways come and go.

use gateway_drain::Home;
use gateway_drain::control::LockError;
use gateway_drain::hold::Incarnation;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells the threads of a test that it is over, also when it fails: otherwise they would be waited for without end.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_dead_gateway_is_never_said_to_live_while_its_successor_takes_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let (dead, over) = (Mutex::new(None), AtomicBool::new(false));
    std::thread::scope(|threads| {
        let _at_end = AtEnd(&over);
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
    });
}

#[test]
fn a_lock_that_was_taken_away_while_it_was_waited_for_is_not_taken() {
    for _ in 0..50 {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let first = home.lock(&Incarnation::fresh()).expect("the home is free");
        let second = std::thread::scope(|threads| {
            let second = threads.spawn(|| home.lock(&Incarnation::fresh()).map(drop));
            // The second has opened what the first holds as soon as there are two descriptors of it.
            while opened(&home) < 2 && !second.is_finished() {
                std::thread::yield_now();
            }
            std::fs::rename(home.lock_path(), home.path().join("aside")).unwrap();
            std::fs::write(home.lock_path(), "").unwrap();
            drop(first);
            second.join().unwrap()
        });
        match second {
            Err(LockError::Unusable { source, .. }) => {
                assert_eq!(source.to_string(), "gateway.lock is not the one this gateway holds");
                return;
            }
            // A machine under load was slower than its patience: once more.
            Err(LockError::InUse { .. }) => {}
            other => panic!("E2: whoever comes next would lock this home too: {other:?}"),
        }
    }
    panic!("the second never got what the first had held");
}

/// How many descriptors of this process are open on the home's lock.
fn opened(home: &Home) -> usize {
    let lock = home.lock_path();
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.flatten().filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|path| path == lock)).count()
}
