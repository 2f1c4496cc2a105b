//! Nothing but a place for `tests/evidence.rs`, which makes `docs/verification.md` from the tables that the checks run by.
