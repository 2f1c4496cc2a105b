//! `/proc/PID/stat`: the name of a command may hold anything, and the start time behind it is found or is not.
//!
//! The function is the crate's own business, so its source is compiled here a second time.
#![no_main]

#[path = "../../src/control/epoch.rs"]
#[allow(dead_code)]
mod epoch;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &str)| {
    let (start, text) = input;
    if let Some(found) = epoch::start_time(text) {
        assert!(text.contains(')'), "{found} was found behind no command");
        assert!(text.split_whitespace().any(|field| field.trim_start_matches('+').parse() == Ok(found)), "{found}");
    }
    // Whatever the command is called, the start time is the field that it is.
    let fields = format!("S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start} 1000");
    assert_eq!(epoch::start_time(&format!("1 ({text}) {fields}")), Some(start));
});
