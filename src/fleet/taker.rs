//! This controller, as a note names it, and whether another that a note names has certainly ended.

use super::address::host_name;
use super::slot::Taker;
use crate::control::{Epoch, ProcessRecord};
use crate::hold::{Incarnation, Nonce};

impl Taker {
    /// This process, under a nonce that nobody else has.
    pub(super) fn own() -> Self {
        let nonce = Nonce::fresh().to_string();
        let record = ProcessRecord::own(&Incarnation::from(nonce.clone()));
        Self { nonce, machine: host_name(), process: format!("{} {record}", Epoch::current().as_str()), inherits: None }
    }

    /// Whether it was a process of this boot and this container, and is gone. Of another machine's nobody here can tell.
    pub(super) fn is_dead(&self) -> bool {
        self.record().is_some_and(|record| record.is_dead())
    }

    /// Whether it is another process of this boot and this container, and lives.
    pub(super) fn is_alive(&self) -> bool {
        self.record().is_some_and(|record| record.pid_here().is_some() && !record.is_dead())
    }

    /// For people.
    pub(super) fn in_words(&self) -> String {
        let pid = self.process.split(' ').nth(2).filter(|pid| !pid.is_empty()).unwrap_or("unknown");
        let machine = if self.machine.is_empty() { "an unknown machine" } else { &self.machine };
        format!("process {pid} on {machine}")
    }

    /// Its process, if it was of this boot and this container.
    fn record(&self) -> Option<ProcessRecord> {
        let (epoch, record) = self.process.split_once(' ')?;
        let current = Epoch::current();
        (current.is_known() && epoch == current.as_str()).then(|| ProcessRecord::parse(record))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_dead_only_if_it_was_of_this_boot_and_is_gone() {
        let own = Taker::own();
        assert!(own.is_alive() && !own.is_dead());
        let gone = |process: String| Taker { process, ..own.clone() }.is_dead();
        let mut words: Vec<String> = own.process.split(' ').map(str::to_owned).collect();
        assert_eq!(words.len(), 5, "{}", own.process);
        words[2] = "4194304".into(); // no process has a greater number
        assert!(gone(words.join(" ")));
        words[0] = "another-boot:1".into();
        assert!(!gone(words.join(" ")));
        for unknown in ["", " ", "x", "- - - -"] {
            assert!(!gone(unknown.into()), "{unknown:?}");
            assert!(!Taker { process: unknown.into(), ..own.clone() }.is_alive(), "{unknown:?}");
        }
    }

    #[test]
    fn a_controller_that_has_ended_or_is_of_another_container_is_not_known_to_live() {
        let own = Taker::own();
        let words: Vec<&str> = own.process.split(' ').collect();
        let alive = |n: usize, word: &str| {
            let mut words = words.clone();
            words[n] = word;
            Taker { process: words.join(" "), ..own.clone() }.is_alive()
        };
        assert!(alive(2, words[2]), "it is this process");
        assert!(!alive(2, "4194304"), "no process has a greater number");
        assert!(!alive(0, "another-boot:1"));
        assert!(!alive(4, "pid:[1]"), "of another container: {}", own.process);
    }

    #[test]
    fn a_controller_is_told_by_its_process_and_its_machine() {
        let own = Taker::own();
        assert_eq!(own.in_words(), format!("process {} on {}", std::process::id(), host_name()));
        assert_eq!(Taker::default().in_words(), "process unknown on an unknown machine");
        let blank = Taker { process: "boot nonce  1".into(), machine: "gw-7".into(), ..Taker::default() };
        assert_eq!(blank.in_words(), "process unknown on gw-7");
    }
}
