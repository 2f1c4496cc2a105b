//! The value that a group's slots are kept in, as Airlock writes it: `{"total_slots": 2, "holders": ["a", "b"]}`.
//!
//! Pure. A value that Airlock would not have written is refused and never repaired: a guess could cost somebody's slot.

use core::fmt;
use core::num::NonZeroU32;
use serde_json::{Map, Value, json};

/// How many gateways or machines of a group may be closed at once, and which are.
///
/// ```
/// use gateway_drain::fleet::{Release, Semaphore, Take};
///
/// let semaphore = Semaphore::parse(br#"{"total_slots": 1, "holders": []}"#)?;
/// let Take::Taken(taken) = semaphore.take("gateway-a") else { panic!("a slot is free") };
/// assert_eq!(taken.take("gateway-b"), Take::Full);
/// assert_eq!(taken.take("gateway-a"), Take::AlreadyHeld);
/// assert_eq!(taken.release("gateway-a"), Release::Released(semaphore));
/// # Ok::<(), gateway_drain::fleet::NotASemaphore>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Semaphore {
    total_slots: u32,
    /// Sorted by their bytes, each once: Airlock looks for one by binary search.
    holders: Vec<String>,
    /// What other programs keep in the value. It is written back as it was read.
    others: Map<String, Value>,
}

/// What asking for a slot comes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "a slot is taken once this value has been stored"]
pub enum Take {
    /// This value is to be stored; then the slot is taken.
    Taken(Semaphore),
    /// The id has a slot already.
    AlreadyHeld,
    /// As many have one as there are, or more.
    Full,
    /// The group's budget is 0: nobody ever gets a slot.
    NoSlots,
}

/// What giving a slot back comes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "a slot is given back once this value has been stored"]
pub enum Release {
    /// This value is to be stored; then the slot is given back.
    Released(Semaphore),
    /// The id has no slot.
    NotHeld,
}

/// Why a value is no semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotASemaphore {
    /// It is larger than [`Semaphore::MAX_BYTES`].
    TooLarge(usize),
    /// It is no JSON object.
    NotAnObject(String),
    /// `total_slots` is not a whole number that fits.
    TotalSlots(String),
    /// `holders` is not a list of texts.
    Holders(String),
    /// A holder has no name.
    EmptyId,
    /// A holder is in the list twice.
    Twice(String),
    /// A holder stands after one that sorts behind it.
    NotSorted(String),
}

impl Semaphore {
    /// No larger value is read: 4 MiB. (etcd takes no more than 1.5 MiB by default.)
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// One with this many slots, all free.
    #[must_use]
    pub fn new(total_slots: NonZeroU32) -> Self {
        Self { total_slots: total_slots.get(), holders: Vec::new(), others: Map::new() }
    }

    /// Reads a value as it is stored.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotASemaphore> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(NotASemaphore::TooLarge(bytes.len()));
        }
        let mut others: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| NotASemaphore::NotAnObject(error.to_string()))?;
        let wrong = |value: Option<Value>| value.map_or_else(|| "it is missing".into(), |value| brief(&value));
        let total_slots = match others.remove("total_slots") {
            Some(Value::Number(number)) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            other => return Err(NotASemaphore::TotalSlots(wrong(other))),
        };
        let total_slots =
            total_slots.ok_or_else(|| NotASemaphore::TotalSlots("it is no whole number that fits".into()))?;
        let listed = match others.remove("holders") {
            Some(Value::Array(listed)) => listed,
            other => return Err(NotASemaphore::Holders(wrong(other))),
        };
        let holders = listed.into_iter().map(|holder| match holder {
            Value::String(holder) if holder.is_empty() => Err(NotASemaphore::EmptyId),
            Value::String(holder) => Ok(holder),
            other => Err(NotASemaphore::Holders(brief(&other))),
        });
        let holders = holders.collect::<Result<Vec<_>, _>>()?;
        for pair in holders.windows(2) {
            match pair[0].cmp(&pair[1]) {
                core::cmp::Ordering::Less => {}
                core::cmp::Ordering::Equal => return Err(NotASemaphore::Twice(pair[1].clone())),
                core::cmp::Ordering::Greater => return Err(NotASemaphore::NotSorted(pair[1].clone())),
            }
        }
        Ok(Self { total_slots, holders, others })
    }

    /// As it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut object = self.others.clone();
        object.insert("total_slots".into(), json!(self.total_slots));
        object.insert("holders".into(), json!(self.holders));
        Value::Object(object).to_string().into_bytes()
    }

    /// How many may have a slot at once.
    #[must_use]
    pub fn total_slots(&self) -> u32 {
        self.total_slots
    }

    /// The ids that have a slot, sorted by their bytes.
    #[must_use]
    pub fn holders(&self) -> &[String] {
        &self.holders
    }

    /// Whether this id has a slot.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.find(id).is_ok()
    }

    fn find(&self, id: &str) -> Result<usize, usize> {
        self.holders.binary_search_by(|holder| holder.as_str().cmp(id))
    }

    /// Takes a slot for this id.
    pub fn take(&self, id: &str) -> Take {
        match self.find(id) {
            Ok(_) => Take::AlreadyHeld,
            Err(_) if self.total_slots == 0 => Take::NoSlots,
            Err(_) if self.holders.len() >= self.total_slots as usize => Take::Full,
            Err(place) => {
                let mut taken = self.clone();
                taken.holders.insert(place, id.to_owned());
                Take::Taken(taken)
            }
        }
    }

    /// Gives the slot of this id back.
    pub fn release(&self, id: &str) -> Release {
        match self.find(id) {
            Err(_) => Release::NotHeld,
            Ok(place) => {
                let mut released = self.clone();
                released.holders.remove(place);
                Release::Released(released)
            }
        }
    }

    /// The same with another budget. A gateway that has a slot keeps it, also where there are more of them than slots then.
    #[must_use]
    pub fn with_slots(&self, total_slots: NonZeroU32) -> Self {
        Self { total_slots: total_slots.get(), ..self.clone() }
    }
}

