//! The source of gateway-drain with every seeded bug of the catalogue behind a run-time switch. See `build.rs`.

#![forbid(unsafe_code)]
#![allow(missing_docs, unused, clippy::all, clippy::pedantic, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));
