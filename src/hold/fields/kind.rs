//! What a field can say, and whether a value says it.

use crate::hold::RequestId;
use core::{fmt, iter};
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
    /// A moment of the wall clock, in exactly the form of RFC 3339. In that form without an offset it is UTC.
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
    pub(super) fn take(self, value: &Value) -> Option<FieldValue> {
        match (self, value) {
            (Self::Action, Value::String(word)) => Verb::of_word(word).map(FieldValue::Action),
            (Self::RequestId, Value::String(id)) => RequestId::new(&**id).ok().map(FieldValue::Id),
            (Self::Name(most) | Self::Note(most), Value::String(text)) => {
                text.chars().nth(most).is_none().then(|| FieldValue::Text(text.clone()))
            }
            (Self::Nonce(least, most), Value::String(text)) => {
                (least..=most).contains(&text.chars().count()).then(|| FieldValue::Text(text.clone()))
            }
            (Self::Seconds(least, most), _) => {
                let seconds = value.as_f64().filter(|seconds| (least..=most).contains(seconds))?;
                Duration::try_from_secs_f64(seconds).ok().map(FieldValue::Seconds)
            }
            (Self::Whole(most), _) => whole(value).filter(|number| *number <= most).map(FieldValue::Whole),
            (Self::Flag, value) => Some(FieldValue::Flag(*value == Value::Bool(true))),
            (Self::Time, Value::String(text)) => time(text).map(FieldValue::Time),
            _ => None,
        }
    }
}

/// What a value has to be, for the writer of another one.
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
pub(crate) enum FieldValue {
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
        impl FieldValue {
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

/// The nanoseconds since 1970 of a time in exactly the form of RFC 3339 (section 5.6, a space or a lower case letter where it
/// allows them), or in the same form without an offset, which is UTC: the reference's own writer leaves it out.
///
/// A reader of less or more than this form would date the same write otherwise: what is in another form is no time.
fn time(text: &str) -> Option<i128> {
    let (year, rest) = number(text, 4)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 2)?;
    let (hour, rest) = number(rest.strip_prefix(['T', 't', ' '])?, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (fraction, rest) = fraction(rest)?;
    let ahead = offset(rest)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, month, day).ok()?;
    let days = date.since(jiff::civil::date(1970, 1, 1)).ok()?.get_days();
    let minutes = (i128::from(days) * 24 + i128::from(hour)) * 60 + i128::from(minute) - i128::from(ahead);
    // A leap second has no place of its own in the seconds since 1970: it is the one before.
    Some((minutes * 60 + i128::from(second.min(59))) * 1_000_000_000 + i128::from(fraction))
}

/// A number of exactly so many digits, and what follows it.
fn number(text: &str, digits: usize) -> Option<(i32, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    Some((number.parse().ok()?, rest))
}

/// A fraction of a second in nanoseconds, which cut what is finer, and what follows it.
fn fraction(text: &str) -> Option<(i32, &str)> {
    let Some(text) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?;
    let nanoseconds = digits.bytes().chain(iter::repeat(b'0')).take(9);
    Some((nanoseconds.fold(0, |number, digit| number * 10 + i32::from(digit - b'0')), rest))
}

/// How many minutes local time is ahead of UTC, where nothing or an offset stands to the end.
fn offset(text: &str) -> Option<i32> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, rest) = number(text.strip_prefix(['+', '-'])?, 2)?;
    let (minutes, rest) = number(rest.strip_prefix(':')?, 2)?;
    (rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}
