//! Which boot of the machine, or which run of its container, a file belongs to.

use serde::{Deserialize, Serialize, Serializer};

/// `<boot id>:<start time of process 1>`. Each half is empty where it can't be known; in a file there are both or nothing.
///
/// A request that was left on a durable disk by an earlier boot must not hold its successor closed, so every file carries
/// the epoch of its writer (C3). In a container, process 1 starts again although the kernel doesn't; hence the second half.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Epoch(String);

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Epoch {
    /// The epoch of this process.
    #[must_use]
    pub fn current() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let process_one = std::fs::read_to_string("/proc/1/stat").unwrap_or_default();
        Self::of(&boot_id, &process_one)
    }

    /// Of what the system says.
    fn of(boot_id: &str, process_one: &str) -> Self {
        match (boot_id.trim(), start_time(process_one)) {
            ("", None) => Self::default(),
            (boot_id, None) => Self(format!("{boot_id}:")),
            (boot_id, Some(start)) => Self(format!("{boot_id}:{start}")),
        }
    }

    /// Whether a file of `self` certainly belongs to another boot than `other`: each half that both know is compared, and what
    /// one of them doesn't know makes no difference.
    ///
    /// ```
    /// use gateway_drain::control::Epoch;
    ///
    /// let (monday, tuesday) = (Epoch::from("a:1".to_owned()), Epoch::from("b:1".to_owned()));
    /// assert!(monday.differs_from(&tuesday));
    /// assert!(!monday.differs_from(&Epoch::default()));
    ///
    /// let hidden = Epoch::from("b:".to_owned()); // a system that doesn't show process 1
    /// assert!(monday.differs_from(&hidden), "another boot id alone is another boot");
    /// assert!(!tuesday.differs_from(&hidden));
    /// ```
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        let differ = |ours: &str, theirs: &str| !ours.is_empty() && !theirs.is_empty() && ours != theirs;
        let ((boot, start), (their_boot, their_start)) = (self.halves(), other.halves());
        differ(boot, their_boot) || differ(start, their_start)
    }

    fn halves(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }

    /// Whether the whole epoch could be found out.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let (boot, start) = self.halves();
        !boot.is_empty() && !start.is_empty()
    }

    /// As it stands in files: the whole or nothing, since half of it in a file would tell no two runs of a container apart.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if self.is_known() { &self.0 } else { "" }
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
        let another = Epoch::of("another-boot\n", PROCESS_ONE);
        assert!(Epoch::of("a-boot\n", "").differs_from(&another), "C3: the boot alone tells them apart");
    }

    #[test]
    fn what_two_epochs_both_know_is_compared_and_what_one_of_them_does_not_makes_no_difference() {
        let differ = |one: &str, other: &str| {
            let (one, other) = (Epoch::from(one.to_owned()), Epoch::from(other.to_owned()));
            assert_eq!(one.differs_from(&other), other.differs_from(&one), "{one:?} and {other:?}");
            one.differs_from(&other)
        };
        for (one, other) in [("a:1", "b:1"), ("a:1", "a:2"), ("a:", "b:"), ("a:", "b:1"), ("a", "b:1"), (":1", ":2")] {
            assert!(differ(one, other), "{one} is another boot or container than {other}");
        }
        for (one, other) in
            [("a:1", "a:1"), ("a:", "a:1"), ("a:", "a:"), (":1", "a:1"), ("", "a:1"), ("a", "a:1"), ("", "")]
        {
            assert!(!differ(one, other), "nothing tells {one} from {other}");
        }
    }

    #[test]
    fn half_an_epoch_is_in_no_file() {
        for half in ["a:", ":1", "a", ""] {
            assert_eq!(serde_json::to_string(&Epoch::from(half.to_owned())).unwrap(), r#""""#, "{half}");
        }
        assert_eq!(serde_json::to_string(&Epoch::from("a:1".to_owned())).unwrap(), r#""a:1""#);
    }

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_start_time() {
        let fields = "S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000";
        assert_eq!(start_time(&format!("1 (in) it (x) {fields}")), Some(4242));
        assert_eq!(start_time("1 (init"), None);
        assert_eq!(start_time(""), None);
    }
}
