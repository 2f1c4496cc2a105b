//! What the next gateway in a home may do, told from nothing but what was written there and what was answered.
//!
//! It is written apart from the crate, in the words of the specification, and shares no code with it: a hold that is there
//! closes the gate; one whose file is gone doesn't, unless it was committed; and a committed one ends by its token alone.

/// What stands in the place of a hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lies {
    #[default]
    Nothing,
    Begin,
    Commit,
    /// A withdrawal that bears the commit's token.
    Withdrawal,
}

/// Whether the hold's commit is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Granted {
    #[default]
    No,
    /// It was written, and no answer was heard.
    Perhaps,
    Yes,
}

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub file: Lies,
    pub granted: Granted,
    pub marker: bool,
}

/// What a start may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Closed,
    Open,
    Either,
}

impl Oracle {
    pub fn expects(&self) -> Start {
        let hold = match (self.file, self.granted) {
            (Lies::Begin | Lies::Commit, _) | (Lies::Nothing, Granted::Yes) => Start::Closed,
            (Lies::Nothing, Granted::Perhaps) => Start::Either,
            (Lies::Nothing, Granted::No) | (Lies::Withdrawal, _) => Start::Open,
        };
        if self.marker { Start::Closed } else { hold }
    }

    pub fn allows(&self, admits: bool) -> bool {
        match self.expects() {
            Start::Closed => !admits,
            Start::Open => admits,
            Start::Either => true,
        }
    }
}