/// A value from elsewhere, as much of it as fits into a message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("it is {short}")
}

impl fmt::Display for NotASemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(f, "it has {bytes} bytes, and at most {} are read", Semaphore::MAX_BYTES),
            Self::NotAnObject(why) => write!(f, "it is no JSON object: {why}"),
            Self::TotalSlots(why) => write!(f, "`total_slots` has to be a whole number: {why}"),
            Self::Holders(why) => write!(f, "`holders` has to be a list of ids: {why}"),
            Self::EmptyId => f.write_str("one of its holders has an empty id"),
            Self::Twice(id) => write!(f, "the holder {id:?} is in it twice"),
            Self::NotSorted(id) => write!(f, "its holders are not sorted: {id:?} is out of its place"),
        }
    }
}

impl std::error::Error for NotASemaphore {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Semaphore, NotASemaphore> {
        Semaphore::parse(text.as_bytes())
    }

    #[test]
    fn a_value_that_airlock_would_not_have_written_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "3",
            "\"x\"",
            "{",
            "{}",
            r#"{"total_slots": 1}"#,
            r#"{"holders": []}"#,
            r#"{"total_slots": -1, "holders": []}"#,
            r#"{"total_slots": 1.5, "holders": []}"#,
            r#"{"total_slots": 1e99, "holders": []}"#,
            r#"{"total_slots": 4294967296, "holders": []}"#,
            r#"{"total_slots": "1", "holders": []}"#,
            r#"{"total_slots": null, "holders": []}"#,
            r#"{"total_slots": 1, "holders": null}"#,
            r#"{"total_slots": 1, "holders": "a"}"#,
            r#"{"total_slots": 1, "holders": {"a": 1}}"#,
            r#"{"total_slots": 1, "holders": ["a", 1]}"#,
            r#"{"total_slots": 1, "holders": [""]}"#,
            r#"{"total_slots": 3, "holders": ["a", "a"]}"#,
            r#"{"total_slots": 3, "holders": ["b", "a"]}"#,
            r#"{"total_slots": 3, "holders": ["a", "B"]}"#,
            r#"{"total_slots": 3, "holders": []} {}"#,
            r#"{"semaphore": 1, "max": 1, "holders": []}"#,
        ] {
            let refused = parse(text).expect_err(text).to_string();
            assert!(!refused.is_empty() && refused.len() < 200, "{text}: {refused}");
        }
        assert!(Semaphore::parse(b"{\"total_slots\": 1, \"holders\": [\"\xff\"]}").is_err(), "no UTF-8");
        let deep = format!(r#"{{"total_slots": 1, "holders": [], "x": {}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(parse(&deep).is_err(), "too deep");
        let mut largest = br#"{"total_slots": 1, "holders": []}"#.to_vec();
        largest.resize(Semaphore::MAX_BYTES, b' ');
        assert_eq!(Semaphore::parse(&largest), Ok(Semaphore::new(NonZeroU32::MIN)));
        largest.push(b' ');
        assert!(matches!(Semaphore::parse(&largest), Err(NotASemaphore::TooLarge(_))));
    }

    #[test]
    fn a_refusal_quotes_what_stands_there_and_of_something_long_the_beginning() {
        let says = |holders: &str| parse(&format!(r#"{{"total_slots": 1, "holders": {holders}}}"#)).unwrap_err();
        // With its quotes a text of 58 letters has 60 characters.
        for (letters, end) in [(0, "\""), (57, "\""), (58, "\""), (59, "…")] {
            let text = format!("\"{}\"", "x".repeat(letters));
            let quoted: String = text.chars().take(60).collect();
            let cut = if end == "…" { end } else { "" };
            let said = says(&text).to_string();
            assert_eq!(said, format!("`holders` has to be a list of ids: it is {quoted}{cut}"));
            assert!(said.ends_with(end), "{said}");
        }
        assert!(says("[null]").to_string().ends_with("it is null"));
    }

    #[test]
    fn a_semaphore_says_how_many_slots_it_has_and_who_holds_one() {
        let semaphore = parse(r#"{"total_slots": 7, "holders": ["a"]}"#).unwrap();
        assert_eq!((semaphore.total_slots(), semaphore.holds("a"), semaphore.holds("b")), (7, true, false));
    }

    #[test]
    fn what_other_programs_keep_in_the_value_is_written_back() {
        let semaphore = parse(r#"{"zone": {"a": [1, 2.5, null]}, "total_slots": 2, "holders": ["a"]}"#).unwrap();
        let Take::Taken(taken) = semaphore.take("b") else { panic!("there is a slot") };
        let Release::Released(released) = taken.release("a") else { panic!("it holds one") };
        let again = Semaphore::parse(&released.to_bytes()).unwrap();
        assert_eq!(again.holders(), ["b"]);
        assert_eq!(serde_json::from_slice::<Value>(&again.to_bytes()).unwrap()["zone"], json!({"a": [1, 2.5, null]}));
    }

    #[test]
    fn ids_of_any_characters_come_back_and_stay_sorted_by_their_bytes() {
        let mut semaphore = Semaphore::new(NonZeroU32::new(100).unwrap());
        let ids = ["z", "a", "\u{0}", "\n\"\\", "host:/srv/ä b", "/", "日本", "\u{10ffff}", "\u{ffff}", "Z", "…"];
        for id in ids {
            let Take::Taken(taken) = semaphore.take(id) else { panic!("there is a slot") };
            semaphore = Semaphore::parse(&taken.to_bytes()).unwrap();
        }
        assert!(semaphore.holders().is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
        for id in ids {
            assert_eq!(semaphore.take(id), Take::AlreadyHeld, "{id:?}");
            let Release::Released(released) = semaphore.release(id) else { panic!("{id:?} holds one") };
            assert_eq!(released.release(id), Release::NotHeld);
            semaphore = released;
        }
        assert!(semaphore.holders().is_empty());
    }

    #[test]
    fn never_more_take_a_slot_than_there_are_and_a_lowered_budget_takes_nothing_from_anybody() {
        let three = NonZeroU32::new(3).unwrap();
        let mut semaphore = Semaphore::new(three);
        for id in ["c", "a", "b"] {
            let Take::Taken(taken) = semaphore.take(id) else { panic!("there is a slot") };
            semaphore = taken;
        }
        assert_eq!(semaphore.take("d"), Take::Full);
        let lowered = semaphore.with_slots(NonZeroU32::MIN);
        assert_eq!(lowered.holders(), semaphore.holders());
        let Release::Released(lowered) = lowered.release("a") else { panic!("it holds one") };
        assert_eq!((lowered.take("a"), lowered.take("b")), (Take::Full, Take::AlreadyHeld));
        assert_eq!(parse(r#"{"total_slots": 0, "holders": []}"#).unwrap().take("a"), Take::NoSlots);
    }

    #[test]
    fn ten_thousand_holders_are_a_semaphore() {
        let holders: Vec<String> = (0..10_000).map(|n| format!("host-{n:05}:/var/lib/gateway/8080")).collect();
        let text = json!({"total_slots": 10_001, "holders": holders}).to_string();
        let semaphore = parse(&text).unwrap();
        let Take::Taken(taken) = semaphore.take("host-05000") else { panic!("there is a slot") };
        assert_eq!(taken.take("one more"), Take::Full);
        assert_eq!(Semaphore::parse(&taken.to_bytes()).unwrap(), taken);
    }
}
