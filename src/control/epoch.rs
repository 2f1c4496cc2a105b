//! Which boot of the machine, or which run of its container, a file belongs to.

use serde::{Deserialize, Serialize};

/// `<boot id>:<start time of process 1>`, or empty where that can't be known.
///
/// A request that was left on a durable disk by an earlier boot must not hold its successor closed, so every file carries
/// the epoch of its writer (C3). In a container, process 1 starts anew although the kernel doesn't; hence the second half.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(String);

impl Epoch {
    /// The epoch of this process.
    #[must_use]
    pub fn current() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let process_one = std::fs::read_to_string("/proc/1/stat").unwrap_or_default();
        Self::of(&boot_id, &process_one)
    }

    /// Of what the system says. Half of it would tell no two boots apart.
    fn of(boot_id: &str, process_one: &str) -> Self {
        match (boot_id.trim(), start_time(process_one)) {
            ("", _) | (_, None) => Self::default(),
            (boot_id, Some(start)) => Self(format!("{boot_id}:{start}")),
        }
    }

    /// Whether a file of `self` certainly belongs to another boot than `other`. An unknown epoch is no other one.
    ///
    /// ```
    /// use gateway_drain::control::Epoch;
    ///
    /// let (monday, tuesday) = (Epoch::from("a:1".to_owned()), Epoch::from("b:1".to_owned()));
    /// assert!(monday.differs_from(&tuesday));
    /// assert!(!monday.differs_from(&Epoch::default()));
    /// ```
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.is_known() && other.is_known() && self != other
    }

    /// Whether the epoch could be found out.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// As it stands in files.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Epoch {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The start time in clock ticks since boot: field 22 of `/proc/PID/stat`, the 20th after the command's name, which ends
/// with the last closing parenthesis and may hold anything before it.
pub(crate) fn start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Epoch, start_time};

    const PROCESS_ONE: &str = "1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000";

    #[test]
    fn an_epoch_of_which_only_half_is_known_is_unknown() {
        assert_eq!(Epoch::of("a-boot\n", PROCESS_ONE).as_str(), "a-boot:4242");
        assert!(!Epoch::of("", PROCESS_ONE).is_known(), "every boot would be the same");
        assert!(!Epoch::of("a-boot\n", "").is_known(), "every run of the container would be the same");
    }

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_start_time() {
        let fields = "S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000";
        assert_eq!(start_time(&format!("1 (in) it (x) {fields}")), Some(4242));
        assert_eq!(start_time("1 (init"), None);
        assert_eq!(start_time(""), None);
    }
}
