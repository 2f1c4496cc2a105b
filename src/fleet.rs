//! How many gateways of a fleet may be closed at once: a counting semaphore in an engine that exists.
//!
//! | File | What it is |
//! |---|---|
//! | `semaphore` | the value of a group's slots, in Airlock's layout; pure |
//! | `slot` | what a controller does with what it read; pure |

mod semaphore;
mod slot;

pub use semaphore::{NotASemaphore, Release, Semaphore, Take};
pub use slot::{End, Ending, Left, Note, Stored, Taker, Taking, Whereabouts};
