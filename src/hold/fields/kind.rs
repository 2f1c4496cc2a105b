//! What a field can say, and whether a value says it.

use crate::hold::RequestId;
use core::fmt;
use serde_json::Value;
use std::time::Duration;

/// What is wanted. The words are those on the wire; a file has all but `renew`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Drain,
    Cancel,
    Renew,
    Commit,
    Override,
}

impl Verb {
    pub(crate) const ALL: [Self; 5] = [Self::Drain, Self::Cancel, Self::Renew, Self::Commit, Self::Override];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Cancel => "cancel",
            Self::Renew => "renew",
            Self::Commit => "commit",
            Self::Override => "override",
        }
    }

    /// As the reference reads it: white space around the word and the case of its letters don't matter.
    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word().eq_ignore_ascii_case(word.trim()))
    }
}

/// What a field can say.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// One of the actions' words.
    Action,
    /// A [`RequestId`].
    RequestId,
    /// A text of at most so many characters, which names something. The empty text is as if the field were not there.
    Name(usize),
    /// As a name, and of at least so many characters, so that it can't be guessed. A reader of files takes a shorter one.
    Nonce(usize, usize),
    /// A text of at most so many characters, for people. A reader of files cuts a longer one, and shows that by a `…`.
    Note(usize),
    /// A number of seconds, between these two.
    Seconds(f64, f64),
    /// A whole number from 0 to this, in any form that JSON has for it (`7`, `7.0`).
    Whole(u32),
    /// `true`; anything else is `false`.
    Flag,
    /// A moment of the wall clock: RFC 3339. Without an offset it is UTC.
    Time,
}

impl Kind {
    /// Its type in JSON.
    #[must_use]
    pub const fn json_type(self) -> &'static str {
        match self {
            Self::Action | Self::RequestId | Self::Name(_) | Self::Nonce(..) | Self::Note(_) | Self::Time => "string",
            Self::Seconds(..) => "number",
            Self::Whole(_) => "integer",
            Self::Flag => "boolean",
        }
    }

    /// What a field of this kind takes, as strictly as a writer has to keep to it.
    pub(super) fn take(self, value: &Value) -> Option<Said> {
        match (self, value) {
            (Self::Action, Value::String(word)) => Verb::of_word(word).map(Said::Action),
            (Self::RequestId, Value::String(id)) => RequestId::new(&**id).ok().map(Said::Id),
            (Self::Name(most) | Self::Note(most), Value::String(text)) => {
                text.chars().nth(most).is_none().then(|| Said::Text(text.clone()))
            }
            (Self::Nonce(least, most), Value::String(text)) => {
                (least..=most).contains(&text.chars().count()).then(|| Said::Text(text.clone()))
            }
            (Self::Seconds(least, most), _) => {
                let seconds = value.as_f64().filter(|seconds| (least..=most).contains(seconds))?;
                Duration::try_from_secs_f64(seconds).ok().map(Said::Seconds)
            }
            (Self::Whole(most), _) => whole(value).filter(|number| *number <= most).map(Said::Whole),
            (Self::Flag, value) => Some(Said::Flag(*value == Value::Bool(true))),
            (Self::Time, Value::String(text)) => time(text).map(Said::Time),
            _ => None,
        }
    }
}

/// What a value has to be, for whoever wrote another one.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action => write!(f, "one of {}", Verb::ALL.map(Verb::word).join(", ")),
            Self::RequestId => {
                let most = RequestId::MAX_LEN;
                write!(f, "a text of 1 to {most} of A-Z a-z 0-9 . _ -, no dot in front, and not \"marker\"")
            }
            Self::Name(most) | Self::Note(most) => write!(f, "a text of at most {most} characters"),
            Self::Nonce(least, most) => write!(f, "a text of {least} to {most} characters"),
            Self::Seconds(least, most) => write!(f, "a number of seconds from {least} to {most}"),
            Self::Whole(most) => write!(f, "a whole number from 0 to {most}"),
            Self::Flag => write!(f, "true or false"),
            Self::Time => write!(f, "a time as in RFC 3339"),
        }
    }
}

/// What one field has said.
pub(crate) enum Said {
    Action(Verb),
    Id(RequestId),
    Text(String),
    Seconds(Duration),
    Whole(u32),
    Flag(bool),
    /// Nanoseconds since 1970.
    Time(i128),
}

macro_rules! said {
    ($($name:ident: $case:ident -> $type:ty;)*) => {
        impl Said {
            $(pub(super) fn $name(self) -> Option<$type> {
                if let Self::$case(said) = self { Some(said) } else { None }
            })*
        }
    };
}

said! {
    verb: Action -> Verb;
    id: Id -> RequestId;
    text: Text -> String;
    seconds: Seconds -> Duration;
    whole: Whole -> u32;
    time: Time -> i128;
}

/// A whole number in any form that JSON has for it.
fn whole(value: &Value) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and within the bounds")]
    let rounded =
        |number: f64| (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32);
    value.as_f64().and_then(rounded)
}

fn time(text: &str) -> Option<i128> {
    let with_offset = text.parse::<jiff::Timestamp>().ok();
    // The reference's own writer leaves the offset out, and means UTC.
    let naive = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    with_offset.or_else(|| naive().map(|zoned| zoned.timestamp())).map(jiff::Timestamp::as_nanosecond)
}
